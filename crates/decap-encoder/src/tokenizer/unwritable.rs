//! What a vocabulary cannot write: characters that a tokenizer loses or changes.

use std::collections::{HashMap, HashSet};
use std::fmt;

use rayon::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::Tokenizer;
use crate::error::Result;
use crate::grouped::grouped;

/// Losses that the sentence of [`Unwritable`] names.
const NAMED: usize = 5;

/// What is lost of texts that are encoded and decoded again. White space, and characters that
/// have no width, do not count.
///
/// ```
/// use decap_encoder::tokenizer::{Tokenizer, clip::ClipTokenizer};
/// let tokenizer = Tokenizer::from(ClipTokenizer::bundled()?);
/// let lost = tokenizer.unwritable(&["A caf\u{e9} on the \u{2018}left\u{2019}", "a dog"])?;
/// assert_eq!((lost.captions, lost.affected, lost.loses_case), (2, 1, true));
/// assert_eq!(
///     lost.to_string(),
///     "1 of 2 captions has characters that this vocabulary cannot write: `\u{2018}` (becomes `'`) \
///      x 1, `\u{2019}` (becomes `'`) x 1; capital letters become small ones"
/// );
/// # Ok::<(), decap_encoder::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unwritable {
    /// The texts looked at.
    pub captions: usize,
    /// The texts that lose something else than capitals.
    pub affected: usize,
    /// What is lost, the most frequent first.
    pub losses: Vec<Loss>,
    /// Whether a text had capitals that come back as small letters.
    pub loses_case: bool,
}

/// A character, or a whole word where no character of it is at fault, that does not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// As it was written.
    pub written: String,
    /// What comes back: empty where nothing does.
    pub becomes: String,
    /// How often it occurs.
    pub count: usize,
}

impl Tokenizer {
    /// Counts what is lost of `texts` when they are encoded and decoded again, on all cores.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) where the tokenizer refuses a text.
    pub fn unwritable<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Unwritable> {
        let found: Vec<Found> = texts
            .par_iter()
            .map(|text| self.lost_of(text.as_ref()))
            .collect::<Result<_>>()?;
        let mut counts: HashMap<(String, String), usize> = HashMap::new();
        let affected = found.iter().filter(|found| !found.lost.is_empty()).count();
        let loses_case = found.iter().any(|found| found.loses_case);
        for loss in found.into_iter().flat_map(|found| found.lost) {
            *counts.entry(loss).or_default() += 1;
        }
        let mut losses: Vec<Loss> = counts
            .into_iter()
            .map(|((written, becomes), count)| Loss {
                written,
                becomes,
                count,
            })
            .collect();
        losses.sort_unstable_by(|a, b| (b.count, &a.written).cmp(&(a.count, &b.written)));
        Ok(Unwritable {
            captions: texts.len(),
            affected,
            losses,
            loses_case,
        })
    }

    fn lost_of(&self, text: &str) -> Result<Found> {
        let returned = self.round_trip(text)?;
        let capitals = |text: &str| text.chars().filter(|letter| letter.is_uppercase()).count();
        let mut found = Found {
            lost: Vec::new(),
            loses_case: capitals(text) > capitals(&returned),
        };
        if essence(text) == essence(&returned) {
            return Ok(found);
        }
        for word in text.split_whitespace() {
            let returned = self.round_trip(word)?;
            if essence(word) == essence(&returned) {
                continue;
            }
            let before = found.lost.len();
            let mut fine = HashSet::new();
            for letter in word.nfc() {
                if fine.contains(&letter) {
                    continue;
                }
                let written = letter.to_string();
                let becomes = self.round_trip(&written)?;
                if essence(&written) == essence(&becomes) {
                    fine.insert(letter);
                } else {
                    found.lost.push((written, becomes));
                }
            }
            if found.lost.len() == before {
                found.lost.push((word.to_owned(), returned));
            }
        }
        Ok(found)
    }

    fn round_trip(&self, text: &str) -> Result<String> {
        self.decode(&self.encode(text)?)
    }
}

/// What one text loses.
struct Found {
    /// As written and what it becomes, once for each occurrence.
    lost: Vec<(String, String)>,
    loses_case: bool,
}

/// A text's small letters and marks, without white space and what has no width.
fn essence(text: &str) -> String {
    let visible = |letter: &char| {
        let has_no_width = matches!(
            letter,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
        );
        !(letter.is_whitespace() || letter.is_control() || has_no_width)
    };
    let lower: String = text.nfc().filter(visible).collect();
    lower.to_lowercase().nfc().collect()
}

impl fmt::Display for Unwritable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.affected == 1 { "has" } else { "have" };
        write!(
            out,
            "{} of {} captions {verb} characters that this vocabulary cannot write",
            grouped(self.affected),
            grouped(self.captions)
        )?;
        for (place, loss) in self.losses.iter().take(NAMED).enumerate() {
            let separator = if place == 0 { ": " } else { ", " };
            write!(out, "{separator}`{}`", shown(&loss.written))?;
            if !loss.becomes.is_empty() {
                write!(out, " (becomes `{}`)", shown(&loss.becomes))?;
            }
            write!(out, " x {}", grouped(loss.count))?;
        }
        if self.losses.len() > NAMED {
            write!(out, " and {} others", grouped(self.losses.len() - NAMED))?;
        }
        if self.loses_case {
            write!(out, "; capital letters become small ones")?;
        }
        Ok(())
    }
}

/// Text for a line of a terminal: 30 characters at most, none that a terminal acts on.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(30) {
        match letter.is_control() {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    if text.chars().nth(30).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tokenizer::clip::ClipTokenizer;

    /// WordPiece without accents, as BERT's uncased vocabularies are.
    fn word_pieces() -> Tokenizer {
        let json = r###"{
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [
                {"id": 0, "special": true, "content": "[UNK]", "single_word": false,
                 "lstrip": false, "rstrip": false, "normalized": false}],
            "normalizer": {"type": "BertNormalizer", "clean_text": true,
                "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2,
                "a": 3, "cafe": 4, "dog": 5, "##s": 6, ".": 7, "e": 8, "c": 9, "f": 10, "d": 11,
                "o": 12, "g": 13, "s": 14}}
        }"###;
        Tokenizer::read(Path::new("tokenizer.json"), json.as_bytes()).unwrap()
    }

    #[test]
    fn accents_and_unknown_characters_are_counted_once_for_each_place() {
        let texts = [
            "A caf\u{e9}.",
            "a dog \u{2603}",
            "dogs\u{1f600} caf\u{e9}",
            "a dog.",
        ];
        let lost = word_pieces().unwritable(&texts).unwrap();
        assert_eq!((lost.captions, lost.affected), (4, 3));
        assert!(lost.loses_case);
        let of = |written: &str| {
            let mut losses = lost.losses.iter();
            let loss = losses.find(|loss| loss.written == written).unwrap();
            (loss.becomes.as_str(), loss.count)
        };
        assert_eq!(of("\u{e9}"), ("e", 2));
        assert_eq!(of("\u{2603}"), ("", 1));
        assert_eq!(of("\u{1f600}"), ("", 1));
        assert_eq!(lost.losses[0].written, "\u{e9}");
    }

    #[test]
    fn clip_writes_accents_and_emoji_and_loses_capitals() {
        let tokenizer = Tokenizer::from(ClipTokenizer::bundled().unwrap());
        let lost = tokenizer
            .unwritable(&[
                "A caf\u{e9} \u{1f600}\u{fe0f}",
                "cafe\u{301}",
                "\u{65e5}\u{672c}",
            ])
            .unwrap();
        assert_eq!((lost.affected, lost.losses.len()), (0, 0), "{lost:?}");
        assert!(lost.loses_case);
        let small = tokenizer.unwritable(&["a dog."]).unwrap();
        assert!(!small.loses_case && small.affected == 0);
    }

    #[test]
    fn a_word_is_named_where_no_character_is_at_fault() {
        let tokenizer = Tokenizer::from(ClipTokenizer::bundled().unwrap());
        let lost = tokenizer.unwritable(&["bread &amp; butter"]).unwrap();
        let loss = &lost.losses[0];
        assert_eq!((&*loss.written, &*loss.becomes), ("&amp;", "&"));
    }

    #[test]
    fn the_sentence_names_the_most_frequent_and_counts_the_rest() {
        let loss = |letter: char| Loss {
            written: letter.to_string(),
            becomes: String::new(),
            count: 1_234,
        };
        let lost = Unwritable {
            captions: 5_000,
            affected: 12,
            losses: "\u{1b}bcdefg".chars().map(loss).collect(),
            loses_case: false,
        };
        assert_eq!(
            lost.to_string(),
            "12 of 5,000 captions have characters that this vocabulary cannot write: `\\u{1b}` \
             x 1,234, `b` x 1,234, `c` x 1,234, `d` x 1,234, `e` x 1,234 and 2 others"
        );
    }
}
