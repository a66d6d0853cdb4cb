//! The sentences of a memory, one a line in a mapped file.

use std::path::Path;

use decap_encoder::weights::Bytes;
use decap_encoder::{Error, Result};

/// Sentences in order, kept as the bytes of a text file with one a line.
#[derive(Debug, Clone)]
pub struct Captions {
    text: Bytes,
    /// Start of each line, and one past the last line.
    starts: Vec<usize>,
}

impl Captions {
    /// Takes sentences; line breaks inside one become spaces.
    pub fn from_sentences<S: AsRef<str>>(sentences: impl IntoIterator<Item = S>) -> Self {
        let mut text = String::new();
        let mut starts = vec![0];
        for sentence in sentences {
            text.extend(
                sentence
                    .as_ref()
                    .chars()
                    .map(|c| if is_line_break(c) { ' ' } else { c }),
            );
            text.push('\n');
            starts.push(text.len());
        }
        Self {
            text: text.into_bytes().into(),
            starts,
        }
    }

    /// Reads the lines of a text file; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] where it is not UTF-8.
    pub fn read(path: &Path, text: Bytes) -> Result<Self> {
        std::str::from_utf8(&text)
            .map_err(|error| Error::model(path, format!("expected UTF-8 text: {error}")))?;
        let mut starts = vec![0];
        starts.extend(
            text.iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'\n')
                .map(|(i, _)| i + 1),
        );
        if text.last().is_some_and(|&last| last != b'\n') {
            // The last line lacks its end; pretend that it follows the text.
            starts.push(text.len() + 1);
        }
        Ok(Self { text, starts })
    }

    /// The number of sentences.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sentence `index`.
    ///
    /// # Panics
    /// If there is no such sentence.
    pub fn get(&self, index: usize) -> &str {
        let line = &self.text[self.starts[index]..self.starts[index + 1] - 1];
        // Checked on construction, and lines end at ASCII: this never falls back.
        std::str::from_utf8(line).unwrap_or_default()
    }

    /// All sentences in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The file's bytes, each sentence followed by a line feed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_survive_a_round_trip() {
        let sentences = ["a dog", "", "ein Hündchen", "two\nlines"];
        let captions = Captions::from_sentences(sentences);
        let bytes = Bytes::from(captions.as_bytes().to_vec());
        let read = Captions::read(Path::new("captions.txt"), bytes).unwrap();
        let expected = ["a dog", "", "ein Hündchen", "two lines"];
        assert!(read.iter().eq(expected));
        assert!(captions.iter().eq(expected));
    }

    #[test]
    fn a_missing_last_line_feed_is_forgiven() {
        let read = Captions::read(Path::new("c"), Bytes::from(b"a\nb".to_vec())).unwrap();
        assert!(read.iter().eq(["a", "b"]));
        assert_eq!(
            Captions::read(Path::new("c"), Bytes::from(vec![]))
                .unwrap()
                .len(),
            0
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(Captions::read(Path::new("c"), Bytes::from(vec![0xff, 0xfe])).is_err());
    }
}
