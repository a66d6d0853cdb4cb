//! ONNX exports as they lie on the Hub: SigLIP, SigLIP2, MobileCLIP and CLIP of `onnx-community` and
//! `Xenova`, opened without a description of ours.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{LetterCase, OnnxImageOptions, OnnxTextOptions, Padding, Pooling};
use crate::digest::hexadecimal;
use crate::encoder::processor;
use crate::encoder::{
    CropRounding, EncoderDescription, ImageTowerDescription, Preprocess, TextTowerDescription,
};
use crate::error::{Error, Result};
use crate::tokenizer::{TooLong, hugging_face};
use crate::weights::{Bytes, Folder};

/// The image tower of an export.
pub(crate) const EXPORTED_IMAGE_TOWER: &str = "onnx/vision_model.onnx";
/// Its text tower.
const EXPORTED_TEXT_TOWER: &str = "onnx/text_model.onnx";
/// Both, which a folder must have to count as an export.
pub const EXPORT_FILES: [&str; 2] = [EXPORTED_IMAGE_TOWER, EXPORTED_TEXT_TOWER];

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CONFIG: &str = "config.json";

/// Bytes of a file that the fingerprint looks at, in blocks; smaller files are read whole.
const FINGERPRINT_BLOCKS: usize = 4096;
const FINGERPRINT_BLOCK_BYTES: usize = 256;

/// Whether `folder` holds what [`describe_export`] describes.
pub(crate) fn is_export(folder: &Folder) -> bool {
    EXPORT_FILES.iter().all(|name| folder.contains(name))
}

/// How the towers in `folder` are used, from the files of transformers beside them.
///
/// # Errors
/// [`Error::Io`] where `config.json`, `preprocessor_config.json` or `tokenizer.json` is not there;
/// [`Error::Model`] where one is not valid, or of a model that is not known.
pub(crate) fn describe_export(folder: &Folder) -> Result<EncoderDescription> {
    let config: Config = folder.json(CONFIG)?;
    let tokens: TokenizerConfig = match folder.contains(TOKENIZER_CONFIG) {
        true => folder.json(TOKENIZER_CONFIG)?,
        false => TokenizerConfig::default(),
    };
    let family = Family::of(&config.model_type).ok_or_else(|| {
        Error::unsupported(
            folder.path(CONFIG),
            format!(
                "expected the ONNX export of a clip, siglip or siglip2, got model type {:?}; \
                 describe other towers in an encoder.json",
                config.model_type
            ),
        )
    })?;
    if tokens.padding_side.as_deref() == Some("left") {
        let message = "expected texts to be padded at their end, got `padding_side` \"left\"";
        return Err(Error::model(folder.path(TOKENIZER_CONFIG), message));
    }
    let image_tower = ImageTowerDescription {
        file: EXPORTED_IMAGE_TOWER.to_owned(),
        options: OnnxImageOptions {
            outputs: vec![family.image_output().to_owned()],
            pooling: Pooling::Cls,
            preprocess: processor::read(folder, family.preprocess())?,
        },
    };
    // Longer ones are of tokenizers that know no limit: they say 10^30.
    let said = tokens.model_max_length.filter(|&length| length <= 8192.0);
    let text = config.text_config.unwrap_or_default();
    let max_tokens = text
        .max_position_embeddings
        .or(said.map(|length| length as usize))
        .unwrap_or(family.context_length());
    let pad_id = match tokens.pad_token.as_ref().and_then(Token::text) {
        Some(token) => Some(token_id(folder, token)?),
        None => None,
    };
    let text_tower = TextTowerDescription {
        file: EXPORTED_TEXT_TOWER.to_owned(),
        tokenizer: TOKENIZER.to_owned(),
        options: OnnxTextOptions {
            output: Some(family.text_output().to_owned()),
            pooling: Pooling::Cls,
            max_tokens,
            too_long: TooLong::Truncate,
            // SigLIP and MobileCLIP saw the filling in training; to a causal tower it is all one.
            padding: Padding::MaxTokens,
            pad_id,
            letter_case: match tokens.do_lower_case {
                Some(true) => LetterCase::Lower,
                _ => LetterCase::AsWritten,
            },
        },
    };
    let mut description = EncoderDescription::new(folder.title(), vec![image_tower], text_tower);
    description.fingerprint = fingerprint(folder, &description)?;
    Ok(description)
}

/// What the model types have in common and what not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Projected features of their own name; MobileCLIP's exports too.
    Clip,
    /// The pooled token is the feature.
    Siglip,
}

impl Family {
    fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "clip" => Some(Self::Clip),
            "siglip" | "siglip2" => Some(Self::Siglip),
            _ => None,
        }
    }

    fn image_output(self) -> &'static str {
        match self {
            Self::Clip => "image_embeds",
            Self::Siglip => "pooler_output",
        }
    }

    fn text_output(self) -> &'static str {
        match self {
            Self::Clip => "text_embeds",
            Self::Siglip => "pooler_output",
        }
    }

    fn context_length(self) -> usize {
        match self {
            Self::Clip => 77,
            Self::Siglip => 64,
        }
    }

    /// The default of the family's image processor.
    fn preprocess(self) -> Preprocess {
        let clip = Preprocess {
            crop_rounding: CropRounding::Down,
            ..Preprocess::default()
        };
        match self {
            Self::Clip => clip,
            Self::Siglip => Preprocess {
                mean: [0.5; 3],
                std: [0.5; 3],
                ..clip
            },
        }
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    model_type: String,
    text_config: Option<TextConfig>,
}

#[derive(Deserialize, Default)]
struct TextConfig {
    max_position_embeddings: Option<usize>,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
    pad_token: Option<Token>,
    padding_side: Option<String>,
    do_lower_case: Option<bool>,
}

/// A token as old and new files write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Described { content: String },
    Other(serde::de::IgnoredAny),
}

impl Token {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Described { content: text } => Some(text),
            Self::Other(_) => None,
        }
    }
}

fn token_id(folder: &Folder, token: &str) -> Result<u32> {
    let broken = |message: String| Error::model(folder.path(TOKENIZER), message);
    let tokenizer = hugging_face::parse(&folder.bytes(TOKENIZER)?)
        .map_err(|error| broken(format!("not a usable tokenizer: {error}")))?;
    tokenizer
        .token_to_id(token)
        .ok_or_else(|| broken(format!("expected the padding token {token:?}, got none")))
}

/// Tells exports apart: a hash of how they are used and of each file, of large files of their length
/// and evenly spread blocks. Training changes every tensor, so a sample tells any two apart.
fn fingerprint(folder: &Folder, description: &EncoderDescription) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(b"onnx export 1\n");
    // The name is left out: a folder may be moved.
    let towers = (&description.image_towers, &description.text_tower);
    let towers = serde_json::to_vec(&towers)
        .map_err(|error| Error::model(folder.path(CONFIG), error.to_string()))?;
    hasher.update(towers);
    let weights = EXPORT_FILES.map(|name| format!("{name}_data"));
    for name in EXPORT_FILES.into_iter().chain([TOKENIZER]) {
        update_sampled(&mut hasher, &folder.bytes(name)?);
    }
    for name in weights.iter().filter(|name| folder.contains(name)) {
        update_sampled(&mut hasher, &folder.bytes(name)?);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

fn update_sampled(hasher: &mut Sha256, bytes: &Bytes) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    let step = (bytes.len() / FINGERPRINT_BLOCKS).max(FINGERPRINT_BLOCK_BYTES);
    for block in bytes.chunks(step) {
        hasher.update(&block[..block.len().min(FINGERPRINT_BLOCK_BYTES)]);
    }
}
