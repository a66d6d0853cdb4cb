//! Captions in text files beside photos, as trainers of image models read them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use decap::output::FolderLock;
use decap::{Error, InputFault, Result};

use super::journal::{Journal, Line};
use crate::metadata::Outcome;
use crate::photo_file::{Effect, ReadFile, Times, write_whole};
use crate::whose::{Author, Existing, Trace, decide, digest_of, is_blank};

/// No caption is longer, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;

/// What happened to the text beside a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextOutcome {
    /// The text's file.
    pub path: PathBuf,
    /// What happened to it.
    pub outcome: Outcome,
    /// Whether the file changed, or would.
    pub has_changed: bool,
}

/// Writes texts beside photos, and takes them back.
///
/// What decap wrote is remembered in a journal in each folder, [`JOURNAL_NAME`](super::JOURNAL_NAME).
#[derive(Default)]
pub struct TextSidecars {
    /// That of the folder in use.
    journal: Option<(PathBuf, Journal)>,
}

/// A caption to write beside a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextToWrite<'a> {
    /// The words.
    pub text: &'a str,
    /// The ending of the file's name, without a dot.
    pub extension: &'a str,
    /// What to do where there is a text already.
    pub existing: Existing,
    /// The name of the model whose words these are.
    pub model: &'a str,
    /// The key of the run that made them.
    pub run: &'a str,
    /// Whether a person chose the words, as in [`CaptionToWrite`](crate::metadata::CaptionToWrite).
    pub by_hand: bool,
}

impl TextSidecars {
    /// Writes the caption beside `photo`: `beach.txt` for `beach.jpg`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written, or decap wrote it for another photo; [`Error::Usage`] for the extension of the photo itself;
    /// [`Error::Input`] where a person's words that are to be changed are no UTF-8.
    pub fn write(
        &mut self,
        photo: &Path,
        caption: &TextToWrite<'_>,
        effect: Effect,
    ) -> Result<TextOutcome> {
        let path = photo.with_extension(caption.extension);
        if path == photo {
            return Err(Error::Usage(format!(
                "{}: expected an extension that is not the photo's own",
                photo.display()
            )));
        }
        let folder = folder_of(&path);
        self.leave_other(&folder)?;
        let _lock = FolderLock::wait(&folder)?;
        let journal = self.journal_of(&folder)?;
        let before = existing_file(&path)?;
        let current = before.as_ref().map(|file| file.bytes.as_slice());
        let (name, photo_name) = (name_of(&path), name_of(photo));
        let trace = trace_of(journal, &name, current);
        if let Some(line) = journal.lines_of(&name).last()
            && trace.is_some()
            && line.photo != photo_name
            && folder.join(&line.photo).exists()
        {
            let message = format!(
                "{name} holds the caption of {} already; give another --extension",
                line.photo
            );
            let error = io::Error::new(io::ErrorKind::AlreadyExists, message);
            return Err(Error::io(photo, error));
        }
        let decided = decide(
            current,
            trace.as_ref(),
            caption.existing,
            caption.text.as_bytes(),
            caption.by_hand,
        );
        // No words are no caption.
        let decided = decided.filter(|_| !is_blank(caption.text.as_bytes()));
        let Some((mut text, trace)) = decided else {
            return Ok(outcome(path, Outcome::Kept, false));
        };
        text.push(b'\n');
        if current == Some(&text) {
            return Ok(outcome(path, Outcome::Written, false));
        }
        let former = trace.former.map(String::from_utf8).transpose();
        let former = former.map_err(|_| {
            let message = "expected the text that is here to be UTF-8; convert it first".to_owned();
            Error::input(&path, InputFault::Text(message))
        })?;
        if effect == Effect::Pretend {
            return Ok(outcome(path, Outcome::Written, true));
        }
        // The journal comes first: a text that it does not know would be a person's.
        journal.add(Line {
            name,
            photo: photo_name,
            digest: digest_of(&text),
            how: trace.how.name().to_owned(),
            former,
            model: caption.model.to_owned(),
            run: caption.run.to_owned(),
            by_hand: caption.by_hand,
        })?;
        match &before {
            Some(file) => file.replace(&path, &text, Times::New)?,
            None => write_whole(&path, |out| out.write_all(&text))?,
        }
        Ok(outcome(path, Outcome::Written, true))
    }

    /// Takes back what decap wrote beside `photo`. [`TextSidecars::finish`] then makes the journals forget.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
    pub fn undo(&mut self, photo: &Path, effect: Effect) -> Result<Vec<TextOutcome>> {
        let folder = folder_of(photo);
        self.leave_other(&folder)?;
        let _lock = FolderLock::wait(&folder)?;
        let journal = self.journal_of(&folder)?;
        let mut outcomes = Vec::new();
        for name in journal.names_of_photo(&name_of(photo)) {
            let path = folder.join(&name);
            // The journal is a file like any other: it must lead nowhere else.
            let is_plain = Path::new(&name).file_name() == Some(OsStr::new(&name));
            if !is_plain || name == name_of(photo) {
                continue;
            }
            let Some(file) = existing_file(&path)? else {
                continue;
            };
            let trace = trace_of(journal, &name, Some(&file.bytes));
            let Some(trace) = trace else {
                outcomes.push(outcome(path, Outcome::Edited, false));
                continue;
            };
            if effect == Effect::Write {
                match &trace.former {
                    Some(former) => file.replace(&path, former, Times::New)?,
                    None => file.remove(&path)?,
                }
                journal.forget(&name);
            }
            outcomes.push(outcome(path, Outcome::Undone, true));
        }
        Ok(outcomes)
    }

    /// Ends the work in the folder in use.
    ///
    /// # Errors
    /// [`Error::Io`] where a journal cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        match self.journal.take() {
            Some((folder, mut journal)) => {
                let _lock = FolderLock::wait(&folder)?;
                journal.finish()
            }
            None => Ok(()),
        }
    }

    /// Ends the work in a folder that is not this one.
    fn leave_other(&mut self, folder: &Path) -> Result<()> {
        match &self.journal {
            Some((of, _)) if of != folder => self.finish(),
            _ => Ok(()),
        }
    }

    fn journal_of(&mut self, folder: &Path) -> Result<&mut Journal> {
        let (_, journal) = self
            .journal
            .get_or_insert_with(|| (folder.to_path_buf(), Journal::of(folder)));
        journal.refresh()?;
        Ok(journal)
    }
}

/// What the journal says of the text `current`, if decap wrote that.
fn trace_of(journal: &Journal, name: &str, current: Option<&[u8]>) -> Option<Trace> {
    let lines = journal.lines_of(name).iter().rev();
    let mut traces = lines.filter_map(Line::trace);
    traces.find(|trace| Author::of(current, Some(trace)) == Author::Decap)
}

fn existing_file(path: &Path) -> Result<Option<ReadFile>> {
    match ReadFile::open(path, LARGEST_TEXT, None) {
        Err(error) if error.kind() == "not_found" => Ok(None),
        file => file.map(Some),
    }
}

fn outcome(path: PathBuf, outcome: Outcome, has_changed: bool) -> TextOutcome {
    TextOutcome {
        path,
        outcome,
        has_changed,
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
