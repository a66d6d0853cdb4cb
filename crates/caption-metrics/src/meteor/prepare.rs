//! Makes the resources file out of pycocoevalcap's METEOR.

use super::resources::{Phrases, Resources, WordTable};
use crate::error::Error;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const JAR: &str = "meteor-1.5.jar";
const PARAPHRASES: &str = "data/paraphrase-en.gz";

/// The largest text that is read from the jar.
const MAX_ENTRY_BYTES: u64 = 64 << 20;
/// The most phrases a table may have; the English one has five million lines of them.
const MAX_PARAPHRASES: usize = 50_000_000;
/// The longest line of the paraphrase table that is read.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// What a resources file was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Words with synonyms.
    pub num_synonym_words: usize,
    /// Distinct phrases.
    pub num_phrases: usize,
    /// Pairs of a phrase and a paraphrase.
    pub num_paraphrases: usize,
    /// Words in the phrases.
    pub num_phrase_words: usize,
}

/// Makes a METEOR resources file.
///
/// `package` is the installed `pycocoevalcap` folder, or its `meteor` folder: wherever
/// `meteor-1.5.jar` and `data/paraphrase-en.gz` lie.
///
/// # Errors
/// The jar or the paraphrase table is missing or not what is expected, or `output` cannot be
/// written.
pub fn prepare(package: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<Prepared, Error> {
    let folder = meteor_folder(package.as_ref())?;
    let jar = Jar::open(folder.join(JAR))?;
    let synonyms = synonyms(&jar.text("synonym/english.synsets")?);
    let (vocabulary, phrases) = paraphrases(&folder.join(PARAPHRASES))?;
    let resources = Resources {
        function_words: jar.text("function/english.words")?,
        prefixes: jar.text("nonbreaking/english.prefixes")?,
        exceptions: exceptions(&jar.text("synonym/english.exceptions")?, &synonyms),
        synonyms,
        vocabulary,
        phrases,
    };
    resources.write(output.as_ref())?;
    Ok(Prepared {
        num_synonym_words: resources.synonyms.len(),
        num_phrases: resources.phrases.len(),
        num_paraphrases: resources.phrases.lists.len(),
        num_phrase_words: resources.vocabulary.len(),
    })
}

fn meteor_folder(package: &Path) -> Result<PathBuf, Error> {
    let candidates = [package.to_owned(), package.join("meteor")];
    candidates
        .into_iter()
        .find(|folder| folder.join(JAR).is_file())
        .ok_or_else(|| Error::Format {
            path: package.to_owned(),
            message: format!(
                "expected pycocoevalcap's folder, got none with {JAR} in it or in meteor"
            ),
        })
}

struct Jar {
    path: PathBuf,
}

impl Jar {
    fn open(path: PathBuf) -> Result<Self, Error> {
        Ok(Self { path })
    }

    /// The text of an entry; lines that are not UTF-8 are read as Java does, with marks.
    fn text(&self, name: &str) -> Result<String, Error> {
        let wrong = |message: String| Error::Format {
            path: self.path.clone(),
            message,
        };
        let file = File::open(&self.path).map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        })?;
        let mut archive = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|error| wrong(format!("expected a jar, got {error}")))?;
        let entry = archive
            .by_name(name)
            .map_err(|error| wrong(format!("expected the entry {name}, got {error}")))?;
        let mut bytes = Vec::new();
        entry
            .take(MAX_ENTRY_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(format!("expected to unpack {name}, got {error}")))?;
        if bytes.len() as u64 > MAX_ENTRY_BYTES {
            return Err(wrong(format!(
                "expected at most {MAX_ENTRY_BYTES} bytes in {name}"
            )));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Reads a word and its synonym sets from each two lines.
fn synonyms(text: &str) -> WordTable {
    let mut sets: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut lines = text.lines();
    while let (Some(word), Some(numbers)) = (lines.next(), lines.next()) {
        let mut numbers: Vec<u32> = numbers
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        sets.insert(word, numbers);
    }
    WordTable::new(
        sets.iter()
            .map(|(&word, numbers)| (word, numbers.as_slice())),
    )
}

/// Reads a base form and its irregular forms from each two lines.
fn exceptions(text: &str, synonyms: &WordTable) -> WordTable {
    let mut bases: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut lines = text.lines();
    while let (Some(base), Some(forms)) = (lines.next(), lines.next()) {
        for form in forms.split_whitespace() {
            let bases = bases.entry(form).or_default();
            // A base without synonyms still keeps its forms from being cut down by rules.
            bases.extend(synonyms.find(base).map(|index| index as u32));
        }
    }
    WordTable::new(bases.iter().map(|(&form, bases)| (form, bases.as_slice())))
}

/// Reads a probability (not used), a phrase and its paraphrase from each three lines.
fn paraphrases(path: &Path) -> Result<(WordTable, Phrases), Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let wrong = |message: &str| Error::Format {
        path: path.to_owned(),
        message: format!("expected a paraphrase table, got {message}"),
    };
    let file = File::open(path).map_err(io)?;
    let mut lines = Lines {
        reader: BufReader::new(flate2::read::MultiGzDecoder::new(file)),
    };
    let mut words = Numbering::<str>::default();
    let mut phrases = Numbering::<[u32]>::default();
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    while lines.next().map_err(io)?.is_some() {
        let mut side = || -> Result<u32, Error> {
            let line = lines
                .next()
                .map_err(io)?
                .ok_or_else(|| wrong("an unfinished entry"))?;
            let phrase: Box<[u32]> = line
                .split_ascii_whitespace()
                .map(|word| words.number(word))
                .collect();
            Ok(phrases.number(&*phrase))
        };
        pairs.push((side()?, side()?));
        if pairs.len() > MAX_PARAPHRASES {
            return Err(wrong("too many entries"));
        }
    }
    if pairs.is_empty() {
        return Err(wrong("none"));
    }
    Ok(sorted(words, phrases, pairs))
}

/// Words and phrases numbered in their sorted order.
fn sorted(
    words: Numbering<str>,
    phrases: Numbering<[u32]>,
    mut pairs: Vec<(u32, u32)>,
) -> (WordTable, Phrases) {
    let words = words.in_order();
    let mut word_order: Vec<u32> = (0..words.len() as u32).collect();
    word_order.sort_unstable_by_key(|&number| &words[number as usize]);
    let word_rank = ranks(&word_order);
    let no_list: &[u32] = &[];
    let vocabulary = WordTable::new(
        word_order
            .iter()
            .map(|&number| (&*words[number as usize], no_list)),
    );

    let mut phrases = phrases.in_order();
    for word in phrases.iter_mut().flatten() {
        *word = word_rank[*word as usize];
    }
    let mut phrase_order: Vec<u32> = (0..phrases.len() as u32).collect();
    phrase_order.sort_unstable_by_key(|&number| &phrases[number as usize]);
    let phrase_rank = ranks(&phrase_order);
    for (phrase, paraphrase) in &mut pairs {
        *phrase = phrase_rank[*phrase as usize];
        *paraphrase = phrase_rank[*paraphrase as usize];
    }
    pairs.sort_by_key(|&(phrase, _)| phrase); // stable: a phrase's list keeps its order

    let mut table = Phrases::default();
    let mut rest = pairs.as_slice();
    for (rank, &number) in phrase_order.iter().enumerate() {
        table.words.extend_from_slice(&phrases[number as usize]);
        table.ends.push(table.words.len() as u32);
        let count = rest.partition_point(|&(phrase, _)| phrase as usize <= rank);
        table
            .lists
            .extend(rest[..count].iter().map(|&(_, paraphrase)| paraphrase));
        table.list_ends.push(table.lists.len() as u32);
        rest = &rest[count..];
    }
    (vocabulary, table)
}

fn ranks(order: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0; order.len()];
    for (rank, &number) in order.iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    ranks
}

/// Numbers for things, in order of first appearance.
struct Numbering<T: ?Sized> {
    numbers: HashMap<Box<T>, u32>,
}

impl<T: ?Sized> Default for Numbering<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
        }
    }
}

impl<T: ?Sized + std::hash::Hash + Eq> Numbering<T> {
    fn number<'a>(&mut self, thing: &'a T) -> u32
    where
        Box<T>: From<&'a T>,
    {
        if let Some(&number) = self.numbers.get(thing) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(Box::from(thing), number);
        number
    }

    fn in_order(self) -> Vec<Box<T>> {
        let mut numbered: Vec<(u32, Box<T>)> = self
            .numbers
            .into_iter()
            .map(|(thing, number)| (number, thing))
            .collect();
        numbered.sort_unstable_by_key(|&(number, _)| number);
        numbered.into_iter().map(|(_, thing)| thing).collect()
    }
}

/// Lines of limited length.
struct Lines<R> {
    reader: R,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = self
            .reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)?;
        Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
    }
}
