//! OpenAI's checkpoints, whose shapes say all.

use decap_kernels::Activation;

use super::{
    ClipConfig, ImageConfig, MAX_LAYERS, RESNET, Refusal, TextConfig, TextPooling,
    TransformerConfig,
};
use crate::weights::Checkpoint;

/// Widest image tower that OpenAI published; a wider one needs OpenCLIP's configuration.
const WIDEST_OPENAI: usize = 1024;

pub(super) fn infer(checkpoint: &Checkpoint) -> Result<ClipConfig, Refusal> {
    if checkpoint.contains("visual.layer1.0.conv1.weight") {
        return Err(Refusal::Unsupported(RESNET.to_owned()));
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
        return Err(Refusal::Unsupported(format!(
            "expected an image tower of OpenAI's, at most {WIDEST_OPENAI} wide, got {width}: \
             OpenCLIP weights need their open_clip_config.json beside them"
        )));
    }
    let positions = shape("visual.positional_embedding", 2)?[0];
    let grid = positions.saturating_sub(1).isqrt();
    if grid * grid + 1 != positions {
        let message = format!("expected positions for a square of patches, got {positions}");
        return Err(message.into());
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
    let config = ClipConfig {
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
    };
    Ok(config.check()?)
}
