//! A file's bytes as text, unpacked where gzip packed them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::Error;

/// The largest file that is read, after unpacking.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// First bytes of a file that gzip packed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file's text, unpacked where it is packed.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let is_packed = file.fill_buf().map_err(io)?.starts_with(&GZIP);
    let mut reader: Box<dyn Read> = match is_packed {
        true => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let wrong = |message: String| Error::Format {
        path: path.to_owned(),
        message,
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!(
            "expected at most {MAX_FILE_BYTES} bytes, got more"
        )));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong(
            "expected UTF-8, got UTF-16: save it as UTF-8".to_owned(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
        wrong(format!(
            "line {line}: expected UTF-8, got the byte {:#04x}: save the whole file as UTF-8",
            bytes[valid]
        ))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
