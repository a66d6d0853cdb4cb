//! The backward pass: the gradient of the loss with respect to every parameter.

use decap_kernels::{
    Accumulate, CrossEntropy, LayerNormGradients, LinearCrossEntropyGradients, Loss, MatrixView,
    MatrixViewMut, Precision, RowStatistics, gelu_new_backward, layer_norm_backward,
    linear_cross_entropy_with, matmul, matmul_with, prefer_huge_pages,
};
use rayon::prelude::*;

use super::attention::attend_backward;
use super::batch::Batch;
use super::dropout::DropoutMask;
use super::forward::{Activations, BlockActivations, StepSettings};
use decap::decoder::{BlockLayout, DecoderWeights, LinearLayout, NormLayout};

/// Columns that a task of a column sum takes.
const SUM_COLUMNS: usize = 64;

/// Gradients of all parameters, in the parameters' layout, and the buffers of the way back.
#[derive(Default)]
pub(super) struct Gradients {
    pub values: Vec<f32>,
    /// Of the residual stream, `[rows, width]`.
    stream: Vec<f32>,
    /// Of a block's smaller inner values, `[rows, width]`.
    inner: Vec<f32>,
    /// Of what a sublayer adds to the stream, `[rows, width]`.
    added: Vec<f32>,
    /// Of queries, keys and values, `[rows, 3 width]`.
    query_key_value: Vec<f32>,
    /// Of the feed-forward layer's inside, `[rows, 4 width]`.
    hidden: Vec<f32>,
    /// Of the embedded prefixes, `[sequences, width]`.
    prefixes: Vec<f32>,
}

impl Gradients {
    /// The loss of the batch after [`Activations::forward`], and the gradients of all parameters.
    pub fn backward(
        &mut self,
        weights: &DecoderWeights,
        batch: &Batch,
        activations: &Activations,
        settings: StepSettings,
        loss_settings: CrossEntropy,
    ) -> Loss {
        self.resize(weights, batch);
        let loss = self.through_output(weights, batch, activations, settings, loss_settings);
        for layer in (0..activations.blocks.len()).rev() {
            let input = match layer {
                0 => &activations.embedded,
                _ => &activations.blocks[layer - 1].output,
            };
            self.through_block(
                weights,
                batch,
                &activations.blocks[layer],
                input,
                settings,
                layer,
            );
        }
        if let Some(mask) = settings.embedding() {
            mask.apply(&mut self.stream);
        }
        self.through_embeddings(weights, batch);
        loss
    }

    fn resize(&mut self, weights: &DecoderWeights, batch: &Batch) {
        let (rows, width) = (batch.rows(), weights.config().width);
        if self.values.len() != weights.values().len() {
            self.values = vec![0.0; weights.values().len()];
            prefer_huge_pages(&self.values);
            prefer_huge_pages(weights.values());
        }
        // Those of weights are overwritten, all others added up.
        let layout = weights.layout();
        let mut added = vec![&layout.position_embedding, &layout.prefix_bias];
        let mut norms = vec![&layout.final_norm];
        for block in &layout.blocks {
            norms.extend([&block.attention_norm, &block.mlp_norm]);
            let linears = [
                &block.attention_in,
                &block.attention_out,
                &block.mlp_in,
                &block.mlp_out,
            ];
            added.extend(linears.map(|linear| &linear.bias));
        }
        added.extend(norms.iter().flat_map(|norm| [&norm.weight, &norm.bias]));
        for range in added {
            self.values[range.clone()].fill(0.0);
        }
        self.stream.resize(rows * width, 0.0);
        self.inner.resize(rows * width, 0.0);
        self.added.resize(rows * width, 0.0);
        self.query_key_value.resize(rows * 3 * width, 0.0);
        self.hidden.resize(rows * 4 * width, 0.0);
        self.prefixes.resize(batch.lengths.len() * width, 0.0);
    }

    /// Loss, output layer (the token embedding) and last norm.
    fn through_output(
        &mut self,
        weights: &DecoderWeights,
        batch: &Batch,
        activations: &Activations,
        settings: StepSettings,
        loss_settings: CrossEntropy,
    ) -> Loss {
        let width = weights.config().width;
        let embedding = weights.layout().token_embedding.clone();
        let gradients = LinearCrossEntropyGradients {
            hidden: &mut self.inner,
            embedding: &mut self.values[embedding.clone()],
        };
        let loss = linear_cross_entropy_with(
            settings.precision,
            &activations.final_normed,
            &weights.values()[embedding],
            width,
            &batch.targets,
            loss_settings,
            Some(gradients),
        );
        let input = activations
            .blocks
            .last()
            .map_or(&activations.embedded, |block| &block.output);
        let norm = Norm {
            place: &weights.layout().final_norm,
            statistics: &activations.final_statistics,
            input,
        };
        norm.backward(
            weights,
            &mut self.values,
            &self.inner,
            Accumulate::Overwrite,
            &mut self.stream,
        );
        loss
    }

    fn through_block(
        &mut self,
        weights: &DecoderWeights,
        batch: &Batch,
        block: &BlockActivations,
        input: &[f32],
        settings: StepSettings,
        layer: usize,
    ) {
        let place: &BlockLayout = &weights.layout().blocks[layer];
        let upstream = dropped(settings.mlp_out(layer), &self.stream, &mut self.added);
        backward_linear(
            weights,
            settings.precision,
            &mut self.values,
            &place.mlp_out,
            &block.hidden,
            upstream,
            &mut self.hidden,
        );
        gelu_new_backward(&block.hidden_input, &mut self.hidden);
        backward_linear(
            weights,
            settings.precision,
            &mut self.values,
            &place.mlp_in,
            &block.mlp_normed,
            &self.hidden,
            &mut self.inner,
        );
        let norm = Norm {
            place: &place.mlp_norm,
            statistics: &block.mlp_statistics,
            input: &block.middle,
        };
        norm.backward(
            weights,
            &mut self.values,
            &self.inner,
            Accumulate::Add,
            &mut self.stream,
        );

        let upstream = dropped(settings.attention_out(layer), &self.stream, &mut self.added);
        let out = &place.attention_out;
        backward_linear(
            weights,
            settings.precision,
            &mut self.values,
            out,
            &block.attended,
            upstream,
            &mut self.inner,
        );
        attend_backward(
            weights.config(),
            batch,
            &block.query_key_value,
            &block.probabilities,
            settings.attention(layer),
            &self.inner,
            &mut self.query_key_value,
        );
        let (qkv, normed) = (&place.attention_in, &block.attention_normed);
        backward_linear(
            weights,
            settings.precision,
            &mut self.values,
            qkv,
            normed,
            &self.query_key_value,
            &mut self.inner,
        );
        let norm = Norm {
            place: &place.attention_norm,
            statistics: &block.attention_statistics,
            input,
        };
        norm.backward(
            weights,
            &mut self.values,
            &self.inner,
            Accumulate::Add,
            &mut self.stream,
        );
    }

    /// Positions, tokens, and the prefix layer.
    fn through_embeddings(&mut self, weights: &DecoderWeights, batch: &Batch) {
        let config = weights.config();
        let (width, layout) = (config.width, weights.layout());
        let mut prefixes = self.prefixes.chunks_exact_mut(width);
        let rows = self
            .stream
            .chunks_exact(width)
            .zip(&batch.inputs)
            .zip(batch.places());
        for ((gradient, &token), place) in rows {
            add(
                &mut self.values[layout.position_embedding.start + place * width..][..width],
                gradient,
            );
            match place {
                0 => prefixes
                    .next()
                    .unwrap_or_default()
                    .copy_from_slice(gradient),
                _ => {
                    let start = layout.token_embedding.start + token as usize * width;
                    add(&mut self.values[start..start + width], gradient);
                }
            }
        }
        let sequences = batch.lengths.len();
        sum_rows(&self.prefixes, &mut self.values[layout.prefix_bias.clone()]);
        matmul(
            MatrixView::row_major(&self.prefixes, sequences, width).transposed(),
            MatrixView::row_major(&batch.prefixes, sequences, config.prefix_width),
            Accumulate::Overwrite,
            MatrixViewMut::row_major(
                &mut self.values[layout.prefix_weight.clone()],
                width,
                config.prefix_width,
            ),
        );
    }
}

/// A layer norm on the way back.
struct Norm<'a> {
    place: &'a NormLayout,
    statistics: &'a RowStatistics,
    /// What the norm read, `[rows, width]`.
    input: &'a [f32],
}

impl Norm<'_> {
    fn backward(
        &self,
        weights: &DecoderWeights,
        gradients: &mut [f32],
        output_gradient: &[f32],
        accumulate: Accumulate,
        input_gradient: &mut [f32],
    ) {
        // Weight and bias lie side by side.
        let both = &mut gradients[self.place.weight.start..self.place.bias.end];
        let (weight, bias) = both.split_at_mut(self.place.weight.len());
        layer_norm_backward(
            self.input,
            &weights.values()[self.place.weight.clone()],
            self.statistics,
            output_gradient,
            accumulate,
            LayerNormGradients {
                input: input_gradient,
                weight,
                bias,
            },
        );
    }
}

/// The gradient of what was dropped from and added to the stream; `added` has room for it.
fn dropped<'a>(mask: Option<DropoutMask>, stream: &'a [f32], added: &'a mut [f32]) -> &'a [f32] {
    let Some(mask) = mask else {
        return stream;
    };
    added.copy_from_slice(stream);
    mask.apply(added);
    added
}

/// `output = input weight + bias` on the way back: adds to the gradient of the bias, overwrites those of
/// weight and input.
fn backward_linear(
    weights: &DecoderWeights,
    precision: Precision,
    gradients: &mut [f32],
    place: &LinearLayout,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    let outputs = place.bias.len();
    let inputs = place.weight.len() / outputs;
    let rows = input.len() / inputs;
    let upstream = MatrixView::row_major(output_gradient, rows, outputs);
    matmul_with(
        precision,
        upstream,
        MatrixView::row_major(&weights.values()[place.weight.clone()], inputs, outputs)
            .transposed(),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(input_gradient, rows, inputs),
    );
    matmul_with(
        precision,
        MatrixView::row_major(input, rows, inputs).transposed(),
        upstream,
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut gradients[place.weight.clone()], inputs, outputs),
    );
    sum_rows(output_gradient, &mut gradients[place.bias.clone()]);
}

/// Adds up the rows of `values` `[rows, columns]`; a column is summed by one task, in order.
fn sum_rows(values: &[f32], sums: &mut [f32]) {
    let columns = sums.len();
    sums.par_chunks_mut(SUM_COLUMNS)
        .enumerate()
        .for_each(|(chunk, sums)| {
            for row in values.chunks_exact(columns) {
                add(sums, &row[chunk * SUM_COLUMNS..][..sums.len()]);
            }
        });
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += value);
}
