//! Whose words a text is, and what may be done about it.
//!
//! decap remembers each text that it writes by a digest. A text with another digest was written, or
//! edited, by a person.

use decap::hexadecimal;
use sha2::{Digest, Sha256};

/// What to do where there is a text already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Leave every text alone, decap's too.
    Skip,
    /// Replace what decap wrote, and leave a person's words alone.
    #[default]
    Ours,
    /// Put the caption after a person's words.
    Append,
    /// Put the caption before a person's words.
    Prepend,
    /// Put the caption in place of a person's words.
    Overwrite,
}

/// How decap's words came to stand where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// There was no text before.
    New,
    /// After a person's words.
    Append,
    /// Before a person's words.
    Prepend,
    /// In place of a person's words.
    Overwrite,
}

impl How {
    /// All of them.
    const ALL: [Self; 4] = [Self::New, Self::Append, Self::Prepend, Self::Overwrite];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Overwrite => "overwrite",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.name() == name)
    }
}

/// What decap remembers of a text that it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// [`digest_of`] the whole text.
    pub digest: String,
    /// How the words came there.
    pub how: How,
    /// The text that was there before, in the place's own encoding.
    pub former: Option<Vec<u8>>,
    /// How that was written, where the same text can be written in several ways.
    pub former_source: Option<String>,
    /// Whether a person chose the words, as in a table of captions that was read through.
    pub by_hand: bool,
}

/// Who wrote a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// There is none, or only white space.
    Nobody,
    /// decap, and nobody has edited it since.
    Decap,
    /// A person.
    Person,
}

impl Author {
    /// The author of the text `current`, about which decap remembers `trace`.
    pub fn of(current: Option<&[u8]>, trace: Option<&Trace>) -> Self {
        match current {
            Some(text) if trace.is_some_and(|trace| trace.digest == digest_of(text)) => Self::Decap,
            Some(text) if !is_blank(text) => Self::Person,
            _ => Self::Nobody,
        }
    }

    /// The same, for somebody who is about to write there: words that were chosen by hand are a person's for all
    /// who write none such.
    pub fn for_writer(current: Option<&[u8]>, trace: Option<&Trace>, by_hand: bool) -> Self {
        match Self::of(current, trace) {
            Self::Decap if !by_hand && trace.is_some_and(|trace| trace.by_hand) => Self::Person,
            author => author,
        }
    }
}

/// The text to write where `current` stands, and what to remember of it; nothing where the text is
/// to be left alone.
pub fn decide(
    current: Option<&[u8]>,
    trace: Option<&Trace>,
    existing: Existing,
    words: &[u8],
    by_hand: bool,
) -> Option<(Vec<u8>, Trace)> {
    let known = trace;
    let (former, former_source, how_before) =
        match (Author::for_writer(current, trace, by_hand), trace) {
            (Author::Nobody, _) => (current, None, How::New),
            (Author::Decap, Some(trace)) => match existing {
                Existing::Skip => return None,
                _ => (
                    trace.former.as_deref(),
                    trace.former_source.clone(),
                    trace.how,
                ),
            },
            _ => match existing {
                Existing::Skip | Existing::Ours => return None,
                _ => (current, None, How::New),
            },
        };
    let has_former = former.is_some_and(|former| !is_blank(former));
    let how = match existing {
        _ if !has_former => How::New,
        Existing::Append => How::Append,
        Existing::Prepend => How::Prepend,
        Existing::Overwrite => How::Overwrite,
        Existing::Skip | Existing::Ours => how_before,
    };
    let text = match (how, former) {
        (How::Append, Some(former)) => [trimmed(former), words].join(&b' '),
        (How::Prepend, Some(former)) => [words, trimmed(former)].join(&b' '),
        _ => words.to_vec(),
    };
    let trace = Trace {
        digest: digest_of(&text),
        how,
        former: former.map(<[u8]>::to_vec),
        former_source,
        // Words that a person left as they were are not that person's.
        by_hand: match known {
            Some(trace) if current == Some(&text[..]) => trace.by_hand,
            _ => by_hand,
        },
    };
    Some((text, trace))
}

/// Thirty-two hexadecimal digits that tell a text from any other.
pub fn digest_of(text: &[u8]) -> String {
    hexadecimal(&Sha256::digest(text)[..16])
}

/// Whether nobody could read a word in it. A byte of zero ends texts in EXIF.
pub fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte <= b' ')
}

/// A text without what [`is_blank`] around it.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_ink = |&byte: &u8| byte > b' ';
    let start = text.iter().position(is_ink).unwrap_or(text.len());
    let end = text.iter().rposition(is_ink).map_or(start, |end| end + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Existing; 5] = [
        Existing::Skip,
        Existing::Ours,
        Existing::Append,
        Existing::Prepend,
        Existing::Overwrite,
    ];

    fn decided(current: Option<&str>, trace: Option<&Trace>, existing: Existing) -> Option<String> {
        let current = current.map(str::as_bytes);
        let (text, _) = decide(current, trace, existing, b"a dog", false)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn an_empty_place_gets_the_caption() {
        for existing in ALL {
            for current in [None, Some(""), Some(" \0")] {
                let text = decided(current, None, existing);
                assert_eq!(text.as_deref(), Some("a dog"));
            }
        }
    }

    #[test]
    fn a_persons_words_are_touched_on_request_alone() {
        let expected = [
            None,
            None,
            Some("my dog a dog"),
            Some("a dog my dog"),
            Some("a dog"),
        ];
        for (existing, expected) in ALL.into_iter().zip(expected) {
            let text = decided(Some("my dog"), None, existing);
            assert_eq!(text.as_deref(), expected);
        }
        // decap's words, edited.
        let (_, trace) = decide(None, None, Existing::Ours, b"a cat", false).unwrap();
        assert_eq!(decided(Some("a cat!"), Some(&trace), Existing::Ours), None);
        let text = decided(Some("a cat"), Some(&trace), Existing::Ours);
        assert_eq!(text.as_deref(), Some("a dog"));
        assert_eq!(decided(Some("a cat"), Some(&trace), Existing::Skip), None);
    }

    #[test]
    fn words_chosen_by_hand_are_a_persons_until_others_are_chosen() {
        let (text, trace) = decide(None, None, Existing::Ours, b"my cat", true).unwrap();
        let current = Some(&text[..]);
        assert_eq!(decided(Some("my cat"), Some(&trace), Existing::Ours), None);
        let again = decide(current, Some(&trace), Existing::Ours, b"our cat", true);
        assert_eq!(again.unwrap().0, b"our cat");
        let (_, over) =
            decide(current, Some(&trace), Existing::Overwrite, b"a cat", false).unwrap();
        assert_eq!(over.former.as_deref(), current);
        assert_eq!(
            Author::of(current, Some(&trace)),
            Author::Decap,
            "it can be taken back"
        );
    }

    #[test]
    fn decaps_words_stand_once_beside_a_persons() {
        let former = Some(&b"my dog"[..]);
        let (text, trace) = decide(former, None, Existing::Append, b"a cat", false).unwrap();
        assert_eq!(text, b"my dog a cat");
        for (existing, expected) in ALL.into_iter().zip([
            None,
            Some("my dog a dog"),
            Some("my dog a dog"),
            Some("a dog my dog"),
            Some("a dog"),
        ]) {
            let text = decided(Some("my dog a cat"), Some(&trace), existing);
            assert_eq!(text.as_deref(), expected);
        }
        assert_eq!(trace.former.as_deref(), former);
    }
}
