//! OpenCLIP's `open_clip_config.json`.

use decap_kernels::Activation;
use serde_json::{Map, Value};

use super::fields::{number, object, size};
use super::{ClipConfig, ImageConfig, RESNET, Refusal, TextConfig, TextPooling, TransformerConfig};

pub(super) fn read(file: &Value) -> Result<ClipConfig, Refusal> {
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
            return Err(Refusal::Unsupported(format!(
                "expected OpenCLIP's own ViT and text transformer, got `{key}` {name:?}; \
                 use an ONNX export of it"
            )));
        }
    }
    if vision.get("layers").is_some_and(Value::is_array) {
        return Err(Refusal::Unsupported(RESNET.to_owned()));
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
    let config = ClipConfig {
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
    };
    Ok(config.check()?)
}

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
fn refuse_options(
    part: &Map<String, Value>,
    known: &[(&str, Option<&str>)],
) -> Result<(), Refusal> {
    for (key, value) in part {
        let is_off = value.is_null() || *value == Value::Bool(false) || value.as_f64() == Some(0.0);
        let is_known = known.iter().any(|(name, required)| {
            name == key && required.is_none_or(|required| value == required)
        });
        if !is_off && !is_known {
            return Err(Refusal::Unsupported(format!(
                "expected a plain CLIP, got option `{key}` = {value}; use an ONNX export of it"
            )));
        }
    }
    Ok(())
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
