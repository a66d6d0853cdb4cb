//! Paths in a list on standard input.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use decap::Error;
use decap::media::{HEAD_BYTES, kind_of_head};

use crate::failure::Failure;
use crate::name;

/// Longest path in a list, in bytes.
pub(super) const LONGEST_PATH: usize = 1 << 16;

/// Paths in a list: one a line, or with NUL between them, as `find -print0` writes it. Their bytes are
/// taken as they are; a byte order mark is none of them.
pub(super) struct PathList<R> {
    reader: BufReader<R>,
    /// Known from the first bytes.
    separator: Option<u8>,
}

impl<R: Read> PathList<R> {
    pub(super) fn of(reader: BufReader<R>) -> Self {
        Self {
            reader,
            separator: None,
        }
    }

    /// The paths that have come, and at least one; none at the end of the list.
    pub(super) fn next_few(&mut self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        let separator = match self.separator {
            Some(separator) => separator,
            None => self.begin()?,
        };
        loop {
            let mut line = Vec::new();
            self.reader
                .by_ref()
                .take(LONGEST_PATH as u64 + 1)
                .read_until(separator, &mut line)
                .map_err(unreadable)?;
            if line.is_empty() {
                return Ok(paths);
            }
            if line.last() == Some(&separator) {
                line.pop();
            }
            if line.len() > LONGEST_PATH {
                return Err(Failure::Usage(format!(
                    "standard input: expected paths of at most {LONGEST_PATH} bytes, one a line, got more"
                )));
            }
            let path = line.strip_suffix(b"\r").unwrap_or(&line);
            if !path.is_empty() {
                let unusable =
                    || Failure::Usage("standard input: expected paths in UTF-8".to_owned());
                paths.push(name::from_bytes(path).ok_or_else(unusable)?);
            }
            let has_more = self.reader.buffer().contains(&separator);
            if !has_more && !paths.is_empty() {
                return Ok(paths);
            }
        }
    }

    /// Looks at the first bytes; returns what stands between paths.
    fn begin(&mut self) -> Result<u8, Failure> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let head = self.reader.fill_buf().map_err(unreadable)?;
        if let Some(kind) = kind_of_head(&head[..head.len().min(HEAD_BYTES)]) {
            return Err(Failure::Usage(format!(
                "standard input: expected a list of paths, one a line, got a {} photo\n  write it to a \
                 file first, and give its path",
                kind.name()
            )));
        }
        let separator = if head.contains(&0) { 0 } else { b'\n' };
        if head.starts_with(BYTE_ORDER_MARK) {
            self.reader.consume(BYTE_ORDER_MARK.len());
        }
        self.separator = Some(separator);
        Ok(separator)
    }
}

fn unreadable(source: io::Error) -> Failure {
    Failure::Library(Error::io("standard input", source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbered names, made as they are read.
    struct Lister {
        next: usize,
        count: usize,
        line: Vec<u8>,
    }

    impl Read for Lister {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.line.is_empty() && self.next < self.count {
                self.line = format!("photos/{:09}.jpg\n", self.next).into_bytes();
                self.next += 1;
            }
            let taken = self.line.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&self.line[..taken]);
            self.line.drain(..taken);
            Ok(taken)
        }
    }

    #[test]
    fn a_million_names_are_held_a_few_at_a_time() {
        let count = 1_000_000;
        let lister = Lister {
            next: 0,
            count,
            line: Vec::new(),
        };
        let mut list = PathList::of(BufReader::with_capacity(LONGEST_PATH, lister));
        let mut seen = 0;
        loop {
            let few = list.next_few().unwrap();
            let Some(first) = few.first() else { break };
            assert_eq!(first.to_str().unwrap(), format!("photos/{seen:09}.jpg"));
            assert!(few.len() <= LONGEST_PATH / b"photos/000000000.jpg\n".len());
            seen += few.len();
        }
        assert_eq!(seen, count);
    }

    #[test]
    fn lists_are_bytes_with_line_feeds_or_nuls_between_paths() {
        fn list_from(bytes: &[u8]) -> Result<Vec<PathBuf>, Failure> {
            // A small buffer, so that the list comes in parts.
            let mut list = PathList::of(BufReader::with_capacity(16, bytes));
            let mut paths = Vec::new();
            loop {
                match list.next_few()? {
                    few if few.is_empty() => return Ok(paths),
                    few => paths.extend(few),
                }
            }
        }
        let list = |bytes: &[u8]| -> Vec<String> {
            let paths = list_from(bytes).unwrap();
            paths.iter().map(|path| name::of(path)).collect()
        };
        assert_eq!(list(b"a.jpg\r\n\nb c.jpg"), ["a.jpg", "b c.jpg"]);
        assert_eq!(list(b"a\nb.jpg\0c.jpg\0"), [r"$'a\x0ab.jpg'", "c.jpg"]);
        assert_eq!(list(b"\xef\xbb\xbfa.jpg\n"), ["a.jpg"]);
        #[cfg(unix)]
        assert_eq!(list(b"caf\xe9.jpg\n"), [r"$'caf\xe9.jpg'"]);
        let error = list_from(b"\xff\xd8\xff\xe0").unwrap_err();
        assert!(error.to_string().contains("a JPEG photo"), "{error}");
        let error = list_from(&[b'a'; LONGEST_PATH + 1]).unwrap_err();
        assert!(error.to_string().contains("at most 65536 bytes"), "{error}");
    }
}
