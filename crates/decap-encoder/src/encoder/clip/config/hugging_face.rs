//! Hugging Face's `config.json`.

use decap_kernels::Activation;
use serde_json::{Map, Value};

use super::fields::{number, object, size};
use super::{ClipConfig, ImageConfig, Refusal, TextConfig, TextPooling, TransformerConfig};

pub(super) fn read(file: &Value) -> Result<ClipConfig, Refusal> {
    let fields = object(file, "config.json")?;
    match fields.get("model_type").and_then(Value::as_str) {
        Some("clip") => {}
        other => {
            return Err(Refusal::Unsupported(format!(
                "expected model type \"clip\", got {:?}; use an ONNX export of other encoders",
                other.unwrap_or("none")
            )));
        }
    }
    let empty = Map::new();
    // Where old files carry `text_config_dict` too, CLIPConfig of transformers takes it for the whole
    // truth: what it leaves out is the default, whatever `text_config` says.
    let part = |name: &str| {
        let old = format!("{name}_dict");
        match fields.get(&old).filter(|part| !part.is_null()) {
            Some(part) => object(part, &old),
            None => match fields.get(name) {
                None | Some(Value::Null) => Ok(&empty),
                Some(part) => object(part, name),
            },
        }
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
        let message = "expected pictures of 3 channels, got another number";
        return Err(message.to_owned().into());
    }
    let config = ClipConfig {
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
    };
    Ok(config.check()?)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_old_parts_win_as_in_transformers() {
        let mut file = json!({
            "model_type": "clip",
            "projection_dim": 768,
            "text_config": {"hidden_act": "gelu", "hidden_size": 1024, "eos_token_id": 2},
            "vision_config": {"hidden_act": "gelu", "patch_size": 14},
            "text_config_dict": null,
            "vision_config_dict": null,
        });
        let config = read(&file).unwrap();
        assert_eq!(config.text.transformer.width, 1024);
        assert_eq!(config.text.pooling, TextPooling::LargestId);
        file["text_config_dict"] = json!({"hidden_size": 768, "num_attention_heads": 12});
        let config = read(&file).unwrap();
        let text = config.text.transformer;
        assert_eq!((text.width, text.heads), (768, 12));
        // Not said by the old part, so the default: never what the new part says.
        assert_eq!(text.activation, Activation::QuickGelu);
        assert_eq!(config.text.pooling, TextPooling::FirstOf(49407));
        assert_eq!(config.image.transformer.activation, Activation::Gelu);
        file["vision_config_dict"] = json!([]);
        let error = read(&file).unwrap_err();
        let expected = "`vision_config_dict`: expected an object, got []";
        assert_eq!(error, Refusal::Broken(expected.to_owned()));
    }
}
