//! Captions in files beside photos.

mod journal;
mod text;
mod xmp;

pub use journal::JOURNAL_NAME;
pub use text::{TextOutcome, TextSidecars, TextToWrite};
pub use xmp::XmpName;
