//! The pre-norm transformer that both towers are made of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use decap_kernels::{
    Activation, Activations, Attention, Epilogue, Mask, PackedMatrix, Sequences, attention_into,
    layer_norm, layer_norm_into, linear_from, linear_into,
};

use super::config::TransformerConfig;

/// Blocks of attention and a hidden layer, each behind a layer norm and beside a residual.
#[derive(Debug)]
pub(super) struct Transformer {
    pub(super) config: TransformerConfig,
    pub(super) blocks: Vec<Block>,
    pub(super) workspaces: Workspaces,
}

/// What a forward pass writes between its layers.
#[derive(Debug)]
struct Workspace {
    /// `[rows, width]`.
    next: Vec<f32>,
    /// `[rows, 3 * width]`.
    queries_keys_values: Vec<f32>,
    /// `[rows, width]`.
    normed: Activations,
    /// `[rows, hidden width]`.
    hidden: Activations,
}

impl Workspace {
    fn new(block: &Block, rows: usize) -> Self {
        Self {
            next: vec![0.0; rows * block.queries_keys_values.weight.inputs()],
            queries_keys_values: vec![0.0; rows * block.queries_keys_values.weight.outputs()],
            normed: Activations::for_weight(&block.queries_keys_values.weight, rows),
            hidden: Activations::for_weight(&block.hidden_output.weight, rows),
        }
    }

    /// What is in it stays unspecified.
    fn resized(mut self, block: &Block, rows: usize) -> Self {
        let attention = &block.queries_keys_values.weight;
        self.next.resize(rows * attention.inputs(), 0.0);
        self.queries_keys_values
            .resize(rows * attention.outputs(), 0.0);
        self.normed.resize(attention, rows);
        self.hidden.resize(&block.hidden_output.weight, rows);
        self
    }
}

/// The workspace of the last pass, kept: new memory would be cleared page by page for each batch,
/// which takes a tenth of the time.
#[derive(Debug, Default)]
pub(super) struct Workspaces(Mutex<Option<Workspace>>);

impl Workspaces {
    fn take(&self, block: &Block, rows: usize) -> Workspace {
        let kept = self.kept().take();
        kept.map_or_else(
            || Workspace::new(block, rows),
            |kept| kept.resized(block, rows),
        )
    }

    fn give_back(&self, workspace: Workspace) {
        *self.kept() = Some(workspace);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Workspace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) norm_1: LayerNorm,
    /// `[width, 3 * width]`.
    pub(super) queries_keys_values: Linear,
    /// `[width, width]`.
    pub(super) output: Linear,
    pub(super) norm_2: LayerNorm,
    /// `[width, hidden width]`.
    pub(super) hidden: Linear,
    /// `[hidden width, width]`.
    pub(super) hidden_output: Linear,
}

#[derive(Debug)]
pub(super) struct LayerNorm {
    /// `[width]`.
    pub(super) weight: Vec<f32>,
    /// `[width]`.
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f32,
}

#[derive(Debug)]
pub(super) struct Linear {
    /// `[inputs, outputs]`.
    pub(super) weight: PackedMatrix,
    /// `[outputs]`.
    pub(super) bias: Vec<f32>,
}

impl Transformer {
    /// Runs `tokens` `[sum of lengths, width]`, f32, through all blocks, in place.
    ///
    /// `observe` sees the tokens after each block.
    pub(super) fn forward(
        &self,
        tokens: &mut Vec<f32>,
        lengths: &[usize],
        mask: Mask,
        observe: &mut dyn FnMut(Stage, &[f32]),
    ) {
        let TransformerConfig {
            width,
            heads,
            activation,
            ..
        } = self.config;
        let heads = Attention {
            num_heads: heads,
            head_width: width / heads.max(1),
            mask,
        };
        let rows = tokens.len() / width;
        let Some(first) = self.blocks.first() else {
            return;
        };
        let mut workspace = self.workspaces.take(first, rows);
        let Workspace {
            next,
            queries_keys_values,
            normed,
            hidden,
        } = &mut workspace;
        for (index, block) in self.blocks.iter().enumerate() {
            // x = x + output(attention(norm_1(x)))
            block.norm_1.forward_into(tokens, normed);
            block
                .queries_keys_values
                .forward(normed, queries_keys_values);
            let sequences = Sequences::Packed { lengths };
            attention_into(queries_keys_values, sequences, heads, normed);
            block.output.add_to(normed, tokens, next);
            std::mem::swap(tokens, next);
            // x = x + hidden_output(activation(hidden(norm_2(x))))
            block.norm_2.forward_into(tokens, normed);
            block.hidden.forward_activated(normed, activation, hidden);
            block.hidden_output.add_to(hidden, tokens, next);
            std::mem::swap(tokens, next);
            observe(Stage::Block(index), tokens);
        }
        self.workspaces.give_back(workspace);
    }
}

/// A point of the computation at which tests compare it with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The image tower's patches before positions, or the text tower's tokens with them.
    Embedded,
    /// After this block.
    Block(usize),
    /// The pooled token after its layer norm.
    Pooled,
}

impl LayerNorm {
    /// `[rows, width]` to `[rows, width]`.
    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        layer_norm(input, &self.weight, &self.bias, self.epsilon, output);
    }

    /// [`LayerNorm::forward`] for the layer that follows.
    fn forward_into(&self, input: &[f32], output: &mut Activations) {
        layer_norm_into(input, &self.weight, &self.bias, self.epsilon, output);
    }
}

impl Linear {
    /// `[rows, inputs]` to `[rows, outputs]`.
    fn forward(&self, input: &Activations, output: &mut [f32]) {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            ..Epilogue::default()
        };
        linear_from(input, &self.weight, epilogue, output);
    }

    fn forward_activated(
        &self,
        input: &Activations,
        activation: Activation,
        output: &mut Activations,
    ) {
        linear_into(input, &self.weight, Some(&self.bias), activation, output);
    }

    /// `output = residual + self(input)`.
    fn add_to(&self, input: &Activations, residual: &[f32], output: &mut [f32]) {
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            residual: Some(residual),
            ..Epilogue::default()
        };
        linear_from(input, &self.weight, epilogue, output);
    }
}
