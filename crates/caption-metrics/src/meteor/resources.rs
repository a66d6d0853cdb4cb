//! METEOR's data: words and their meanings, phrases and their paraphrases, as one file.
//!
//! Little endian. The magic bytes, then sections, each a length in bytes (`u64`) and that many
//! bytes: function words, non-breaking prefixes (both as text), exceptions and synonyms (word
//! tables), the vocabulary of the phrases (a word table), and the phrases (see [`Phrases`]).

use crate::error::Error;
use crate::write::write_whole;
use caption_words::{Ngram, NgramMap};
use rayon::prelude::*;
use std::io::Write;
use std::path::Path;

/// First bytes of a file, with the format's version.
const MAGIC: &[u8; 16] = b"METEOR-1.5-en\0\0\x01";

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Numbers that one task reads: fewer are not worth another's start.
const NUMBERS_PER_TASK: usize = 1 << 16;

/// All data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// One function word a line.
    pub(crate) function_words: String,
    /// Moses' list of prefixes whose period does not end a sentence.
    pub(crate) prefixes: String,
    /// Irregular forms, each with its base forms as indices into the synonyms.
    pub(crate) exceptions: WordTable,
    /// WordNet's words, each with its synonym sets.
    pub(crate) synonyms: WordTable,
    /// The words of the phrases; a word's index is its number.
    pub(crate) vocabulary: WordTable,
    pub(crate) phrases: Phrases,
}

/// The ranges of phrases that were met, by the range before, the position and the word.
pub(crate) type PrefixCache = NgramMap<std::ops::Range<usize>>;

/// Sorted words, each with a list of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WordTable {
    /// All words, one after the other.
    text: String,
    /// Where each word ends, `[words]`.
    ends: Vec<u32>,
    /// Where each word's list ends, `[words]`.
    list_ends: Vec<u32>,
    /// All lists, one after the other.
    lists: Vec<u32>,
}

/// Sorted phrases of word numbers, each with its paraphrases in the table's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phrases {
    /// Where each phrase ends, `[phrases]`.
    pub(crate) ends: Vec<u32>,
    /// All phrases' word numbers, one after the other.
    pub(crate) words: Vec<u32>,
    /// Where each phrase's list of paraphrases ends, `[phrases]`.
    pub(crate) list_ends: Vec<u32>,
    /// Paraphrases as phrase indices, one list after the other.
    pub(crate) lists: Vec<u32>,
}

impl WordTable {
    /// Words must be sorted by bytes and unique.
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u32])>) -> Self {
        let mut table = Self::default();
        for (word, list) in entries {
            table.text.push_str(word);
            table.ends.push(table.text.len() as u32);
            table.lists.extend_from_slice(list);
            table.list_ends.push(table.lists.len() as u32);
        }
        table
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The word's index.
    pub(crate) fn find(&self, word: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.word(middle).cmp(word) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    fn word(&self, index: usize) -> &str {
        self.text.get(range(&self.ends, index)).unwrap_or_default()
    }

    /// The word's list; empty where it is not in the table.
    pub(crate) fn list(&self, word: &str) -> &[u32] {
        self.find(word).map_or(&[], |index| self.list_at(index))
    }

    /// The list of the word with that index.
    pub(crate) fn list_at(&self, index: usize) -> &[u32] {
        self.lists
            .get(range(&self.list_ends, index))
            .unwrap_or_default()
    }
}

impl Phrases {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The phrase's word numbers.
    pub(crate) fn phrase(&self, index: usize) -> &[u32] {
        self.words.get(range(&self.ends, index)).unwrap_or_default()
    }

    /// The phrase's paraphrases, as phrase indices.
    pub(crate) fn paraphrases(&self, index: usize) -> &[u32] {
        self.lists
            .get(range(&self.list_ends, index))
            .unwrap_or_default()
    }

    /// The phrases that start with the word, as a range of indices.
    pub(crate) fn with_first(&self, word: u32) -> std::ops::Range<usize> {
        self.narrowed(0..self.len(), 0, word)
    }

    /// Calls `found` with the length and the index of each phrase that `words` starts with,
    /// shortest first. `range` is the first word's.
    pub(crate) fn starting(
        &self,
        words: &[Option<u32>],
        range: std::ops::Range<usize>,
        cache: &mut PrefixCache,
        mut found: impl FnMut(usize, usize),
    ) {
        let mut range = range;
        for (position, word) in words.iter().enumerate() {
            let Some(word) = *word else { return };
            if position > 0 {
                // Phrases that agree up to a position are told apart by where they start.
                let key = Ngram::new(&[range.start as u32, position as u32, word]);
                let narrowed = cache.entry(key);
                range = narrowed
                    .or_insert_with(|| self.narrowed(range, position, word))
                    .clone();
            }
            if range.is_empty() {
                return;
            }
            // A phrase stands before those that continue it.
            if self.phrase(range.start).len() == position + 1 {
                found(position + 1, range.start);
            }
        }
    }

    /// Those of the phrases that have the word at the position; they agree before it.
    fn narrowed(
        &self,
        range: std::ops::Range<usize>,
        position: usize,
        word: u32,
    ) -> std::ops::Range<usize> {
        let word_at = |index: usize| self.phrase(index).get(position).copied();
        let low = range.start
            + count_while(range.len(), |offset| {
                word_at(range.start + offset) < Some(word)
            });
        let high = low
            + count_while(range.end - low, |offset| {
                word_at(low + offset) == Some(word)
            });
        low..high
    }
}

/// How many of the first numbers below `len` hold, if all that hold come first.
fn count_while(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low
}

/// Where the part with that index lies, given where the parts end.
fn range(ends: &[u32], index: usize) -> std::ops::Range<usize> {
    let start = index
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .copied()
        .unwrap_or(0);
    let end = ends.get(index).copied().unwrap_or(start);
    start as usize..end as usize
}

impl Resources {
    /// Reads a file and checks that all its numbers lie where they must.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(io)?.len();
        let wrong = |message: &str| Error::Format {
            path: path.to_owned(),
            message: format!("expected METEOR resources, got {message}"),
        };
        if size > MAX_FILE_BYTES {
            return Err(wrong("a file that is too large"));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        Self::from_bytes(&bytes).map_err(wrong)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("another kind of file")?;
        let mut sections = Sections { rest };
        let resources = Self {
            function_words: sections.text()?,
            prefixes: sections.text()?,
            exceptions: sections.word_table()?,
            synonyms: sections.word_table()?,
            vocabulary: sections.word_table()?,
            phrases: Phrases {
                ends: sections.numbers()?,
                words: sections.numbers()?,
                list_ends: sections.numbers()?,
                lists: sections.numbers()?,
            },
        };
        let phrases = &resources.phrases;
        let num_synonyms = resources.synonyms.len();
        let holds = sections.rest.is_empty()
            && resources
                .exceptions
                .lists
                .iter()
                .all(|&index| (index as usize) < num_synonyms)
            && are_ends(&phrases.ends, phrases.words.len())
            && phrases.list_ends.len() == phrases.ends.len()
            && are_ends(&phrases.list_ends, phrases.lists.len())
            && phrases
                .lists
                .par_iter()
                .with_min_len(NUMBERS_PER_TASK)
                .all(|&index| (index as usize) < phrases.len());
        holds.then_some(resources).ok_or("a damaged file")
    }

    /// Writes a file that [`Self::read`] reads.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        write_whole(path, |file| {
            file.write_all(MAGIC)?;
            section(file, self.function_words.as_bytes())?;
            section(file, self.prefixes.as_bytes())?;
            for table in [&self.exceptions, &self.synonyms, &self.vocabulary] {
                section(file, table.text.as_bytes())?;
                for numbers in [&table.ends, &table.list_ends, &table.lists] {
                    section(file, &bytes_of(numbers))?;
                }
            }
            let phrases = &self.phrases;
            for numbers in [
                &phrases.ends,
                &phrases.words,
                &phrases.list_ends,
                &phrases.lists,
            ] {
                section(file, &bytes_of(numbers))?;
            }
            Ok(())
        })
    }
}

fn section(file: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(&(bytes.len() as u64).to_le_bytes())?;
    file.write_all(bytes)
}

fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// Whether these can be where parts end in something of that length.
fn are_ends(ends: &[u32], len: usize) -> bool {
    ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == len
}

/// The sections of a file that have not been read.
struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Sections<'a> {
    fn next(&mut self) -> Result<&'a [u8], &'static str> {
        const SHORT: &str = "a file that ends too early";
        let (len, rest) = self.rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| SHORT)?;
        let (section, rest) = rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(section)
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let bytes = self.next()?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| "text that is not UTF-8")
    }

    fn numbers(&mut self) -> Result<Vec<u32>, &'static str> {
        let bytes = self.next()?;
        let (chunks, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("a damaged file");
        }
        Ok(chunks
            .par_iter()
            .with_min_len(NUMBERS_PER_TASK)
            .map(|chunk| u32::from_le_bytes(*chunk))
            .collect())
    }

    fn word_table(&mut self) -> Result<WordTable, &'static str> {
        let table = WordTable {
            text: self.text()?,
            ends: self.numbers()?,
            list_ends: self.numbers()?,
            lists: self.numbers()?,
        };
        let holds = are_ends(&table.ends, table.text.len())
            && table
                .ends
                .iter()
                .all(|&end| table.text.is_char_boundary(end as usize))
            && table.list_ends.len() == table.ends.len()
            && are_ends(&table.list_ends, table.lists.len());
        holds.then_some(table).ok_or("a damaged file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources() -> Resources {
        Resources {
            function_words: "the\n".to_owned(),
            prefixes: "mr\n".to_owned(),
            exceptions: WordTable::new([("mice", [1].as_slice())]),
            synonyms: WordTable::new([("house", [7, 9].as_slice()), ("mouse", &[3])]),
            vocabulary: WordTable::new([("a", [].as_slice()), ("big", &[]), ("dog", &[])]),
            phrases: Phrases {
                ends: vec![1, 3, 6, 7],
                words: vec![0, 0, 1, 0, 1, 2, 2],
                list_ends: vec![1, 1, 2, 4],
                lists: vec![3, 3, 0, 2],
            },
        }
    }

    #[test]
    fn a_file_holds_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meteor.bin");
        resources().write(&path).unwrap();
        assert_eq!(Resources::read(&path).unwrap(), resources());
    }

    #[test]
    fn words_and_phrases_are_found() {
        let resources = resources();
        assert_eq!(resources.synonyms.list("mouse"), [3]);
        assert_eq!(resources.synonyms.list("mous"), [0; 0]);
        let mut found = Vec::new();
        let phrases = &resources.phrases;
        let words = [Some(0), Some(1), Some(2), None];
        phrases.starting(
            &words,
            phrases.with_first(0),
            &mut PrefixCache::default(),
            |len, index| found.push((len, index)),
        );
        assert_eq!(found, [(1, 0), (2, 1), (3, 2)]);
        found.clear();
        let words = [Some(2), Some(0)];
        phrases.starting(
            &words,
            phrases.with_first(2),
            &mut PrefixCache::default(),
            |len, index| found.push((len, index)),
        );
        assert_eq!(found, [(1, 3)]);
        assert_eq!(phrases.paraphrases(3), [0, 2]);
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meteor.bin");
        resources().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            assert!(Resources::from_bytes(&whole[..len]).is_err(), "{len} bytes");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(Resources::from_bytes(&longer).is_err());
        // Any one byte changed: refused or harmless, never a panic.
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 0x81;
            if let Ok(resources) = Resources::from_bytes(&changed) {
                let _ = resources.synonyms.list("mouse");
                let phrases = &resources.phrases;
                phrases.starting(
                    &[Some(0), Some(1)],
                    phrases.with_first(0),
                    &mut PrefixCache::default(),
                    |_, index| {
                        assert!(phrases.paraphrases(index).len() < 5);
                    },
                );
            }
        }
    }
}
