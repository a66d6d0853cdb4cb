//! A file's bytes as text, and its place in messages.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Error;

/// The largest file that is read, after unpacking.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A file for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
}

impl Place<'_> {
    pub(super) fn wrong(self, message: impl Into<String>) -> Error {
        Error::Format {
            path: self.path.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn line(self, line: usize, message: impl std::fmt::Display) -> Error {
        self.wrong(format!("line {line}: {message}"))
    }
}

/// A file's text, unpacked if its name ends in `.gz`.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let mut reader: Box<dyn Read> = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("gz") => {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        }
        _ => Box::new(file),
    };
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let at = Place { path };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(at.wrong(format!("expected at most {MAX_FILE_BYTES} bytes, got more")));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(at.wrong("expected UTF-8, got UTF-16"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
        at.line(
            line,
            format!("expected UTF-8, got the byte {:#04x}", bytes[valid]),
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
