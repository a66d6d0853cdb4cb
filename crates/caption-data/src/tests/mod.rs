//! Files of each shape, for training and for scoring, and files that are none.

mod captions;
mod faults;
mod scoring;

use std::path::Path;

use crate::{Captions, Error, Purpose};

/// Reads `content` as a file of this name.
fn read(name: &str, content: &[u8], purpose: Purpose) -> Result<Captions, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_at(&path, purpose)
}

fn read_at(path: &Path, purpose: Purpose) -> Result<Captions, Error> {
    match purpose {
        Purpose::Sentences => crate::read_captions(path),
        Purpose::References => crate::read_references(path),
        Purpose::Predictions => crate::read_predictions(path),
    }
}

/// The variant's name.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Io { .. } => "Io",
        Error::Unsupported { .. } => "Unsupported",
        Error::Damaged { .. } => "Damaged",
        Error::TooLarge { .. } => "TooLarge",
        Error::Empty { .. } => "Empty",
        Error::Text { .. } => "Text",
    }
}
