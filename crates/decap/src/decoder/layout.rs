//! Where each named tensor lies in the one flat buffer that holds all parameters.

use std::ops::Range;

use super::DecoderConfig;

/// The offsets of every parameter tensor, in checkpoint order.
///
/// Parameters, gradients and optimizer moments share one layout, so that an optimizer step is
/// one pass over four flat buffers, as in llm.c.
#[derive(Debug, Clone)]
pub struct ParameterLayout {
    /// `[width, prefix_width]`
    pub prefix_weight: Range<usize>,
    /// `[width]`
    pub prefix_bias: Range<usize>,
    /// `[vocabulary_size, width]`, the output layer too
    pub token_embedding: Range<usize>,
    /// `[num_positions, width]`
    pub position_embedding: Range<usize>,
    /// The transformer blocks.
    pub blocks: Vec<BlockLayout>,
    /// The norm before the output.
    pub final_norm: NormLayout,
    /// Each tensor's name, shape and place.
    pub tensors: Vec<TensorLayout>,
}

/// A transformer block's offsets. Linear weights are GPT-2's Conv1D: `[in, out]`.
#[derive(Debug, Clone)]
pub struct BlockLayout {
    /// The norm before attention.
    pub attention_norm: NormLayout,
    /// `[width, 3 width]`: query, key, value
    pub attention_in: LinearLayout,
    /// `[width, width]`
    pub attention_out: LinearLayout,
    /// The norm before the two linear layers.
    pub mlp_norm: NormLayout,
    /// `[width, 4 width]`
    pub mlp_in: LinearLayout,
    /// `[4 width, width]`
    pub mlp_out: LinearLayout,
}

/// A layer norm's weight and bias, `[width]` each.
#[derive(Debug, Clone)]
pub struct NormLayout {
    /// `[width]`
    pub weight: Range<usize>,
    /// `[width]`
    pub bias: Range<usize>,
}

/// A linear layer's weight `[in, out]` and bias `[out]`.
#[derive(Debug, Clone)]
pub struct LinearLayout {
    /// `[in, out]`
    pub weight: Range<usize>,
    /// `[out]`
    pub bias: Range<usize>,
}

/// One tensor of the checkpoint.
#[derive(Debug, Clone)]
pub struct TensorLayout {
    /// Its name in the reference's checkpoints.
    pub name: String,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// Its place among all parameters.
    pub range: Range<usize>,
    /// Which axis of a matrix counts outputs: the axis that int8 scales run along.
    pub output_axis: usize,
}

impl ParameterLayout {
    /// The layout of a decoder whose config has been validated.
    pub fn new(config: &DecoderConfig) -> Self {
        let width = config.width;
        let mut tensors = TensorList::default();
        let prefix_weight = tensors.push(
            "clip_project.model.0.weight",
            &[width, config.prefix_width],
            0,
        );
        let prefix_bias = tensors.push("clip_project.model.0.bias", &[width], 0);
        let root = "decoder.transformer";
        let token_embedding = tensors.push(
            &format!("{root}.wte.weight"),
            &[config.vocabulary_size, width],
            0,
        );
        let position_embedding = tensors.push(
            &format!("{root}.wpe.weight"),
            &[config.num_positions, width],
            0,
        );
        let blocks = (0..config.num_layers)
            .map(|layer| {
                let block = format!("{root}.h.{layer}");
                BlockLayout {
                    attention_norm: tensors.push_norm(&format!("{block}.ln_1"), width),
                    attention_in: tensors.push_linear(
                        &format!("{block}.attn.c_attn"),
                        width,
                        3 * width,
                    ),
                    attention_out: tensors.push_linear(
                        &format!("{block}.attn.c_proj"),
                        width,
                        width,
                    ),
                    mlp_norm: tensors.push_norm(&format!("{block}.ln_2"), width),
                    mlp_in: tensors.push_linear(&format!("{block}.mlp.c_fc"), width, 4 * width),
                    mlp_out: tensors.push_linear(&format!("{block}.mlp.c_proj"), 4 * width, width),
                }
            })
            .collect();
        let final_norm = tensors.push_norm(&format!("{root}.ln_f"), width);
        Self {
            prefix_weight,
            prefix_bias,
            token_embedding,
            position_embedding,
            blocks,
            final_norm,
            tensors: tensors.0,
        }
    }

    /// Values in all tensors.
    pub fn num_values(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }
}

#[derive(Default)]
struct TensorList(Vec<TensorLayout>);

impl TensorList {
    fn push(&mut self, name: &str, shape: &[usize], output_axis: usize) -> Range<usize> {
        let start = self.0.last().map_or(0, |tensor| tensor.range.end);
        let range = start..start + shape.iter().product::<usize>();
        self.0.push(TensorLayout {
            name: name.to_owned(),
            shape: shape.to_vec(),
            range: range.clone(),
            output_axis,
        });
        range
    }

    fn push_norm(&mut self, name: &str, width: usize) -> NormLayout {
        NormLayout {
            weight: self.push(&format!("{name}.weight"), &[width], 0),
            bias: self.push(&format!("{name}.bias"), &[width], 0),
        }
    }

    fn push_linear(&mut self, name: &str, inputs: usize, outputs: usize) -> LinearLayout {
        LinearLayout {
            weight: self.push(&format!("{name}.weight"), &[inputs, outputs], 1),
            bias: self.push(&format!("{name}.bias"), &[outputs], 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_holds_every_parameter_once() {
        let config = DecoderConfig::default();
        let layout = ParameterLayout::new(&config);
        assert_eq!(layout.num_values(), config.num_parameters());
        assert_eq!(layout.tensors.len(), 4 + 12 * config.num_layers + 2);
        let mut end = 0;
        for tensor in &layout.tensors {
            assert_eq!(tensor.range.start, end);
            assert_eq!(tensor.range.len(), tensor.shape.iter().product::<usize>());
            end = tensor.range.end;
        }
    }
}
