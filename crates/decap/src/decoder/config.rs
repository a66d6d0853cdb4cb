//! The decoder's shape, and the two facts about its sequence that generation needs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use decap_encoder::{Error, Result};

/// No tensor and no sum of tensors may claim more values than this: 16 GiB of f32.
const MAX_PARAMETERS: usize = 1 << 32;

/// Most blocks: each is a dozen tensors whose names are made before the file's are looked at.
const MAX_LAYERS: usize = 1024;

/// The shape of a GPT-2 decoder with a one-position prefix.
///
/// [`DecoderConfig::default`] is the reference's (dhg-wei/DeCap, `decoder_config.pkl` and
/// `train.py`): 68,130,816 parameters, ids of CLIP's vocabulary in a table of GPT-2's size.
///
/// ```
/// let config = decap::decoder::DecoderConfig::default();
/// assert_eq!(config.num_parameters(), 68_130_816);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Rows of the token embedding, which is the output layer too.
    pub vocabulary_size: usize,
    /// The encoder's embedding width.
    pub prefix_width: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Attention heads; they divide `width`.
    pub num_heads: usize,
    /// Rows of the position embedding; the prefix takes the first.
    pub num_positions: usize,
    /// Added to the variance in each layer norm.
    pub layer_norm_epsilon: f32,
    /// The nonlinearity of the feed-forward layers.
    #[serde(default)]
    pub activation: Activation,
    /// The decoder's id that the prefix predicts first and that is no part of a caption.
    ///
    /// `None` where the prefix predicts the first word at once, which saves a position.
    pub start_token: Option<u32>,
    /// The decoder's id that ends a caption.
    pub end_token: u32,
}

/// The nonlinearity of the feed-forward layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// GPT-2's tanh form: `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    #[default]
    GeluNew,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            vocabulary_size: 50_257,
            prefix_width: 512,
            width: 768,
            num_layers: 4,
            num_heads: 4,
            num_positions: 1024,
            layer_norm_epsilon: 1e-5,
            activation: Activation::GeluNew,
            start_token: Some(49_406),
            end_token: 49_407,
        }
    }
}

impl DecoderConfig {
    /// The width of one attention head.
    pub fn head_width(&self) -> usize {
        self.width / self.num_heads
    }

    /// The number of parameters, the tied output counted once; `usize::MAX` where it overflows.
    pub fn num_parameters(&self) -> usize {
        self.checked_parameters().unwrap_or(usize::MAX)
    }

    /// Whether the shape can be built; `path` is the file it came from, for the message.
    ///
    /// # Errors
    /// [`Error::Model`] that names the field.
    pub fn validate(&self, path: &Path) -> Result<()> {
        let refuse = |message: String| Err(Error::model(path, message));
        let extents = [
            ("vocabulary_size", self.vocabulary_size),
            ("prefix_width", self.prefix_width),
            ("width", self.width),
            ("num_layers", self.num_layers),
            ("num_heads", self.num_heads),
            ("num_positions", self.num_positions),
        ];
        for (name, extent) in extents {
            if extent == 0 {
                return refuse(format!("decoder `{name}`: expected at least 1, got 0"));
            }
        }
        if self.num_layers > MAX_LAYERS {
            return refuse(format!(
                "decoder `num_layers`: expected at most {MAX_LAYERS}, got {}",
                self.num_layers
            ));
        }
        if !self.width.is_multiple_of(self.num_heads) {
            return refuse(format!(
                "decoder `num_heads`: expected a divisor of width {}, got {}",
                self.width, self.num_heads
            ));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon.is_finite()) {
            return refuse(format!(
                "decoder `layer_norm_epsilon`: expected a positive number, got {}",
                self.layer_norm_epsilon
            ));
        }
        for (name, token) in [
            ("start_token", self.start_token),
            ("end_token", Some(self.end_token)),
        ] {
            if let Some(token) = token.filter(|&token| token as usize >= self.vocabulary_size) {
                return refuse(format!(
                    "decoder `{name}`: expected an id below {}, got {token}",
                    self.vocabulary_size
                ));
            }
        }
        match self.checked_parameters() {
            Some(parameters) if parameters <= MAX_PARAMETERS => Ok(()),
            _ => refuse(format!(
                "decoder: expected at most {MAX_PARAMETERS} parameters, got more"
            )),
        }
    }

    fn checked_parameters(&self) -> Option<usize> {
        let width = self.width;
        let block = width
            .checked_mul(width)?
            .checked_mul(12)?
            .checked_add(width.checked_mul(13)?)?;
        let blocks = block.checked_mul(self.num_layers)?;
        let rows = self
            .vocabulary_size
            .checked_add(self.num_positions)?
            .checked_add(self.prefix_width)?;
        // The prefix bias and the last norm's weight and bias are the three further rows.
        rows.checked_add(3)?.checked_mul(width)?.checked_add(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_reference() {
        let config = DecoderConfig::default();
        config.validate(Path::new("default")).unwrap();
        assert_eq!(config.num_parameters(), 68_130_816);
    }

    #[test]
    fn impossible_shapes_are_refused_by_field() {
        type Spoil = fn(&mut DecoderConfig);
        let cases: [(&str, Spoil); 7] = [
            ("`width`", |config| config.width = 0),
            ("`num_heads`", |config| config.num_heads = 5),
            ("`layer_norm_epsilon`", |config| {
                config.layer_norm_epsilon = f32::NAN
            }),
            ("`end_token`", |config| config.end_token = 50_257),
            ("`start_token`", |config| {
                config.start_token = Some(u32::MAX)
            }),
            // With a width of 1, all of them would have few parameters.
            ("`num_layers`", |config| {
                (config.width, config.num_heads, config.num_layers) = (1, 1, 100_000_000);
            }),
            ("parameters", |config| config.num_positions = usize::MAX / 2),
        ];
        for (word, spoil) in cases {
            let mut config = DecoderConfig::default();
            spoil(&mut config);
            let message = config
                .validate(Path::new("decoder.json"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
