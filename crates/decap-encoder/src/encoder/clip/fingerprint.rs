//! What tells CLIPs apart.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Clip;
use super::config::{ClipConfig, TextPooling, TransformerConfig};
use crate::digest::hexadecimal;
use crate::encoder::fingerprint::Fingerprint;
use crate::encoder::preprocess::{Anchor, Channels, CropRounding, Preprocess, Resize};
use crate::error::{Error, Result};
use crate::media::Filter;

/// Values of each tensor that the fingerprint looks at.
const SAMPLED_VALUES: usize = 1024;

impl Clip {
    /// Tells CLIPs apart: a hash of the sizes, the preprocessing, and the shape and 1,024 evenly
    /// spread values of each tensor.
    ///
    /// Training changes every tensor, so a sample tells any two apart, and opening a large CLIP
    /// does not read all of it. The form counts: Hugging Face crops photos differently from the
    /// others, so one CLIP in two forms is two encoders.
    ///
    /// # Errors
    /// [`Error::Model`] where a tensor is not of floats.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let mut current = Sha256::new();
        current.update(b"clip 2\n");
        current.update(facts(&self.config, &self.preprocess));
        // Version 1 hashed what `Debug` prints, so the names of fields must not change.
        let mut former = Sha256::new();
        former.update(b"clip 1\n");
        former.update(format!("{:?}\n{:?}\n", self.config, self.preprocess));
        for name in self.naming.all(&self.config) {
            let shape = self.checkpoint.shape(&name);
            current.update(format!("{name} {}\n", sizes(shape.unwrap_or_default())));
            former.update(format!("{shape:?}\n"));
            let values = self.checkpoint.sample(&name, SAMPLED_VALUES);
            let values = values.ok_or_else(|| {
                let dtype = self.checkpoint.dtype(&name);
                let message = format!("tensor `{name}`: expected floats, got {dtype:?}");
                Error::model(self.checkpoint.path(), message)
            })?;
            for value in values {
                current.update(value.to_le_bytes());
                former.update(value.to_le_bytes());
            }
            // A sample of every page would keep the whole file in memory.
            self.checkpoint.release(&name);
        }
        let current = Fingerprint::from(hexadecimal(&current.finalize()));
        Ok(current.formerly(hexadecimal(&former.finalize())))
    }
}

/// All that is not weights, a fact a line, under names that never change.
fn facts(config: &ClipConfig, preprocess: &Preprocess) -> String {
    let mut lines = format!("width {}\n", config.width);
    let mut fact = |name: &str, value: String| {
        // A string takes whatever is written.
        let _written = writeln!(lines, "{name} {value}");
    };
    for (tower, transformer) in [
        ("image", &config.image.transformer),
        ("text", &config.text.transformer),
    ] {
        let TransformerConfig {
            width,
            layers,
            heads,
            hidden_width,
            activation,
            layer_norm_epsilon,
        } = transformer;
        fact(&format!("{tower} width"), width.to_string());
        fact(&format!("{tower} layers"), layers.to_string());
        fact(&format!("{tower} heads"), heads.to_string());
        fact(&format!("{tower} hidden width"), hidden_width.to_string());
        fact(
            &format!("{tower} activation"),
            activation_name(*activation).to_owned(),
        );
        fact(&format!("{tower} epsilon"), bits(*layer_norm_epsilon));
    }
    fact("image size", config.image.image_size.to_string());
    fact("patch size", config.image.patch_size.to_string());
    fact("context length", config.text.context_length.to_string());
    fact("vocabulary size", config.text.vocabulary_size.to_string());
    fact(
        "pooling",
        match config.text.pooling {
            TextPooling::LargestId => "largest id".to_owned(),
            TextPooling::FirstOf(id) => format!("first of {id}"),
        },
    );
    fact("preprocess size", preprocess.size.to_string());
    fact(
        "resize",
        match preprocess.resize {
            Resize::ShortestSide(side) => format!("shortest side {side}"),
            Resize::Squash => "squash".to_owned(),
            Resize::Letterbox { fill, anchor } => format!(
                "letterbox {fill} {}",
                match anchor {
                    Anchor::Centre => "centre",
                    Anchor::TopLeft => "top left",
                }
            ),
        },
    );
    fact(
        "filter",
        match preprocess.filter {
            Filter::Bicubic => "bicubic",
            Filter::Bilinear => "bilinear",
        }
        .to_owned(),
    );
    fact(
        "crop",
        match preprocess.crop_rounding {
            CropRounding::HalfToEven => "half to even",
            CropRounding::Down => "down",
        }
        .to_owned(),
    );
    fact("divisor", bits(preprocess.divisor));
    fact("mean", preprocess.mean.map(bits).join(" "));
    fact("std", preprocess.std.map(bits).join(" "));
    fact(
        "channels",
        match preprocess.channels {
            Channels::Rgb => "rgb",
            Channels::Bgr => "bgr",
        }
        .to_owned(),
    );
    lines
}

fn activation_name(activation: decap_kernels::Activation) -> &'static str {
    use decap_kernels::Activation;
    match activation {
        Activation::Identity => "identity",
        Activation::Relu => "relu",
        Activation::QuickGelu => "quick_gelu",
        Activation::GeluNew => "gelu_new",
        Activation::Gelu => "gelu",
        // What is added to the kernels gets a name here before a CLIP can have it.
        _ => "another",
    }
}

/// A number as its bits, which no formatting rounds.
fn bits(value: f32) -> String {
    format!("{:08x}", value.to_bits())
}

fn sizes(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("x")
}
