//! What a caption may not say next: lengths, banned words, repetitions.

use super::{Decoder, GenerateOptions};

/// Changes a row of logits before a token is chosen from it.
pub(super) struct Constraints {
    /// In the decoder's ids; none of them is empty.
    banned: Vec<Vec<u32>>,
    start_token: Option<u32>,
    end_token: u32,
    min_tokens: usize,
    repetition_penalty: f32,
    no_repeat_ngram: usize,
}

impl Constraints {
    pub fn new(decoder: &Decoder, options: &GenerateOptions) -> Self {
        let vocabulary = decoder.vocabulary();
        Self {
            banned: options
                .banned_words
                .iter()
                .filter(|word| !word.is_empty())
                .filter_map(|word| word.iter().map(|&id| vocabulary.decoder_id(id)).collect())
                .collect(),
            start_token: decoder.config().start_token,
            end_token: decoder.config().end_token,
            min_tokens: options.min_tokens,
            repetition_penalty: options.repetition_penalty,
            no_repeat_ngram: options.no_repeat_ngram,
        }
    }

    /// Whether no caption is changed by them.
    pub fn are_none(&self) -> bool {
        self.banned.is_empty()
            && self.min_tokens == 0
            && self.repetition_penalty == 1.0
            && self.no_repeat_ngram == 0
    }

    /// Sets the logits of forbidden tokens to minus infinity, given what was written so far.
    pub fn apply(&self, written: &[u32], logits: &mut [f32]) {
        let words = written
            .strip_prefix(self.start_token.as_slice())
            .unwrap_or(written);
        if self.repetition_penalty != 1.0 {
            penalise_repetition(words, self.repetition_penalty, logits);
        }
        forbid_banned_words(words, &self.banned, logits);
        if self.no_repeat_ngram > 0 {
            forbid_repeated_ngrams(words, self.no_repeat_ngram, logits);
        }
        if words.len() < self.min_tokens {
            logits[self.end_token as usize] = f32::NEG_INFINITY;
        }
    }
}

/// Keskar et al., *CTRL*, section 4.1, with negative logits multiplied as in transformers'
/// `RepetitionPenaltyLogitsProcessor`. A token is penalised once, however often it was written.
fn penalise_repetition(words: &[u32], penalty: f32, logits: &mut [f32]) {
    for (index, &token) in words.iter().enumerate() {
        if !words[..index].contains(&token) {
            let logit = &mut logits[token as usize];
            *logit = if *logit < 0.0 {
                *logit * penalty
            } else {
                *logit / penalty
            };
        }
    }
}

/// The last token of a banned word is forbidden where the word's others were just written.
fn forbid_banned_words(words: &[u32], banned: &[Vec<u32>], logits: &mut [f32]) {
    for word in banned {
        if let [beginning @ .., last] = &word[..]
            && words.ends_with(beginning)
        {
            logits[*last as usize] = f32::NEG_INFINITY;
        }
    }
}

/// A token is forbidden where it would complete a run of `size` tokens that was written before.
fn forbid_repeated_ngrams(words: &[u32], size: usize, logits: &mut [f32]) {
    let Some(start) = (words.len() + 1).checked_sub(size) else {
        return;
    };
    let tail = &words[start..];
    for run in words.windows(size) {
        if run[..size - 1] == *tail {
            logits[run[size - 1] as usize] = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(words: &[u32], size: usize) -> Vec<usize> {
        let mut logits = [0.0; 8];
        forbid_repeated_ngrams(words, size, &mut logits);
        (0..8)
            .filter(|&token| logits[token] == f32::NEG_INFINITY)
            .collect()
    }

    #[test]
    fn ngrams_are_not_repeated() {
        assert_eq!(forbidden(&[1, 2, 3, 1, 2], 3), [3]);
        assert_eq!(forbidden(&[1, 2, 3, 1], 2), [2]);
        assert_eq!(forbidden(&[1, 2, 2], 1), [1, 2]);
        assert!(forbidden(&[1, 2], 3).is_empty());
        assert!(forbidden(&[], 1).is_empty());
        assert!(forbidden(&[], 2).is_empty());
    }

    #[test]
    fn a_banned_word_does_not_ban_its_pieces() {
        let banned = [vec![1], vec![2, 3], vec![2, 3, 4]];
        let forbidden = |words: &[u32]| -> Vec<usize> {
            let mut logits = [0.0; 8];
            forbid_banned_words(words, &banned, &mut logits);
            (0..8)
                .filter(|&token| logits[token] == f32::NEG_INFINITY)
                .collect()
        };
        assert_eq!(forbidden(&[]), [1]);
        assert_eq!(forbidden(&[3]), [1]);
        assert_eq!(forbidden(&[5, 2]), [1, 3]);
        assert_eq!(forbidden(&[2, 3]), [1, 4]);
    }

    #[test]
    fn repetition_costs_once() {
        let mut logits = [2.0, -2.0, 1.0];
        penalise_repetition(&[0, 1, 0], 2.0, &mut logits);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }
}
