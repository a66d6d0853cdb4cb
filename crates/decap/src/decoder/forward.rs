//! The network: a prefix and tokens in, logits out, with a cache of keys and values.

use decap_kernels::{
    Activation, Attention, Epilogue, KeyValueCache, Mask, MatrixView, PackedMatrix, Precision,
    Sequences, add_assign, attention, attention_step, layer_norm, linear,
};

use super::layout::{LinearLayout, NormLayout};
use super::{DecoderConfig, DecoderWeights};

/// The network's weights, packed once for the kernels.
#[derive(Debug)]
pub(super) struct Network {
    config: DecoderConfig,
    prefix: Linear,
    /// `[vocabulary_size, width]`
    token_embedding: Vec<f32>,
    /// `[num_positions, width]`
    position_embedding: Vec<f32>,
    blocks: Vec<Block>,
    final_norm: Norm,
    /// The token embedding once more, as `[width, vocabulary_size]`: the tied output layer.
    output: PackedMatrix,
}

#[derive(Debug)]
struct Block {
    attention_norm: Norm,
    attention_in: Linear,
    attention_out: Linear,
    mlp_norm: Norm,
    mlp_in: Linear,
    mlp_out: Linear,
}

#[derive(Debug)]
struct Linear {
    weight: PackedMatrix,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Network {
    /// Packs the weights, the matrices in `precision`.
    pub fn new(weights: &DecoderWeights, precision: Precision) -> Self {
        let config = weights.config().clone();
        let layout = &weights.layout;
        let values = &weights.values;
        let width = config.width;
        let norm = |place: &NormLayout| Norm {
            weight: values[place.weight.clone()].to_vec(),
            bias: values[place.bias.clone()].to_vec(),
            epsilon: config.layer_norm_epsilon,
        };
        let conv1d = |place: &LinearLayout| {
            let outputs = place.bias.len();
            let inputs = place.weight.len() / outputs;
            let weight = MatrixView::row_major(&values[place.weight.clone()], inputs, outputs);
            Linear {
                weight: PackedMatrix::pack(weight, precision),
                bias: values[place.bias.clone()].to_vec(),
            }
        };
        let prefix_weight = MatrixView::row_major(
            &values[layout.prefix_weight.clone()],
            width,
            config.prefix_width,
        );
        let token_embedding = values[layout.token_embedding.clone()].to_vec();
        let output = MatrixView::row_major(&token_embedding, config.vocabulary_size, width);
        let blocks = layout
            .blocks
            .iter()
            .map(|block| Block {
                attention_norm: norm(&block.attention_norm),
                attention_in: conv1d(&block.attention_in),
                attention_out: conv1d(&block.attention_out),
                mlp_norm: norm(&block.mlp_norm),
                mlp_in: conv1d(&block.mlp_in),
                mlp_out: conv1d(&block.mlp_out),
            })
            .collect();
        Self {
            prefix: Linear {
                weight: PackedMatrix::pack(prefix_weight.transposed(), precision),
                bias: values[layout.prefix_bias.clone()].to_vec(),
            },
            output: PackedMatrix::pack(output.transposed(), precision),
            token_embedding,
            position_embedding: values[layout.position_embedding.clone()].to_vec(),
            blocks,
            final_norm: norm(&layout.final_norm),
            config,
        }
    }
}

/// Sequences on their way: the keys and values of the positions read so far, and the buffers
/// that each step reuses.
pub(super) struct Session<'n> {
    network: &'n Network,
    /// Sequences.
    rows: usize,
    /// Positions read so far, the same for all sequences.
    length: usize,
    /// The same once more for each sequence, `[rows]`.
    positions: Vec<usize>,
    /// Positions that the cache has room for.
    capacity: usize,
    /// For each layer the keys, `[rows, capacity, width]`, then the values.
    cache: Vec<[Vec<f32>; 2]>,
    buffers: Buffers,
}

/// What a step computes, each `[rows * new positions, ...]`.
#[derive(Default)]
struct Buffers {
    stream: Vec<f32>,
    next_stream: Vec<f32>,
    normed: Vec<f32>,
    query_key_value: Vec<f32>,
    attended: Vec<f32>,
    hidden: Vec<f32>,
    logits: Vec<f32>,
}

impl<'n> Session<'n> {
    /// Begins a sequence for each of `prefixes` `[rows, prefix_width]`, none read yet.
    ///
    /// The cache has room for `capacity` positions, the prefix included.
    pub fn new(network: &'n Network, rows: usize, capacity: usize) -> Self {
        let config = &network.config;
        let capacity = capacity.min(config.num_positions);
        let empty = || vec![0.0; rows * capacity * config.width];
        let cache = (0..config.num_layers).map(|_| [empty(), empty()]).collect();
        Self {
            network,
            rows,
            length: 0,
            positions: Vec::with_capacity(rows),
            capacity,
            cache,
            buffers: Buffers::default(),
        }
    }

    /// Reads `prefixes` `[rows, prefix_width]` as the first position, then `tokens`
    /// `[rows, new_tokens]` after it; gives logits `[rows, 1 + new_tokens, vocabulary_size]`.
    pub fn start(&mut self, prefixes: &[f32], tokens: &[u32]) -> &[f32] {
        let width = self.network.config.width;
        let new_tokens = tokens.len() / self.rows.max(1);
        let mut embedded = vec![0.0; self.rows * width];
        let epilogue = Epilogue {
            bias: Some(&self.network.prefix.bias),
            ..Epilogue::default()
        };
        linear(
            prefixes,
            &self.network.prefix.weight,
            epilogue,
            &mut embedded,
        );
        self.buffers.stream.clear();
        for (row, prefix) in embedded.chunks_exact(width).enumerate() {
            self.buffers.stream.extend_from_slice(prefix);
            self.push_tokens(&tokens[row * new_tokens..][..new_tokens]);
        }
        self.advance(1 + new_tokens)
    }

    /// Reads one more token a sequence, `[rows]`; gives logits `[rows, vocabulary_size]`.
    pub fn step(&mut self, tokens: &[u32]) -> &[f32] {
        self.buffers.stream.clear();
        self.push_tokens(tokens);
        self.advance(1)
    }

    /// Replaces the sequences: the new row `n` continues the old row `parents[n]`.
    pub fn reorder(&mut self, parents: &[usize]) {
        let unchanged = parents.len() == self.rows && parents.iter().copied().eq(0..self.rows);
        if unchanged {
            return;
        }
        let stride = self.capacity * self.network.config.width;
        let used = self.length * self.network.config.width;
        for values in self.cache.iter_mut().flatten() {
            // Leaving finished sequences out keeps the order, and needs no second buffer.
            if parents
                .iter()
                .enumerate()
                .all(|(row, &parent)| parent >= row)
            {
                for (row, &parent) in parents.iter().enumerate() {
                    values.copy_within(parent * stride..parent * stride + used, row * stride);
                }
                values.truncate(parents.len() * stride);
            } else {
                let mut reordered = vec![0.0; parents.len() * stride];
                for (row, &parent) in parents.iter().enumerate() {
                    reordered[row * stride..][..used]
                        .copy_from_slice(&values[parent * stride..][..used]);
                }
                *values = reordered;
            }
        }
        self.rows = parents.len();
    }

    fn push_tokens(&mut self, tokens: &[u32]) {
        let width = self.network.config.width;
        for &token in tokens {
            let row = &self.network.token_embedding[token as usize * width..][..width];
            self.buffers.stream.extend_from_slice(row);
        }
    }

    /// Runs the blocks on `stream` `[rows, new, width]`, which follows the positions read so far.
    fn advance(&mut self, new: usize) -> &[f32] {
        let network = self.network;
        let width = network.config.width;
        let room = self.capacity - self.length;
        assert!(new <= room, "positions: {new} new, room for {room}");
        let buffers = &mut self.buffers;
        for (index, position) in buffers.stream.chunks_exact_mut(width).enumerate() {
            let place = self.length + index % new;
            add_assign(
                position,
                &network.position_embedding[place * width..][..width],
            );
        }
        buffers.resize(self.rows * new, &network.config);
        self.positions.clear();
        self.positions.resize(self.rows, self.length);
        let span = Span {
            positions: &self.positions,
            new,
            capacity: self.capacity,
        };
        for (block, cache) in network.blocks.iter().zip(&mut self.cache) {
            block.forward(&network.config, &span, cache, buffers);
        }
        network
            .final_norm
            .forward(&buffers.stream, &mut buffers.normed);
        linear(
            &buffers.normed,
            &network.output,
            Epilogue::default(),
            &mut buffers.logits,
        );
        self.length += new;
        &buffers.logits
    }
}

/// Which positions a step reads.
struct Span<'a> {
    /// Positions read before, `[rows]`.
    positions: &'a [usize],
    new: usize,
    capacity: usize,
}

impl Buffers {
    fn resize(&mut self, positions: usize, config: &DecoderConfig) {
        let width = config.width;
        self.next_stream.resize(positions * width, 0.0);
        self.normed.resize(positions * width, 0.0);
        self.query_key_value.resize(positions * 3 * width, 0.0);
        self.attended.resize(positions * width, 0.0);
        self.hidden.resize(positions * 4 * width, 0.0);
        self.logits.resize(positions * config.vocabulary_size, 0.0);
    }
}

impl Block {
    /// `x += attention(norm(x)); x += mlp(norm(x))`, x the stream `[rows * new, width]`.
    fn forward(
        &self,
        config: &DecoderConfig,
        span: &Span<'_>,
        cache: &mut [Vec<f32>; 2],
        buffers: &mut Buffers,
    ) {
        self.attention_norm
            .forward(&buffers.stream, &mut buffers.normed);
        self.attention_in
            .forward(&buffers.normed, &mut buffers.query_key_value);
        attend(
            config,
            span,
            &buffers.query_key_value,
            cache,
            &mut buffers.attended,
        );
        self.attention_out.forward_onto(
            &buffers.attended,
            &buffers.stream,
            &mut buffers.next_stream,
        );
        std::mem::swap(&mut buffers.stream, &mut buffers.next_stream);

        self.mlp_norm.forward(&buffers.stream, &mut buffers.normed);
        self.mlp_in
            .forward_activated(&buffers.normed, &mut buffers.hidden);
        self.mlp_out
            .forward_onto(&buffers.hidden, &buffers.stream, &mut buffers.next_stream);
        std::mem::swap(&mut buffers.stream, &mut buffers.next_stream);
    }
}

impl Linear {
    fn forward(&self, input: &[f32], output: &mut [f32]) {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            ..Epilogue::default()
        };
        linear(input, &self.weight, epilogue, output);
    }

    fn forward_activated(&self, input: &[f32], output: &mut [f32]) {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            activation: Activation::GeluNew,
            residual: None,
        };
        linear(input, &self.weight, epilogue, output);
    }

    fn forward_onto(&self, input: &[f32], residual: &[f32], output: &mut [f32]) {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            residual: Some(residual),
            ..Epilogue::default()
        };
        linear(input, &self.weight, epilogue, output);
    }
}

impl Norm {
    fn forward(&self, input: &[f32], output: &mut [f32]) {
        layer_norm(input, &self.weight, &self.bias, self.epsilon, output);
    }
}

/// Causal attention of the new positions on all positions read, the new ones included.
///
/// `query_key_value` is `[rows, new, 3 width]`; keys and values are appended to the cache
/// `[rows, capacity, width]`; `attended` is `[rows, new, width]`.
fn attend(
    config: &DecoderConfig,
    span: &Span<'_>,
    query_key_value: &[f32],
    cache: &mut [Vec<f32>; 2],
    attended: &mut [f32],
) {
    let width = config.width;
    let shape = Attention {
        num_heads: config.num_heads,
        head_width: config.head_width(),
        mask: Mask::Causal,
    };
    let [keys, values] = cache;
    if span.new == 1 {
        let cache = KeyValueCache {
            keys,
            values,
            capacity: span.capacity,
        };
        attention_step(query_key_value, cache, span.positions, shape, attended);
        return;
    }
    // Several positions at once are only ever read first, so they see none but each other.
    let lengths = vec![span.new; span.positions.len()];
    attention(
        query_key_value,
        Sequences::Packed { lengths: &lengths },
        shape,
        None,
        attended,
    );
    for (index, new) in query_key_value.chunks_exact(3 * width).enumerate() {
        let place = (index / span.new * span.capacity + index % span.new) * width;
        keys[place..place + width].copy_from_slice(&new[width..2 * width]);
        values[place..place + width].copy_from_slice(&new[2 * width..]);
    }
}
