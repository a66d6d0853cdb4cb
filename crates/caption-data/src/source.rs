//! A file that is opened once: its text, unpacked, and the bytes that it may still unpack to.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Fault};

/// The largest file that is read, in bytes, and the most that a packed one may unpack to.
pub(crate) const MAX_FILE_BYTES: u64 = 4 << 30;

/// What a small packed file may always unpack to, in bytes.
const MIN_UNPACKED_BYTES: u64 = 64 << 20;

/// How many times its size a packed file may unpack to; text rarely passes 20.
const MAX_UNPACKED_RATIO: u64 = 100;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// First bytes of a file that gzip packed.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// First bytes of a Parquet file.
pub(crate) const PARQUET: &[u8] = b"PAR1";

/// First bytes of files that no reader here unpacks, what they are, and what to do about them.
const OTHER_KINDS: &[(&[u8], &str)] = &[
    (
        b"PK\x03\x04",
        "a ZIP archive or a spreadsheet: unpack it, or save the table as CSV",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "a Zstandard archive: unpack it with `zstd -d`",
    ),
    (b"BZh", "a bzip2 archive: unpack it with `bunzip2`"),
    (b"\xfd7zXZ\0", "an xz archive: unpack it with `xz -d`"),
    (
        b"ARROW1",
        "an Arrow file: write it as Parquet, CSV or JSON lines",
    ),
];

/// What a file holds: text, or a Parquet file that is still to be read from the open file.
pub(crate) enum Source {
    Text {
        text: String,
        budget: Budget,
    },
    Parquet {
        file: File,
        len: u64,
        budget: Budget,
    },
}

/// The bytes that what is read may still take in memory.
///
/// It bounds what a packed file can do: a plain file can only hold what its owner wrote to disk.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    /// For a file that is not packed.
    pub(crate) fn unlimited() -> Self {
        Self {
            left: Cell::new(u64::MAX),
        }
    }

    /// For a packed file of `packed` bytes.
    pub(crate) fn of_packed(packed: u64) -> Self {
        let fair = packed.saturating_mul(MAX_UNPACKED_RATIO);
        Self {
            left: Cell::new(fair.clamp(MIN_UNPACKED_BYTES, MAX_FILE_BYTES)),
        }
    }

    /// For `packed` bytes of photos, which are packed already.
    #[cfg(feature = "parquet")]
    pub(crate) fn of_photos(packed: u64) -> Self {
        let fair = packed.saturating_mul(4);
        Self {
            left: Cell::new(fair.max(MIN_UNPACKED_BYTES)),
        }
    }

    /// As much again, for what does not stay.
    pub(crate) fn copy(&self) -> Self {
        Self {
            left: self.left.clone(),
        }
    }

    /// Takes `bytes` before they are allocated.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] where so much is not left.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| {
            Fault::TooLarge(format!(
                "unpacks to far more than its size: expected at most {} MiB, or \
                 {MAX_UNPACKED_RATIO} times as much; if you trust it, unpack it first",
                MIN_UNPACKED_BYTES >> 20
            ))
        })?);
        Ok(())
    }
}

impl Source {
    /// Opens the file at `path` and reads its text; of a Parquet file, only the first bytes.
    ///
    /// # Errors
    /// When the file cannot be read, is a Parquet file that is no regular file, is of another
    /// packed kind, is over a limit or is not UTF-8.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            path: path.to_path_buf(),
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let mut head = Vec::with_capacity(CHUNK_BYTES);
        Read::by_ref(&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(io)?;
        if head.starts_with(PARQUET) {
            let len = metadata.len();
            if !metadata.is_file() {
                let fault = "expected Parquet in a regular file, got a pipe or a device: Parquet \
                    is read from its end; save it to a file first";
                return Err(Fault::Unsupported(fault.to_owned()).of(path));
            }
            return Ok(Self::Parquet {
                file,
                len,
                budget: Budget::of_packed(len),
            });
        }
        if let Some((_, kind)) = OTHER_KINDS
            .iter()
            .find(|(magic, _)| head.starts_with(magic))
        {
            return Err(Fault::Unsupported(format!("expected captions, got {kind}")).of(path));
        }
        let is_packed = head.starts_with(GZIP);
        let whole = io::Cursor::new(head).chain(file);
        let (bytes, budget) = match is_packed {
            false => {
                let budget = Budget::unlimited();
                (read(whole, &budget), budget)
            }
            true => {
                // What comes through a pipe has no size before it ends.
                let packed = match metadata.is_file() {
                    true => metadata.len(),
                    false => MAX_FILE_BYTES,
                };
                let budget = Budget::of_packed(packed);
                let bytes = read(flate2::read::MultiGzDecoder::new(whole), &budget);
                (bytes, budget)
            }
        };
        let bytes = bytes.map_err(|error| match error {
            ReadError::Fault(fault) => fault.of(path),
            ReadError::Io(source) if is_packed && is_damage(&source) => Error::Damaged {
                path: path.to_path_buf(),
                message: format!("expected a whole gzip file, got {source}"),
            },
            ReadError::Io(source) => io(source),
        })?;
        if bytes.starts_with(PARQUET) {
            let fault = "expected text in a gzip file, got Parquet: unpack it first";
            return Err(Fault::Unsupported(fault.to_owned()).of(path));
        }
        let text = decode(bytes).map_err(|fault| fault.of(path))?;
        Ok(Self::Text { text, budget })
    }
}

/// gzip's own complaints, as opposed to those of the disk below.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

enum ReadError {
    Io(io::Error),
    Fault(Fault),
}

/// All bytes of `reader`, a chunk at a time so that a limit is seen before memory is taken.
fn read(mut reader: impl Read, budget: &Budget) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = Read::by_ref(&mut reader)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(ReadError::Io)?;
        if chunk == 0 {
            return Ok(bytes);
        }
        budget.take(chunk as u64).map_err(ReadError::Fault)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let fault =
                format!("expected at most {MAX_FILE_BYTES} bytes, got more: split the file");
            return Err(ReadError::Fault(Fault::TooLarge(fault)));
        }
        if bytes.len() == chunk && bytes.iter().all(|&byte| byte == 0) {
            // A device such as /dev/zero has no end.
            let fault = "line 1: expected text, got NUL characters";
            return Err(ReadError::Fault(fault.into()));
        }
    }
}

/// UTF-8 text without its byte order mark.
fn decode(mut bytes: Vec<u8>) -> Result<String, Fault> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("expected UTF-8, got UTF-16: save it as UTF-8".into());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let (before, bad) = error.as_bytes().split_at(valid);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before
            .iter()
            .rev()
            .take_while(|&&byte| byte != b'\n')
            .count()
            + 1;
        let byte = bad.first().copied().unwrap_or_default();
        Fault::Text(format!(
            "line {line}: expected UTF-8, got the byte {byte:#04x} at column {column}: save the \
             whole file as UTF-8"
        ))
    })
}
