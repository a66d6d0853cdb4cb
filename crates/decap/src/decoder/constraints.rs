//! What a caption may not say next: lengths, banned words, repetitions.

use decap_kernels::largest_index;

use super::word_table::WordTable;
use super::{Decoder, GenerateOptions, RepeatedWords};
use decap_encoder::tokenizer::{TokenShape, Tokenizer};
use decap_encoder::{Error, Result};

impl Decoder {
    /// The ways in which this decoder can write `phrase`, for [`GenerateOptions::banned_words`]:
    /// as it is given, in small letters and with a capital, at the beginning of a text and within
    /// it, each also with an s behind it: `traffic lights` has `traffic light` in it. There is none
    /// where the vocabulary cannot write it; no caption has it then.
    ///
    /// # Errors
    /// [`Error::Usage`] where `phrase` is blank, or the tokenizer refuses it.
    pub fn writings(&self, tokenizer: &Tokenizer, phrase: &str) -> Result<Vec<Vec<u32>>> {
        let phrase = phrase.trim();
        let small = phrase.to_lowercase();
        let mut letters = small.chars();
        let Some(first) = letters.next() else {
            return Err(Error::Usage("expected a word to ban, got none".into()));
        };
        let capital: String = first.to_uppercase().chain(letters).collect();
        let unknown = tokenizer.unknown();
        let can_be_written =
            |id: &u32| Some(*id) != unknown && self.vocabulary.decoder_id(*id).is_some();
        let mut writings: Vec<Vec<u32>> = Vec::new();
        let plural = if small.ends_with(|last: char| last.is_alphabetic() && last != 's') {
            "s"
        } else {
            ""
        };
        for form in [phrase, &small, &capital] {
            for text in [form.to_owned(), format!("{form}{plural}")] {
                for text in [format!(" {text}"), text] {
                    let ids = tokenizer.encode(&text)?;
                    if !ids.is_empty() && ids.iter().all(can_be_written) && !writings.contains(&ids)
                    {
                        writings.push(ids);
                    }
                }
            }
        }
        Ok(writings)
    }
}

/// Changes a row of logits before a token is chosen from it.
pub(super) struct Constraints<'a> {
    /// By the decoder's ids; empty where the decoder does not know its tokenizer.
    shapes: &'a [TokenShape],
    /// What says which words were written, where none may be written twice.
    once: Option<&'a WordTable>,
    /// In the decoder's ids; none of them is empty.
    banned: Vec<Vec<u32>>,
    start_token: Option<u32>,
    end_token: u32,
    min_tokens: usize,
    repetition_penalty: f32,
    no_repeat_ngram: usize,
}

impl<'a> Constraints<'a> {
    pub fn new(decoder: &'a Decoder, options: &GenerateOptions) -> Self {
        let vocabulary = decoder.vocabulary();
        Self {
            shapes: &decoder.shapes,
            once: match options.repeated_words {
                RepeatedWords::Allow => None,
                RepeatedWords::Forbid => decoder.words.as_ref(),
            },
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
            && self.once.is_none()
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
        self.forbid_banned_words(words, logits);
        if self.no_repeat_ngram > 0 {
            forbid_repeated_ngrams(words, self.no_repeat_ngram, logits);
        }
        if let Some(table) = self.once {
            table.forbid_repeated_words(self.shapes, words, logits);
        }
        if words.len() < self.min_tokens {
            self.forbid_end(words, logits);
        }
    }

    /// The last token of a banned word is forbidden where the word's others were just written.
    ///
    /// Only whole words are banned: `man` leaves `wo ##man`, CLIP's `snow man</w>` and a `mango`
    /// that is one token. A word that begins with all tokens of the banned one, `man ##go`, is lost
    /// with it: whether a word goes on is only known after `man` was written.
    fn forbid_banned_words(&self, words: &[u32], logits: &mut [f32]) {
        for word in &self.banned {
            if let [beginning @ .., last] = &word[..]
                && words.ends_with(beginning)
                && let before = &words[..words.len() - beginning.len()]
                && !self.continues(before, word[0])
            {
                logits[*last as usize] = f32::NEG_INFINITY;
            }
        }
    }

    /// Whether `token` behind `words` is part of their last word.
    fn continues(&self, words: &[u32], token: u32) -> bool {
        match (words.last(), self.shapes.get(token as usize)) {
            (Some(&last), Some(shape)) => self
                .shapes
                .get(last as usize)
                .is_some_and(|&last| shape.continues(last)),
            _ => false,
        }
    }

    /// Forbids the end, and what the decoder would write in its place though it wants to end: the
    /// end of a sentence, a mark behind a mark, a continuation of a word that is whole.
    fn forbid_end(&self, words: &[u32], logits: &mut [f32]) {
        let last = words
            .last()
            .and_then(|&last| self.shapes.get(last as usize));
        let last = last.copied().unwrap_or_default();
        let likeliest = largest_index(logits).unwrap_or_default();
        let wants_to_end = likeliest == self.end_token as usize
            || self
                .shapes
                .get(likeliest)
                .is_some_and(|shape| shape.ends_sentence);
        logits[self.end_token as usize] = f32::NEG_INFINITY;
        let word_is_whole = wants_to_end || last.is_mark || words.is_empty();
        for (logit, shape) in logits.iter_mut().zip(self.shapes) {
            let continuation = word_is_whole && shape.only_continues;
            if shape.ends_sentence || (last.is_mark && shape.is_mark) || continuation {
                *logit = f32::NEG_INFINITY;
            }
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

    /// Constraints on a vocabulary of eight tokens, of which 7 is the end.
    fn constraints<'a>(
        shapes: &'a [TokenShape],
        banned: &[&[u32]],
        min_tokens: usize,
    ) -> Constraints<'a> {
        Constraints {
            shapes,
            once: None,
            banned: banned.iter().map(|word| word.to_vec()).collect(),
            start_token: None,
            end_token: 7,
            min_tokens,
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
        }
    }

    /// The tokens that are forbidden behind `written`, where `likeliest` has the largest logit.
    fn forbidden_by(
        constraints: &Constraints<'_>,
        written: &[u32],
        likeliest: usize,
    ) -> Vec<usize> {
        let mut logits = [0.0; 8];
        logits[likeliest] = 1.0;
        constraints.apply(written, &mut logits);
        (0..8)
            .filter(|&token| logits[token] == f32::NEG_INFINITY)
            .collect()
    }

    /// `man`, `wo`, `##man`, `##go`, `,`, `.`, `traffic` and the end, as WordPiece.
    fn word_pieces() -> [TokenShape; 8] {
        ["man", "wo", "##man", "##go", ",", ".", "traffic", "[SEP]"]
            .map(|name| TokenShape::of_word_piece(name, "##"))
    }

    #[test]
    fn a_banned_word_does_not_ban_its_pieces() {
        let constraints = constraints(&[], &[&[1], &[2, 3], &[2, 3, 4]], 0);
        let forbidden = |words: &[u32]| forbidden_by(&constraints, words, 0);
        assert_eq!(forbidden(&[]), [1]);
        assert_eq!(forbidden(&[3]), [1]);
        assert_eq!(forbidden(&[5, 2]), [1, 3]);
        assert_eq!(forbidden(&[2, 3]), [1, 4]);
    }

    #[test]
    fn banning_man_leaves_woman_and_snowman() {
        let shapes = word_pieces();
        let man = constraints(&shapes, &[&[0]], 0);
        assert_eq!(forbidden_by(&man, &[1], 0), [0], "`wo ##man` stays");
        // `woman` banned as `wo ##man` leaves a `##man` behind another piece.
        let woman = constraints(&shapes, &[&[1, 2]], 0);
        assert_eq!(forbidden_by(&woman, &[1], 0), [2]);
        assert!(forbidden_by(&woman, &[6], 0).is_empty());
        // CLIP's `man</w>` ends `snowman` too, whose `snow` has no mark.
        let shapes =
            ["man</w>", "snow", "snow</w>"].map(|name| TokenShape::of_suffixed(name, "</w>"));
        let man = constraints(&shapes, &[&[0]], 0);
        assert!(forbidden_by(&man, &[1], 0).is_empty());
        assert_eq!(forbidden_by(&man, &[2], 0), [0]);
        assert_eq!(forbidden_by(&man, &[], 0), [0]);
    }

    #[test]
    fn a_phrase_is_banned_where_it_would_be_complete() {
        let shapes = word_pieces();
        let phrase = constraints(&shapes, &[&[6, 0]], 0);
        assert_eq!(forbidden_by(&phrase, &[1, 6], 0), [0]);
        assert!(forbidden_by(&phrase, &[1], 0).is_empty());
    }

    #[test]
    fn a_caption_that_may_not_end_goes_on_with_a_word() {
        let shapes = word_pieces();
        let long = constraints(&shapes, &[], 3);
        // `man` is whole where the end, or a full stop, is the likeliest.
        for likeliest in [5, 7] {
            assert_eq!(forbidden_by(&long, &[0], likeliest), [2, 3, 5, 7]);
        }
        assert_eq!(forbidden_by(&long, &[1], 2), [5, 7], "`wo` goes on");
        assert_eq!(
            forbidden_by(&long, &[0, 4], 6),
            [2, 3, 4, 5, 7],
            "behind a comma"
        );
        assert_eq!(forbidden_by(&long, &[], 0), [2, 3, 5, 7]);
        assert!(forbidden_by(&long, &[0, 0, 0], 7).is_empty());
    }

    #[test]
    fn repetition_costs_once() {
        let mut logits = [2.0, -2.0, 1.0];
        penalise_repetition(&[0, 1, 0], 2.0, &mut logits);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }
}
