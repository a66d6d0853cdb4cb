//! The shape of an attention layer, and where the sequences of a batch are.

/// Which tokens a token attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// All tokens of its sequence.
    Full,
    /// Itself and those before it.
    Causal,
}

/// Heads of an attention layer; scores are scaled by `1 / sqrt(head_width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Number of heads.
    pub num_heads: usize,
    /// Values of a head; the layer is `num_heads * head_width` wide.
    pub head_width: usize,
    /// Which tokens a token attends to.
    pub mask: Mask,
}

impl Attention {
    /// Width of the layer.
    pub fn width(&self) -> usize {
        self.num_heads * self.head_width
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }
}

/// How the tokens of a batch are laid out in memory.
#[derive(Clone, Copy, Debug)]
pub enum Sequences<'a> {
    /// `[batch, tokens, ...]`, with `lengths[i] <= tokens` valid tokens in sequence `i`; outputs
    /// and gradients of the others are 0.
    Padded {
        /// Rows that each sequence occupies.
        tokens: usize,
        /// Valid tokens of each sequence, `[batch]`.
        lengths: &'a [usize],
    },
    /// `[sum of lengths, ...]`: sequences follow each other without padding.
    Packed {
        /// Tokens of each sequence, `[batch]`.
        lengths: &'a [usize],
    },
}

/// One sequence: its rows, and where its probabilities start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) first_row: usize,
    pub(super) tokens: usize,
    pub(super) probabilities: usize,
}

impl Sequences<'_> {
    fn lengths(&self) -> &[usize] {
        match self {
            Self::Padded { lengths, .. } | Self::Packed { lengths } => lengths,
        }
    }

    /// Rows of the batch, padding included.
    pub fn rows(&self) -> usize {
        match self {
            Self::Padded { tokens, lengths } => tokens * lengths.len(),
            Self::Packed { lengths } => lengths.iter().sum(),
        }
    }

    /// Values of all attention probabilities: `[num_heads, length, length]` for each sequence.
    pub fn probabilities_len(&self, attention: &Attention) -> usize {
        let squares: usize = self.lengths().iter().map(|length| length * length).sum();
        attention.num_heads * squares
    }

    pub(super) fn iterate(&self, num_heads: usize) -> Vec<Sequence> {
        let (mut row, mut probabilities) = (0, 0);
        let mut sequences = Vec::with_capacity(self.lengths().len());
        for &length in self.lengths() {
            let occupied = match self {
                Self::Padded { tokens, .. } => *tokens,
                Self::Packed { .. } => length,
            };
            assert!(
                length <= occupied,
                "length {length} of a sequence of {occupied} tokens"
            );
            sequences.push(Sequence {
                first_row: row,
                tokens: length,
                probabilities,
            });
            row += occupied;
            probabilities += num_heads * length * length;
        }
        sequences
    }
}
