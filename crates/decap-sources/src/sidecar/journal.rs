//! What decap remembers of the texts beside the photos of a folder: a line each in a hidden file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use decap::output::write_atomically;
use decap::{Error, InputFault, Result};
use serde::{Deserialize, Serialize};

use crate::whose::{How, Trace};

/// The name of the journal in each folder.
pub const JOURNAL_NAME: &str = ".decap-sidecars.jsonl";

/// More than a million lines.
const LARGEST_JOURNAL: u64 = 256 << 20;

/// Lines of one name that are remembered: a process may die between the journal and the text.
const LINES_OF_A_NAME: usize = 2;

/// A line: a text that decap wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The file's name.
    pub name: String,
    /// The photo's.
    pub photo: String,
    /// Of the whole file.
    pub digest: String,
    /// The name of a [`How`].
    pub how: String,
    /// The whole file as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// Whose words these are.
    pub model: String,
    /// The key of the run that made them.
    pub run: String,
    /// Whether a person chose the words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

impl Line {
    pub(super) fn trace(&self) -> Option<Trace> {
        Some(Trace {
            digest: self.digest.clone(),
            how: How::of_name(&self.how)?,
            former: self.former.clone().map(String::into_bytes),
            former_source: None,
            by_hand: self.by_hand,
        })
    }
}

/// The journal of a folder, as far as it was read.
pub(super) struct Journal {
    path: PathBuf,
    /// How much of the file is known.
    known_bytes: u64,
    lines: HashMap<String, Vec<Line>>,
    /// Names to be forgotten.
    undone: HashSet<String>,
}

impl Journal {
    /// The journal of `folder`, which need not have one.
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            path: folder.join(JOURNAL_NAME),
            known_bytes: 0,
            lines: HashMap::new(),
            undone: HashSet::new(),
        }
    }

    /// Reads what this or another process has added.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let failed = |source| Error::io(&self.path, source);
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known_bytes = 0;
                self.lines.clear();
                return Ok(());
            }
            file => file.map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        if length > LARGEST_JOURNAL {
            let message =
                format!("expected a journal of at most {LARGEST_JOURNAL} bytes, got {length}");
            return Err(Error::input(&self.path, InputFault::TooLarge(message)));
        }
        if length < self.known_bytes {
            // Another process has written it anew.
            self.known_bytes = 0;
            self.lines.clear();
        }
        file.seek(SeekFrom::Start(self.known_bytes))
            .map_err(failed)?;
        let mut text = Vec::new();
        file.take(LARGEST_JOURNAL)
            .read_to_end(&mut text)
            .map_err(failed)?;
        self.known_bytes += text.len() as u64;
        for line in text.split(|&byte| byte == b'\n') {
            // One that was cut short by a killed process says nothing.
            if let Ok(line) = serde_json::from_slice(line) {
                self.remember(line);
            }
        }
        Ok(())
    }

    fn remember(&mut self, line: Line) {
        let lines = self.lines.entry(line.name.clone()).or_default();
        if lines.len() == LINES_OF_A_NAME {
            lines.remove(0);
        }
        lines.push(line);
    }

    /// The lines of a text, the latest last.
    pub(super) fn lines_of(&self, name: &str) -> &[Line] {
        self.lines.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of the texts of a photo.
    pub(super) fn names_of_photo(&self, photo: &str) -> Vec<String> {
        let lines = self.lines.values().flatten();
        let of_photo = lines.filter(|line| line.photo == photo);
        let mut names: Vec<String> = of_photo.map(|line| line.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Adds a line, in one piece.
    pub(super) fn add(&mut self, line: Line) -> Result<()> {
        let failed = |source| Error::io(&self.path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(failed)?;
        let json = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        let mut text = format!("{json}\n");
        if !ends_whole(&mut file).map_err(failed)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes()).map_err(failed)?;
        self.known_bytes += text.len() as u64;
        self.remember(line);
        Ok(())
    }

    /// Forgets a text once [`Journal::finish`] is called.
    pub(super) fn forget(&mut self, name: &str) {
        self.lines.remove(name);
        self.undone.insert(name.to_owned());
    }

    /// Writes the journal without what is to be forgotten, or removes it where nothing is left.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.undone.is_empty() {
            return Ok(());
        }
        let failed = |source| Error::io(&self.path, source);
        let text = fs::read(&self.path).map_err(failed)?;
        let is_kept = |line: &&[u8]| match serde_json::from_slice::<Line>(line) {
            Ok(line) => !self.undone.contains(&line.name),
            // A later version's, perhaps.
            Err(_) => !line.is_empty(),
        };
        let kept: Vec<&[u8]> = text.split(|&byte| byte == b'\n').filter(is_kept).collect();
        match kept.is_empty() {
            true => fs::remove_file(&self.path).map_err(failed)?,
            false => write_atomically(&self.path, |out| {
                for line in &kept {
                    out.write_all(line)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            })?,
        }
        *self = Self {
            path: std::mem::take(&mut self.path),
            known_bytes: 0,
            lines: HashMap::new(),
            undone: HashSet::new(),
        };
        Ok(())
    }
}

/// Whether the last line of a file has its end.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
