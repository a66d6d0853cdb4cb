//! The words that a decoder's tokens make up, so that none is written twice.

use std::collections::HashMap;

use caption_words::content_lemma;
use decap_encoder::tokenizer::TokenShape;
use serde::{Deserialize, Serialize};

/// Whether a caption may say a content word twice: `a cat next to a cat`.
///
/// Singular and plural count as one word, and words such as `the` and `with` do not count
/// ([`caption_words::content_lemma`]). It takes a decoder that knows its tokenizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RepeatedWords {
    /// It may.
    #[default]
    Allow,
    /// No token is written that would complete such a word once more.
    Forbid,
}

/// What each token of a vocabulary says, by the decoder's ids.
#[derive(Debug)]
pub(super) struct WordTable {
    /// A token's letters; empty for tokens that write nothing.
    pieces: Vec<String>,
    /// The lemma of a token that is a word, as an index into `lemmas`.
    lemma_of: Vec<Option<u32>>,
    lemmas: Vec<Lemma>,
    /// The index of each lemma by its key.
    numbers: HashMap<String, u32>,
    /// Tokens that can be the rest of a word.
    rests: Vec<u32>,
}

#[derive(Debug)]
struct Lemma {
    key: String,
    /// The tokens that say it by themselves, at the beginning of a word.
    tokens: Vec<u32>,
}

impl WordTable {
    /// The table of tokens with these letters and shapes, both by the decoder's ids.
    pub fn new(pieces: Vec<String>, shapes: &[TokenShape]) -> Self {
        let has_letters = |piece: &str| piece.chars().any(char::is_alphabetic);
        let is_whole = |shape: TokenShape| shape.begins_word || shape.ends_word;
        // CLIP's words end with a token that says so; what does not is never a whole word.
        let ends_are_marked = pieces
            .iter()
            .zip(shapes)
            .any(|(piece, shape)| shape.ends_word && has_letters(piece));
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut lemmas: Vec<Lemma> = Vec::new();
        let mut lemma_of = vec![None; pieces.len()];
        let mut rests = Vec::new();
        for ((token, piece), &shape) in (0..).zip(&pieces).zip(shapes) {
            if !has_letters(piece) {
                continue;
            }
            if !shape.begins_word && (shape.ends_word || !ends_are_marked) {
                rests.push(token);
            }
            let Some(key) = content_lemma(piece) else {
                continue;
            };
            let lemma = *numbers.entry(key).or_insert_with_key(|key| {
                let (key, tokens) = (key.clone(), Vec::new());
                lemmas.push(Lemma { key, tokens });
                lemmas.len() as u32 - 1
            });
            lemma_of[token as usize] = Some(lemma);
            if is_whole(shape) {
                lemmas[lemma as usize].tokens.push(token);
            }
        }
        Self {
            pieces,
            lemma_of,
            lemmas,
            numbers,
            rests,
        }
    }

    /// Forbids the tokens that would say a content word of `words` once more: those that are such a
    /// word, and those that would complete one.
    ///
    /// A word that begins with a whole other word, `man ##go`, is lost where `man` was said: whether
    /// `man` goes on is only known after it is written.
    pub fn forbid_repeated_words(&self, shapes: &[TokenShape], words: &[u32], logits: &mut [f32]) {
        let (before, last) = words.split_at(self.begin_of_last(shapes, words));
        let mut said = Vec::new();
        let mut start = 0;
        for end in 1..=before.len() {
            let is_over =
                end == before.len() || !self.continues(shapes, before[end - 1], before[end]);
            if is_over {
                said.extend(self.lemma(&before[start..end]));
                start = end;
            }
        }
        self.forbid_rests(shapes, last, &said, logits);
        said.extend(self.lemma(last));
        for lemma in said {
            if let Said::Known(lemma) = lemma {
                for &token in &self.lemmas[lemma as usize].tokens {
                    if !last
                        .last()
                        .is_some_and(|&last| self.continues(shapes, last, token))
                    {
                        logits[token as usize] = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }

    /// Forbids what would make the last word, of the tokens `last`, one of `said`.
    fn forbid_rests(&self, shapes: &[TokenShape], last: &[u32], said: &[Said], logits: &mut [f32]) {
        let Some(&end) = last.last() else { return };
        if shapes[end as usize].ends_word {
            return;
        }
        let word = self.text(last).to_lowercase();
        // The key of a word differs from it in its last letters alone, so most words are done with here.
        let sure: String = word
            .chars()
            .take(word.chars().count().saturating_sub(2).max(1))
            .collect();
        let near: Vec<&str> = said
            .iter()
            .map(|lemma| self.key(lemma))
            .filter(|key| key.starts_with(&sure))
            .collect();
        if near.is_empty() {
            return;
        }
        let mut longer = word.clone();
        for &rest in &self.rests {
            longer.truncate(word.len());
            longer.push_str(&self.pieces[rest as usize]);
            if content_lemma(&longer).is_some_and(|lemma| near.contains(&lemma.as_str())) {
                logits[rest as usize] = f32::NEG_INFINITY;
            }
        }
    }

    fn begin_of_last(&self, shapes: &[TokenShape], words: &[u32]) -> usize {
        let ends = (1..words.len()).rev();
        let mut begins = ends.filter(|&end| !self.continues(shapes, words[end - 1], words[end]));
        begins.next().unwrap_or(0)
    }

    /// Whether `token` behind `before` is part of its word.
    fn continues(&self, shapes: &[TokenShape], before: u32, token: u32) -> bool {
        let (shape, before) = (shapes[token as usize], shapes[before as usize]);
        !shape.is_mark && !before.is_mark && shape.continues(before)
    }

    fn text(&self, tokens: &[u32]) -> String {
        let pieces = tokens
            .iter()
            .map(|&token| self.pieces[token as usize].as_str());
        pieces.collect()
    }

    /// The lemma of the word that these tokens are.
    fn lemma(&self, word: &[u32]) -> Option<Said> {
        if let [token] = word {
            return self.lemma_of[*token as usize].map(Said::Known);
        }
        let key = content_lemma(&self.text(word))?;
        let known = self.numbers.get(&key).copied();
        Some(known.map_or(Said::Other(key), Said::Known))
    }

    fn key<'k>(&'k self, said: &'k Said) -> &'k str {
        match said {
            Said::Known(lemma) => &self.lemmas[*lemma as usize].key,
            Said::Other(key) => key,
        }
    }
}

/// The lemma of a word that was written.
enum Said {
    /// An index: some token says it by itself.
    Known(u32),
    /// Only several tokens together do.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens that are forbidden behind `words`, in a vocabulary of these tokens.
    fn forbidden<'t>(
        names: &[&'t str],
        shape: impl Fn(&str) -> TokenShape,
        words: &[&str],
    ) -> Vec<&'t str> {
        let shapes: Vec<TokenShape> = names.iter().map(|name| shape(name)).collect();
        let bare = |name: &&str| name.replace("##", "").replace("</w>", "").replace(' ', "");
        let table = WordTable::new(names.iter().map(bare).collect(), &shapes);
        let id = |word: &&str| names.iter().position(|name| name == word).unwrap() as u32;
        let words: Vec<u32> = words.iter().map(id).collect();
        let mut logits = vec![0.0; names.len()];
        table.forbid_repeated_words(&shapes, &words, &mut logits);
        let tokens = names.iter().zip(logits);
        tokens
            .filter(|(_, logit)| *logit == f32::NEG_INFINITY)
            .map(|(name, _)| *name)
            .collect()
    }

    #[test]
    fn no_word_piece_says_a_word_again() {
        let names = [
            "a",
            "the",
            "cat",
            "cats",
            "man",
            "men",
            "##go",
            "skate",
            "##board",
            "##boards",
            "skateboard",
            ",",
            "ska",
            "##te",
        ];
        let forbidden =
            |words: &[&str]| forbidden(&names, |name| TokenShape::of_word_piece(name, "##"), words);
        assert!(forbidden(&[]).is_empty());
        assert!(forbidden(&["the", "a"]).is_empty());
        assert_eq!(forbidden(&["a", "cat"]), ["cat", "cats"]);
        assert_eq!(
            forbidden(&["men", ",", "cats", "a"]),
            ["cat", "cats", "man", "men"]
        );
        // The word may go on: `man ##go`.
        assert_eq!(forbidden(&["man"]), ["man", "men"]);
        assert_eq!(forbidden(&["man", "##go"]), [""; 0]);
        // `skate` is another word, until `##board` follows.
        let board = ["skateboard"];
        assert_eq!(forbidden(&["skateboard", "a"]), board);
        assert_eq!(
            forbidden(&["skateboard", "skate"]),
            ["skate", "##board", "##boards", "skateboard"]
        );
        assert_eq!(forbidden(&["skate", "##boards", "a"]), board);
        assert_eq!(forbidden(&["skate", "ska"]), ["skate", "ska", "##te"]);
    }

    #[test]
    fn no_token_with_a_mark_at_its_end_says_a_word_again() {
        let names = ["snow", "man</w>", "men</w>", "a</w>", "man", "ly</w>"];
        let forbidden =
            |words: &[&str]| forbidden(&names, |name| TokenShape::of_suffixed(name, "</w>"), words);
        assert_eq!(forbidden(&["man</w>"]), ["man</w>", "men</w>"]);
        // Within a word `man</w>` says another one.
        assert!(forbidden(&["man</w>", "snow"]).is_empty());
        assert_eq!(
            forbidden(&["snow", "man</w>", "snow"]),
            ["man</w>", "men</w>"]
        );
        assert!(forbidden(&["snow", "man</w>", "a</w>"]).is_empty());
    }

    #[test]
    fn no_token_with_a_space_says_a_word_again() {
        let names = [" dog", " dogs", "s", " a", ".", "dog", " Dog"];
        let shape = |name: &str| TokenShape {
            begins_word: name.starts_with(' ') || name == ".",
            ends_word: name == ".",
            is_mark: name == ".",
            ..TokenShape::default()
        };
        let forbidden = |words: &[&str]| forbidden(&names, shape, words);
        assert_eq!(forbidden(&["dog", " a"]), [" dog", " dogs", " Dog"]);
        assert_eq!(forbidden(&["dog", "s"]), [" dog", " dogs", " Dog"]);
        assert!(forbidden(&[" a", "."]).is_empty());
    }
}
