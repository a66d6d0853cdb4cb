//! How a tokenizer's tokens make up words.

use tokenizers::models::ModelWrapper;

use super::clip::ClipTokenizer;
use super::{Inner, Tokenizer};

/// What the spaces in the names of byte-level and SentencePiece tokens look like.
const SPACES: [char; 3] = ['Ġ', '▁', ' '];

/// What a token does to the text that it is part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenShape {
    /// It never continues the word before it: WordPiece's without `##`, GPT-2's with a space.
    pub begins_word: bool,
    /// It is never a word's first: WordPiece's with `##`.
    pub only_continues: bool,
    /// What follows never continues its word: CLIP's with `</w>`.
    pub ends_word: bool,
    /// It is punctuation alone.
    pub is_mark: bool,
    /// It is `.`, `!` or `?`.
    pub ends_sentence: bool,
}

impl TokenShape {
    /// Whether `self` is the continuation of a word that `before` may be part of.
    pub fn continues(self, before: Self) -> bool {
        !self.begins_word && !before.ends_word
    }

    fn of_text(text: &str) -> Self {
        let is_mark = !text.is_empty()
            && text.chars().all(|letter| {
                letter.is_ascii_punctuation() || matches!(letter, '\u{2010}'..='\u{2027}')
            });
        Self {
            is_mark,
            ends_sentence: matches!(text, "." | "!" | "?"),
            ..Self::default()
        }
    }

    fn of_clip(tokenizer: &ClipTokenizer, id: u32) -> Self {
        let name = tokenizer.name(id);
        let text = name.strip_suffix("</w>");
        Self {
            ends_word: text.is_some(),
            ..Self::of_text(text.unwrap_or(name))
        }
    }

    /// By the prefix of tokens that continue a word.
    pub fn of_word_piece(name: &str, prefix: &str) -> Self {
        let text = name.strip_prefix(prefix);
        Self {
            begins_word: text.is_none(),
            only_continues: text.is_some(),
            ..Self::of_text(text.unwrap_or(name))
        }
    }

    /// By the suffix of tokens that end a word.
    pub fn of_suffixed(name: &str, suffix: &str) -> Self {
        let text = name.strip_suffix(suffix);
        Self {
            ends_word: text.is_some(),
            ..Self::of_text(text.unwrap_or(name))
        }
    }

    /// By the spaces within tokens.
    fn of_spaced(name: &str) -> Self {
        let text = name.trim_start_matches(SPACES);
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        Self {
            begins_word: text.len() < name.len() || !is_letter(text.chars().next()),
            ends_word: !is_letter(text.chars().next_back()),
            ..Self::of_text(text)
        }
    }
}

impl Tokenizer {
    /// What token `id` does to the text that it is part of.
    pub fn shape(&self, id: u32) -> TokenShape {
        let tokenizer = match &self.inner {
            Inner::Clip(tokenizer) => return TokenShape::of_clip(tokenizer, id),
            Inner::HuggingFace { tokenizer, .. } => tokenizer,
        };
        let name = tokenizer.id_to_token(id).unwrap_or_default();
        match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => {
                TokenShape::of_word_piece(&name, &model.continuing_subword_prefix)
            }
            ModelWrapper::BPE(model) => match &model.end_of_word_suffix {
                Some(suffix) if !suffix.is_empty() => TokenShape::of_suffixed(&name, suffix),
                _ => TokenShape::of_spaced(&name),
            },
            ModelWrapper::WordLevel(_) => TokenShape {
                begins_word: true,
                ..TokenShape::of_text(&name)
            },
            ModelWrapper::Unigram(_) => TokenShape::of_spaced(&name),
        }
    }

    /// The letters that token `id` adds to the text: without the marks of [`Tokenizer::shape`] and without
    /// spaces. `None` for tokens that write nothing, or only part of a letter.
    pub fn piece(&self, id: u32) -> Option<String> {
        let word_piece = match &self.inner {
            Inner::HuggingFace { tokenizer, .. } => match tokenizer.get_model() {
                ModelWrapper::WordPiece(model) => Some((tokenizer, model)),
                _ => None,
            },
            Inner::Clip(_) => None,
        };
        let text = match word_piece {
            // Its decoder would leave the mark of a text's first token.
            Some((tokenizer, model)) => {
                let name = tokenizer.id_to_token(id)?;
                let prefix = &model.continuing_subword_prefix;
                name.strip_prefix(prefix.as_str())
                    .map(str::to_owned)
                    .unwrap_or(name)
            }
            None => self.decode(&[id]).ok()?,
        };
        let text = text.trim();
        (!text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER)).then(|| text.to_owned())
    }

    /// The token for what the vocabulary cannot write, where there is one.
    pub fn unknown(&self) -> Option<u32> {
        let Inner::HuggingFace { tokenizer, .. } = &self.inner else {
            return None;
        };
        match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
            ModelWrapper::WordLevel(model) => tokenizer.token_to_id(&model.unk_token),
            ModelWrapper::BPE(model) => tokenizer.token_to_id(model.unk_token.as_deref()?),
            ModelWrapper::Unigram(_) => tokenizer.token_to_id("<unk>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_follow_the_marks_of_each_kind_of_vocabulary() {
        let word = TokenShape::of_word_piece("man", "##");
        let continuation = TokenShape::of_word_piece("##go", "##");
        let stop = TokenShape::of_word_piece(".", "##");
        assert!(continuation.continues(word) && !word.continues(word));
        assert!(stop.is_mark && stop.ends_sentence && !stop.continues(word));

        let inner = TokenShape::of_suffixed("snow", "</w>");
        let last = TokenShape::of_suffixed("man</w>", "</w>");
        assert!(last.continues(inner) && !last.continues(last));

        let (spaced, bare) = (TokenShape::of_spaced("Ġman"), TokenShape::of_spaced("man"));
        let comma = TokenShape::of_spaced(",");
        assert!(bare.continues(spaced) && !spaced.continues(bare));
        assert!(!bare.continues(comma) && comma.is_mark && !comma.ends_sentence);
        assert!(!TokenShape::of_spaced("▁two").continues(bare));
    }

    #[test]
    fn the_bundled_clip_tokenizer_ends_words_by_their_last_token() {
        let tokenizer = Tokenizer::from(ClipTokenizer::bundled().unwrap());
        let ids = tokenizer.encode("snowman, xyzzyq!").unwrap();
        let shapes: Vec<TokenShape> = ids.iter().map(|&id| tokenizer.shape(id)).collect();
        let words = shapes.iter().filter(|shape| shape.ends_word).count();
        assert_eq!(words, 4, "{shapes:?}");
        assert!(shapes.last().unwrap().ends_sentence);
        let pieces: Vec<String> = ids.iter().filter_map(|&id| tokenizer.piece(id)).collect();
        assert_eq!(pieces.concat(), "snowman,xyzzyq!");
        assert_eq!(tokenizer.piece(tokenizer.end()), None);
        assert_eq!(tokenizer.unknown(), None);
    }
}
