//! The forward pass of training: the decoder's, keeping what the backward pass needs.

use decap_kernels::{
    Accumulate, Epilogue, MatrixView, MatrixViewMut, Precision, RowStatistics, add_assign,
    gelu_new_into, layer_norm_saving, matmul, matmul_then,
};

use super::attention::{attend, probabilities_len};
use super::batch::Batch;
use super::dropout::DropoutMask;
use super::options::{Dropout, TrainOptions};
use super::streams::{Purpose, stream};
use decap::decoder::{BlockLayout, DecoderConfig, DecoderWeights, LinearLayout, NormLayout};

/// How one step computes: what it drops, and in which precision it multiplies.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepSettings {
    pub precision: Precision,
    rates: Dropout,
    seed: u64,
    step: u64,
}

impl StepSettings {
    /// Training step `step`.
    pub fn new(options: &TrainOptions, step: u64) -> Self {
        Self {
            precision: options.precision.into(),
            rates: options.dropout,
            seed: options.seed,
            step,
        }
    }

    /// Nothing is dropped, products are f32: evaluation.
    pub fn exact() -> Self {
        Self {
            precision: Precision::F32,
            rates: Dropout {
                embedding: 0.0,
                attention: 0.0,
                residual: 0.0,
            },
            seed: 0,
            step: 0,
        }
    }

    pub fn embedding(&self) -> Option<DropoutMask> {
        self.mask(self.rates.embedding, 0)
    }

    pub fn attention(&self, layer: usize) -> Option<DropoutMask> {
        self.mask(self.rates.attention, 1 + 3 * layer as u64)
    }

    pub fn attention_out(&self, layer: usize) -> Option<DropoutMask> {
        self.mask(self.rates.residual, 2 + 3 * layer as u64)
    }

    pub fn mlp_out(&self, layer: usize) -> Option<DropoutMask> {
        self.mask(self.rates.residual, 3 + 3 * layer as u64)
    }

    fn mask(&self, rate: f32, place: u64) -> Option<DropoutMask> {
        DropoutMask::new(stream(self.seed, Purpose::Dropout, self.step, place), rate)
    }
}

/// What the forward pass leaves for the backward pass. Buffers are reused from step to step.
#[derive(Default)]
pub(super) struct Activations {
    /// The embedded prefixes, `[sequences, width]`.
    embedded_prefixes: Vec<f32>,
    /// What the first block reads, `[rows, width]`.
    pub embedded: Vec<f32>,
    pub blocks: Vec<BlockActivations>,
    pub final_statistics: RowStatistics,
    /// What the output layer reads, `[rows, width]`.
    pub final_normed: Vec<f32>,
}

/// One block's activations, `[rows, width]` each unless said otherwise.
#[derive(Default)]
pub(super) struct BlockActivations {
    pub attention_statistics: RowStatistics,
    pub attention_normed: Vec<f32>,
    /// `[rows, 3 width]`
    pub query_key_value: Vec<f32>,
    /// `[num_heads, length, length]` for each sequence, before dropout
    pub probabilities: Vec<f32>,
    pub attended: Vec<f32>,
    /// The residual stream between attention and feed-forward.
    pub middle: Vec<f32>,
    pub mlp_statistics: RowStatistics,
    pub mlp_normed: Vec<f32>,
    /// Before the activation, `[rows, 4 width]`.
    pub hidden_input: Vec<f32>,
    /// After the activation, `[rows, 4 width]`.
    pub hidden: Vec<f32>,
    /// The residual stream after the block.
    pub output: Vec<f32>,
}

impl Activations {
    /// Runs the batch through the network up to the output layer's input.
    pub fn forward(&mut self, weights: &DecoderWeights, batch: &Batch, settings: StepSettings) {
        let config = weights.config();
        self.resize(config, batch);
        self.embed(weights, batch);
        if let Some(mask) = settings.embedding() {
            mask.apply(&mut self.embedded);
        }
        let mut input: &[f32] = &self.embedded;
        for (layer, (block, place)) in self
            .blocks
            .iter_mut()
            .zip(&weights.layout().blocks)
            .enumerate()
        {
            block.forward(weights, place, batch, input, settings, layer);
            input = &block.output;
        }
        let norm = &weights.layout().final_norm;
        forward_norm(
            weights,
            norm,
            input,
            &mut self.final_statistics,
            &mut self.final_normed,
        );
    }

    fn resize(&mut self, config: &DecoderConfig, batch: &Batch) {
        let (rows, width) = (batch.rows(), config.width);
        self.embedded_prefixes
            .resize(batch.lengths.len() * width, 0.0);
        self.embedded.resize(rows * width, 0.0);
        self.final_normed.resize(rows * width, 0.0);
        self.blocks
            .resize_with(config.num_layers, BlockActivations::default);
        for block in &mut self.blocks {
            block.attention_normed.resize(rows * width, 0.0);
            block.query_key_value.resize(rows * 3 * width, 0.0);
            block
                .probabilities
                .resize(probabilities_len(config, batch), 0.0);
            block.attended.resize(rows * width, 0.0);
            block.middle.resize(rows * width, 0.0);
            block.mlp_normed.resize(rows * width, 0.0);
            block.hidden_input.resize(rows * 4 * width, 0.0);
            block.hidden.resize(rows * 4 * width, 0.0);
            block.output.resize(rows * width, 0.0);
        }
    }

    /// `embedded[row] = (prefix or token embedding) + position embedding`.
    fn embed(&mut self, weights: &DecoderWeights, batch: &Batch) {
        let config = weights.config();
        let (width, layout, values) = (config.width, weights.layout(), weights.values());
        let sequences = batch.lengths.len();
        fill_rows(
            &mut self.embedded_prefixes,
            &values[layout.prefix_bias.clone()],
        );
        matmul(
            MatrixView::row_major(&batch.prefixes, sequences, config.prefix_width),
            MatrixView::row_major(
                &values[layout.prefix_weight.clone()],
                width,
                config.prefix_width,
            )
            .transposed(),
            Accumulate::Add,
            MatrixViewMut::row_major(&mut self.embedded_prefixes, sequences, width),
        );
        let tokens = &values[layout.token_embedding.clone()];
        let positions = &values[layout.position_embedding.clone()];
        let mut prefixes = self.embedded_prefixes.chunks_exact(width);
        let rows = self
            .embedded
            .chunks_exact_mut(width)
            .zip(&batch.inputs)
            .zip(batch.places());
        for ((row, &token), place) in rows {
            let read = match place {
                0 => prefixes.next().unwrap_or_default(),
                _ => &tokens[token as usize * width..][..width],
            };
            row.copy_from_slice(&positions[place * width..][..width]);
            row.iter_mut()
                .zip(read)
                .for_each(|(sum, value)| *sum += value);
        }
    }
}

impl BlockActivations {
    /// `middle = input + drop(attention(norm(input)))`,
    /// `output = middle + drop(mlp(norm(middle)))`.
    fn forward(
        &mut self,
        weights: &DecoderWeights,
        place: &BlockLayout,
        batch: &Batch,
        input: &[f32],
        settings: StepSettings,
        layer: usize,
    ) {
        let norm = &place.attention_norm;
        forward_norm(
            weights,
            norm,
            input,
            &mut self.attention_statistics,
            &mut self.attention_normed,
        );
        forward_linear(
            weights,
            settings.precision,
            &place.attention_in,
            &self.attention_normed,
            None,
            &mut self.query_key_value,
        );
        attend(
            weights.config(),
            batch,
            &self.query_key_value,
            settings.attention(layer),
            &mut self.probabilities,
            &mut self.attended,
        );
        forward_sublayer(
            weights,
            settings.precision,
            &place.attention_out,
            &self.attended,
            settings.attention_out(layer),
            input,
            &mut self.middle,
        );

        let norm = &place.mlp_norm;
        forward_norm(
            weights,
            norm,
            &self.middle,
            &mut self.mlp_statistics,
            &mut self.mlp_normed,
        );
        forward_linear(
            weights,
            settings.precision,
            &place.mlp_in,
            &self.mlp_normed,
            None,
            &mut self.hidden_input,
        );
        gelu_new_into(&self.hidden_input, &mut self.hidden);
        forward_sublayer(
            weights,
            settings.precision,
            &place.mlp_out,
            &self.hidden,
            settings.mlp_out(layer),
            &self.middle,
            &mut self.output,
        );
    }
}

fn forward_norm(
    weights: &DecoderWeights,
    place: &NormLayout,
    input: &[f32],
    statistics: &mut RowStatistics,
    output: &mut [f32],
) {
    let weight = &weights.values()[place.weight.clone()];
    let bias = &weights.values()[place.bias.clone()];
    layer_norm_saving(
        input,
        weight,
        bias,
        weights.config().layer_norm_epsilon,
        statistics,
        output,
    );
}

/// `output = residual + drop(input weight + bias)`
fn forward_sublayer(
    weights: &DecoderWeights,
    precision: Precision,
    place: &LinearLayout,
    input: &[f32],
    mask: Option<DropoutMask>,
    residual: &[f32],
    output: &mut [f32],
) {
    let Some(mask) = mask else {
        return forward_linear(weights, precision, place, input, Some(residual), output);
    };
    forward_linear(weights, precision, place, input, None, output);
    mask.apply(output);
    add_assign(output, residual);
}

/// `output = input weight + bias + residual`; `input` is `[rows, in]`, `weight` `[in, out]`.
fn forward_linear(
    weights: &DecoderWeights,
    precision: Precision,
    place: &LinearLayout,
    input: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let outputs = place.bias.len();
    let inputs = place.weight.len() / outputs;
    let rows = input.len() / inputs;
    matmul_then(
        precision,
        MatrixView::row_major(input, rows, inputs),
        MatrixView::row_major(&weights.values()[place.weight.clone()], inputs, outputs),
        Epilogue {
            bias: Some(&weights.values()[place.bias.clone()]),
            residual,
            ..Epilogue::default()
        },
        output,
    );
}

fn fill_rows(rows: &mut [f32], row: &[f32]) {
    rows.chunks_exact_mut(row.len())
        .for_each(|slot| slot.copy_from_slice(row));
}
