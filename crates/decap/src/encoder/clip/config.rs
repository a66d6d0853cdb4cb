//! What a CLIP is: the sizes of its towers, from whichever file or tensors say so.

use serde_json::{Map, Value};

use decap_kernels::Activation;

use super::names::Naming;
use crate::error::{Error, Result};
use crate::weights::{Checkpoint, Folder};

/// Largest width, depth, image and vocabulary that a configuration may claim. The largest public
/// CLIP (bigG/14) has 1664, 48, 224 and 49,408.
const MAX_SIZE: usize = 1 << 20;
const MAX_LAYERS: usize = 256;

/// Widest image tower that OpenAI published; a wider one needs OpenCLIP's configuration.
const WIDEST_OPENAI: usize = 1024;

/// The sizes of a CLIP.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Width of the shared space.
    pub width: usize,
    /// The image tower.
    pub image: ImageConfig,
    /// The text tower.
    pub text: TextConfig,
}

/// The sizes of an image tower.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig {
    /// Its transformer.
    pub transformer: TransformerConfig,
    /// Edge of the square photo in pixels.
    pub image_size: usize,
    /// Edge of a square patch in pixels.
    pub patch_size: usize,
}

/// The sizes of a text tower.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Its transformer.
    pub transformer: TransformerConfig,
    /// Most tokens of a text, start and end among them.
    pub context_length: usize,
    /// Rows of the token table.
    pub vocabulary_size: usize,
    /// Which token's output is the text's.
    pub pooling: TextPooling,
}

/// The sizes of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformerConfig {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the hidden layer of a block.
    pub hidden_width: usize,
    /// Between the two layers of a block.
    pub activation: Activation,
    /// Added to the variance in a layer norm.
    pub layer_norm_epsilon: f32,
}

/// Which token's output is the text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPooling {
    /// The first token of the largest id, which is end-of-text: OpenAI, OpenCLIP, and old
    /// Hugging Face configurations, whose `eos_token_id` says 2 and is wrong
    /// (<https://github.com/huggingface/transformers/pull/24773>).
    LargestId,
    /// The first token of this id.
    FirstOf(u32),
}

impl ImageConfig {
    /// Patches along an edge.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Tokens of a photo: its patches and the class token.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }
}

impl ClipConfig {
    /// Reads Hugging Face's `config.json`.
    ///
    /// # Errors
    /// [`Error::Model`] where it is another kind of model or its numbers make no CLIP.
    pub fn read_hugging_face(folder: &Folder) -> Result<Self> {
        let file: Value = folder.json("config.json")?;
        hugging_face(&file).map_err(|message| Error::model(folder.path("config.json"), message))
    }

    /// Reads OpenCLIP's `open_clip_config.json`.
    ///
    /// # Errors
    /// As [`ClipConfig::read_hugging_face`].
    pub fn read_open_clip(folder: &Folder) -> Result<Self> {
        let name = "open_clip_config.json";
        let file: Value = folder.json(name)?;
        open_clip(&file).map_err(|message| Error::model(folder.path(name), message))
    }

    /// Infers the sizes from the shapes of an OpenAI checkpoint, as `clip.model.build_model` does.
    ///
    /// # Errors
    /// [`Error::Model`] where it is no ViT CLIP of OpenAI's.
    pub fn infer(checkpoint: &Checkpoint) -> Result<Self> {
        openai(checkpoint).map_err(|message| Error::model(checkpoint.path(), message))
    }

    fn check(self) -> Result<Self, String> {
        let sizes = [
            ("width of the shared space", self.width),
            ("width of the image tower", self.image.transformer.width),
            (
                "hidden width of the image tower",
                self.image.transformer.hidden_width,
            ),
            ("image size", self.image.image_size),
            ("patch size", self.image.patch_size),
            ("width of the text tower", self.text.transformer.width),
            (
                "hidden width of the text tower",
                self.text.transformer.hidden_width,
            ),
            ("context length", self.text.context_length),
            ("vocabulary size", self.text.vocabulary_size),
        ];
        for (what, size) in sizes {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(format!("expected a {what} of 1 to {MAX_SIZE}, got {size}"));
            }
        }
        for (tower, transformer) in [
            ("image", &self.image.transformer),
            ("text", &self.text.transformer),
        ] {
            let TransformerConfig {
                width,
                layers,
                heads,
                ..
            } = *transformer;
            if !(1..=MAX_LAYERS).contains(&layers) {
                return Err(format!(
                    "{tower} tower: expected 1 to {MAX_LAYERS} layers, got {layers}"
                ));
            }
            if heads == 0 || !width.is_multiple_of(heads) {
                return Err(format!(
                    "{tower} tower: expected a width that {heads} heads share, got {width}"
                ));
            }
        }
        let (image, patch) = (self.image.image_size, self.image.patch_size);
        if image < patch || image > 4096 {
            return Err(format!(
                "expected an image size of {patch} to 4096, got {image}"
            ));
        }
        Ok(self)
    }
}

fn hugging_face(file: &Value) -> Result<ClipConfig, String> {
    let fields = object(file, "config.json")?;
    match fields.get("model_type").and_then(Value::as_str) {
        Some("clip") => {}
        other => {
            return Err(format!(
                "expected model type \"clip\", got {:?}; use an ONNX export of other encoders",
                other.unwrap_or("none")
            ));
        }
    }
    let empty = Map::new();
    let part = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(&empty),
        Some(part) => object(part, name),
    };
    let (vision, text) = (part("vision_config")?, part("text_config")?);
    // The defaults are those of transformers' CLIPVisionConfig and CLIPTextConfig.
    let transformer = |part: &Map<String, Value>, defaults: [usize; 4]| {
        let [width, layers, heads, hidden_width] = defaults;
        Ok::<_, String>(TransformerConfig {
            width: size(part, "hidden_size", width)?,
            layers: size(part, "num_hidden_layers", layers)?,
            heads: size(part, "num_attention_heads", heads)?,
            hidden_width: size(part, "intermediate_size", hidden_width)?,
            activation: activation(part)?,
            layer_norm_epsilon: epsilon(part)?,
        })
    };
    // Old configurations carry a wrong `eos_token_id` of 2, and a missing one means 49407.
    let pooling = match size(text, "eos_token_id", 49407)? {
        2 => TextPooling::LargestId,
        id => TextPooling::FirstOf(u32::try_from(id).map_err(|error| error.to_string())?),
    };
    if size(vision, "num_channels", 3)? != 3 {
        return Err("expected pictures of 3 channels, got another number".to_owned());
    }
    ClipConfig {
        width: size(fields, "projection_dim", 512)?,
        image: ImageConfig {
            transformer: transformer(vision, [768, 12, 12, 3072])?,
            image_size: size(vision, "image_size", 224)?,
            patch_size: size(vision, "patch_size", 32)?,
        },
        text: TextConfig {
            transformer: transformer(text, [512, 12, 8, 2048])?,
            context_length: size(text, "max_position_embeddings", 77)?,
            vocabulary_size: size(text, "vocab_size", 49408)?,
            pooling,
        },
    }
    .check()
}

fn open_clip(file: &Value) -> Result<ClipConfig, String> {
    let file = object(file, "open_clip_config.json")?;
    let model = match file.get("model_cfg") {
        Some(model) => object(model, "model_cfg")?,
        None => file,
    };
    let part = |name: &str| {
        model
            .get(name)
            .ok_or_else(|| format!("expected `{name}`, got none"))
            .and_then(|part| object(part, name))
    };
    let (vision, text) = (part("vision_cfg")?, part("text_cfg")?);
    for (part, key) in [(vision, "timm_model_name"), (text, "hf_model_name")] {
        if let Some(name) = part.get(key).and_then(Value::as_str) {
            return Err(format!(
                "expected OpenCLIP's own ViT and text transformer, got `{key}` {name:?}; \
                 use an ONNX export of it"
            ));
        }
    }
    if vision.get("layers").is_some_and(Value::is_array) {
        return Err(RESNET.to_owned());
    }
    refuse_options(vision, VISION_DEFAULTS)?;
    refuse_options(text, TEXT_DEFAULTS)?;
    // The defaults are those of open_clip's CLIPVisionCfg and CLIPTextCfg.
    let quick = model
        .get("quick_gelu")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let activation = if quick {
        Activation::QuickGelu
    } else {
        Activation::Gelu
    };
    let transformer = |part: &Map<String, Value>, width: usize, heads: usize| {
        // Python truncates `int(width * mlp_ratio)`.
        let ratio = number(part, "mlp_ratio", 4.0)?;
        Ok::<_, String>(TransformerConfig {
            width,
            layers: size(part, "layers", 12)?,
            heads,
            hidden_width: (width as f64 * ratio.clamp(0.0, 1024.0)) as usize,
            activation,
            layer_norm_epsilon: 1e-5,
        })
    };
    let vision_width = size(vision, "width", 768)?;
    let vision_heads = vision_width / size(vision, "head_width", 64)?.max(1);
    let text_width = size(text, "width", 512)?;
    ClipConfig {
        width: size(model, "embed_dim", 512)?,
        image: ImageConfig {
            transformer: transformer(vision, vision_width, vision_heads)?,
            image_size: square(vision, "image_size", 224)?,
            patch_size: square(vision, "patch_size", 16)?,
        },
        text: TextConfig {
            transformer: transformer(text, text_width, size(text, "heads", 8)?)?,
            context_length: size(text, "context_length", 77)?,
            vocabulary_size: size(text, "vocab_size", 49408)?,
            pooling: TextPooling::LargestId,
        },
    }
    .check()
}

const RESNET: &str = "expected a ViT image tower, got a ResNet; use an ONNX export of ResNet CLIPs";

/// Keys of `vision_cfg` that are read, or whose value must be this one.
const VISION_DEFAULTS: &[(&str, Option<&str>)] = &[
    ("layers", None),
    ("width", None),
    ("head_width", None),
    ("mlp_ratio", None),
    ("patch_size", None),
    ("image_size", None),
    // Only in training.
    ("patch_dropout", None),
    ("attn_pooler_queries", None),
    ("attn_pooler_heads", None),
    ("output_tokens", None),
    ("pos_embed_type", Some("\"learnable\"")),
    ("pool_type", Some("\"tok\"")),
    ("timm_model_pretrained", None),
    ("timm_pool", None),
    ("timm_proj", None),
];

/// Keys of `text_cfg` that are read, or whose value must be this one.
const TEXT_DEFAULTS: &[(&str, Option<&str>)] = &[
    ("context_length", None),
    ("vocab_size", None),
    ("width", None),
    ("heads", None),
    ("layers", None),
    ("mlp_ratio", None),
    ("pad_id", None),
    ("eos_id", None),
    ("output_tokens", None),
    ("tokenizer_kwargs", Some("{}")),
    ("pool_type", Some("\"argmax\"")),
    ("proj_type", Some("\"linear\"")),
];

/// Refuses options that change the tower and are not implemented; off, null and 0 are no change.
fn refuse_options(part: &Map<String, Value>, known: &[(&str, Option<&str>)]) -> Result<(), String> {
    for (key, value) in part {
        let is_off = value.is_null() || *value == Value::Bool(false) || value.as_f64() == Some(0.0);
        let is_known = known.iter().any(|(name, required)| {
            name == key && required.is_none_or(|required| value == required)
        });
        if !is_off && !is_known {
            return Err(format!(
                "expected a plain CLIP, got option `{key}` = {value}; use an ONNX export of it"
            ));
        }
    }
    Ok(())
}

fn openai(checkpoint: &Checkpoint) -> Result<ClipConfig, String> {
    if checkpoint.contains("visual.layer1.0.conv1.weight") {
        return Err(RESNET.to_owned());
    }
    let shape = |name: &str, axes: usize| match checkpoint.shape(name) {
        Some(shape) if shape.len() == axes => Ok(shape),
        Some(shape) => Err(format!(
            "tensor `{name}`: expected {axes} axes, got {shape:?}"
        )),
        None => Err(format!("expected a CLIP, but tensor `{name}` is missing")),
    };
    let patches = shape("visual.conv1.weight", 4)?;
    let (width, patch_size) = (patches[0], patches[3]);
    if width > WIDEST_OPENAI {
        return Err(format!(
            "expected an image tower of OpenAI's, at most {WIDEST_OPENAI} wide, got {width}: \
             OpenCLIP weights need their open_clip_config.json beside them"
        ));
    }
    let positions = shape("visual.positional_embedding", 2)?[0];
    let grid = positions.saturating_sub(1).isqrt();
    if grid * grid + 1 != positions {
        return Err(format!(
            "expected positions for a square of patches, got {positions}"
        ));
    }
    let text_width = shape("ln_final.weight", 1)?[0];
    let projection = shape("text_projection", 2)?;
    let transformer = |prefix: &str, width: usize| {
        let layers = (0..=MAX_LAYERS)
            .take_while(|layer| {
                checkpoint.contains(&format!(
                    "{prefix}transformer.resblocks.{layer}.ln_1.weight"
                ))
            })
            .count();
        TransformerConfig {
            width,
            layers,
            // As `build_model`: a head is 64 wide.
            heads: width / 64,
            hidden_width: width.saturating_mul(4),
            activation: Activation::QuickGelu,
            layer_norm_epsilon: 1e-5,
        }
    };
    ClipConfig {
        width: projection[1],
        image: ImageConfig {
            transformer: transformer("visual.", width),
            image_size: grid.saturating_mul(patch_size),
            patch_size,
        },
        text: TextConfig {
            transformer: transformer("", text_width),
            context_length: shape("positional_embedding", 2)?[0],
            vocabulary_size: shape("token_embedding.weight", 2)?[0],
            pooling: TextPooling::LargestId,
        },
    }
    .check()
}

impl ClipConfig {
    /// The parameters that the sizes come to, both towers and the temperature.
    pub fn parameters(&self) -> usize {
        let block = |config: &TransformerConfig| {
            let (width, hidden) = (config.width, config.hidden_width);
            4 * width * width + 2 * width * hidden + 9 * width + hidden
        };
        let (image, text) = (&self.image, &self.text);
        let image_width = image.transformer.width;
        let patches = 3 * image.patch_size * image.patch_size + image.tokens() + 1;
        let image_sum = image_width * (patches + 4 + self.width)
            + image.transformer.layers * block(&image.transformer);
        let text_width = text.transformer.width;
        let tables = text.vocabulary_size + text.context_length;
        let text_sum = text_width * (tables + 2 + self.width)
            + text.transformer.layers * block(&text.transformer);
        image_sum + text_sum + 1
    }

    /// The form that a checkpoint's names tell, or a message that names what is missing.
    pub(super) fn naming_of(checkpoint: &Checkpoint) -> Result<Naming> {
        Naming::of(checkpoint).ok_or_else(|| {
            Error::model(
                checkpoint.path(),
                "expected the tensors of a CLIP (`visual.conv1.weight` or \
                 `vision_model.embeddings.patch_embedding.weight`), got neither",
            )
        })
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("`{what}`: expected an object, got {value}"))
}

fn size(part: &Map<String, Value>, key: &str, default: usize) -> Result<usize, String> {
    match part.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| format!("`{key}`: expected a whole number, got {value}")),
    }
}

/// A size that may be written as `[size, size]`.
fn square(part: &Map<String, Value>, key: &str, default: usize) -> Result<usize, String> {
    match part.get(key).and_then(Value::as_array).map(Vec::as_slice) {
        Some([height, width]) if height == width => {
            let one = Map::from_iter([(key.to_owned(), height.clone())]);
            size(&one, key, default)
        }
        Some(_) => Err(format!("`{key}`: expected a square")),
        None => size(part, key, default),
    }
}

fn number(part: &Map<String, Value>, key: &str, default: f64) -> Result<f64, String> {
    match part.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| format!("`{key}`: expected a number, got {value}")),
    }
}

fn epsilon(part: &Map<String, Value>) -> Result<f32, String> {
    let epsilon = number(part, "layer_norm_eps", 1e-5)?;
    if epsilon > 0.0 && epsilon < 1.0 {
        Ok(epsilon as f32)
    } else {
        Err(format!(
            "`layer_norm_eps`: expected a small number, got {epsilon}"
        ))
    }
}

fn activation(part: &Map<String, Value>) -> Result<Activation, String> {
    match part.get("hidden_act").and_then(Value::as_str) {
        None | Some("quick_gelu") => Ok(Activation::QuickGelu),
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_pytorch_tanh") => Ok(Activation::GeluNew),
        Some(other) => Err(format!(
            "`hidden_act`: expected \"quick_gelu\" or \"gelu\", got {other:?}"
        )),
    }
}
