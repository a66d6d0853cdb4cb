//! Document frequencies that were counted before, for CIDEr as evaluation servers compute it.

use crate::captions::References;
use crate::error::Error;
use crate::ptb::PtbTokenizer;
use crate::text::words;
use crate::unpack::read_text;
use crate::write::write_whole;
use caption_words::{DocumentCounts, MAX_ORDER, Ngram, NgramMap, Vocabulary};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

/// First words of a file's first line.
const HEADER: &str = "images";

/// In how many of a corpus's images each n-gram occurs.
///
/// A file of them is text: `images N`, then a line `count<TAB>words` for each n-gram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentFrequencies {
    num_images: u64,
    counts: HashMap<String, u32>,
}

impl DocumentFrequencies {
    /// Counts the n-grams of one to four words over tokenized references.
    #[must_use]
    pub fn of_references(references: &References) -> Self {
        let captions: Vec<&str> = references.captions().collect();
        let mut tokenized = PtbTokenizer::new().tokenize_all(&captions).into_iter();
        let mut counts = HashMap::new();
        for image in references.images() {
            let mut of_image = HashSet::new();
            for caption in tokenized.by_ref().take(image.captions.len()) {
                let words: Vec<&str> = words(&caption).collect();
                for order in 1..=MAX_ORDER {
                    of_image.extend(words.windows(order).map(|ngram| ngram.join(" ")));
                }
            }
            for ngram in of_image {
                *counts.entry(ngram).or_insert(0) += 1;
            }
        }
        Self {
            num_images: references.images().len() as u64,
            counts,
        }
    }

    /// Reads a file of document frequencies, `.gz` unpacked.
    ///
    /// # Errors
    /// The file cannot be read or is none of document frequencies.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read_text(path)?;
        let wrong = |line: usize, message: &str| Error::Format {
            path: path.to_owned(),
            message: format!("line {line}: {message}"),
        };
        let mut lines = text.lines();
        let num_images = lines
            .next()
            .and_then(|line| line.strip_prefix(HEADER)?.trim().parse().ok())
            .filter(|&num_images| num_images > 0)
            .ok_or_else(|| wrong(1, "expected \"images N\" with N at least 1"))?;
        let mut counts = HashMap::new();
        for (index, line) in lines.enumerate() {
            let entry = line.split_once('\t').and_then(|(count, ngram)| {
                let order = words(ngram).count();
                let count = count.parse().ok()?;
                (1..=MAX_ORDER)
                    .contains(&order)
                    .then(|| (ngram.to_owned(), count))
            });
            let (ngram, count) = entry
                .ok_or_else(|| wrong(index + 2, "expected a count, a tab and 1 to 4 words"))?;
            counts.insert(ngram, count);
        }
        Ok(Self { num_images, counts })
    }

    /// Writes them as [`Self::read`] reads them, n-grams in alphabetical order.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let mut entries: Vec<(&String, &u32)> = self.counts.iter().collect();
        entries.sort_unstable();
        let mut text = format!("{HEADER} {}\n", self.num_images);
        for (ngram, count) in entries {
            let _infallible = writeln!(text, "{count}\t{ngram}");
        }
        write_whole(path, |file| file.write_all(text.as_bytes()))
    }

    pub(crate) fn counts(&self, vocabulary: &mut Vocabulary) -> DocumentCounts {
        let counts: NgramMap<u32> = self
            .counts
            .iter()
            .map(|(ngram, &count)| (Ngram::new(&vocabulary.numbers(words(ngram))), count))
            .collect();
        DocumentCounts::from_counts(counts, self.num_images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Predictions, score};

    fn references() -> References {
        References::new([
            (
                "1".to_owned(),
                vec!["A dog.".to_owned(), "The dog runs.".to_owned()],
            ),
            ("2".to_owned(), vec!["A cat".to_owned()]),
        ])
        .unwrap()
    }

    #[test]
    fn a_file_of_the_references_gives_the_same_cider() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("df.txt");
        let counted = DocumentFrequencies::of_references(&references());
        counted.write(&path).unwrap();
        let read = DocumentFrequencies::read(&path).unwrap();
        assert_eq!(read, counted);
        assert_eq!(
            (read.num_images, read.counts["a"], read.counts["dog"]),
            (2, 2, 1)
        );

        let captions = [("1", "a dog"), ("2", "the cat")];
        let predictions =
            Predictions::new(captions.map(|(id, text)| (id.to_owned(), text.to_owned()))).unwrap();
        let plain = score(&references(), &predictions, &Options::default()).unwrap();
        let options = Options {
            document_frequencies: Some(read),
            ..Options::default()
        };
        let given = score(&references(), &predictions, &options).unwrap();
        assert_eq!(given.corpus, plain.corpus);
        assert!(plain.corpus.cider > 0.0);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("df.txt");
        for text in [
            "",
            "images 0\n",
            "images x\n",
            "images 5\n3 a\n",
            "images 5\n3\ta b c d e\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(DocumentFrequencies::read(&path), Err(Error::Format { .. })),
                "{text}"
            );
        }
    }
}
