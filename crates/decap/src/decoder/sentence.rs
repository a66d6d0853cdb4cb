//! A sentence that is being written.

/// Tokens written so far, in the decoder's ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Sentence {
    pub tokens: Vec<u32>,
    /// The sum over the tokens, before constraints.
    pub log_probability: f64,
    pub ended: bool,
}

impl Sentence {
    /// An empty sentence with room for `tokens`.
    pub fn with_capacity(tokens: usize) -> Self {
        Self {
            tokens: Vec::with_capacity(tokens),
            ..Self::default()
        }
    }

    /// Appends a token.
    pub fn push(&mut self, token: u32, log_probability: f32) {
        self.tokens.push(token);
        self.log_probability += f64::from(log_probability);
    }
}
