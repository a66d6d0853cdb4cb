//! How likely a decoder finds a caption that it did not write.

use decap_kernels::{log_sum_exp, on_pool};

use super::Decoder;
use super::forward::Session;
use decap_encoder::Result;

impl Decoder {
    /// The mean natural log-probability of a caption's tokens behind `prefix` `[prefix_width]`, start and
    /// end included: the [`Generated::score`](super::Generated::score) that it has where this decoder
    /// writes it. `caption` has tokenizer ids, without start and end.
    ///
    /// A token that the decoder does not know counts as one drawn from its vocabulary by chance, and is
    /// passed over. What is longer than the decoder's positions is cut off.
    ///
    /// # Errors
    /// [`Error::Mismatch`](decap_encoder::Error::Mismatch) for a prefix of another width, and
    /// [`Error::Usage`](decap_encoder::Error::Usage) for one with values that are not numbers.
    ///
    /// ```
    /// let captioner = decap::Captioner::open("../../models/tiny")?;
    /// let sentence = captioner.memory().captions().get(7);
    /// let (own, other) = (captioner.memory().row(7)?, captioner.memory().row(8)?);
    /// let ids = captioner.tokenizer().encode(sentence)?;
    /// let score = |prefix: &decap::Embedding| captioner.decoder().score(prefix.as_slice(), &ids);
    /// assert!(score(&own)? > score(&other)?);
    /// # Ok::<(), decap::Error>(())
    /// ```
    pub fn score(&self, prefix: &[f32], caption: &[u32]) -> Result<f32> {
        if self.count_prefixes(prefix)? != 1 {
            return Err(decap_encoder::Error::Mismatch(format!(
                "expected one prefix of width {}, got {} values",
                self.config.prefix_width,
                prefix.len()
            )));
        }
        let known = caption
            .iter()
            .filter_map(|&id| self.vocabulary.decoder_id(id));
        let mut tokens: Vec<u32> = self.config.start_token.into_iter().chain(known).collect();
        tokens.push(self.config.end_token);
        let unknown = caption.len() + 1 + self.config.start_token.iter().len() - tokens.len();
        tokens.truncate(self.config.num_positions);
        let read = tokens.len() - 1;
        let size = self.config.vocabulary_size;
        let known: f64 = on_pool(|| {
            let mut session = Session::new(&self.network, 1, tokens.len());
            let logits = session.start(prefix, &tokens[..read]);
            let rows = logits.chunks_exact(size).zip(&tokens);
            rows.map(|(row, &token)| f64::from(row[token as usize] - log_sum_exp(row)))
                .sum()
        });
        let by_chance = -(size as f64).ln();
        let sum = known + unknown as f64 * by_chance;
        Ok((sum / (tokens.len() + unknown) as f64) as f32)
    }
}
