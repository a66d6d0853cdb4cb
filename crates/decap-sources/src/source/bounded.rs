//! A reader with a bound, against archives that unpack to far more than they are.

use std::io::{self, Read};

/// Photos are packed already: an archive that unpacks to so many times its size holds none.
const MOST_TIMES: u64 = 100;

/// What the smallest archive may unpack to.
const LEAST_BYTES: u64 = 64 << 20;

/// What a file of `packed` bytes may unpack to.
pub(super) fn unpacked_limit(packed: u64) -> u64 {
    packed.saturating_mul(MOST_TIMES).max(LEAST_BYTES)
}

/// Reads at most so many bytes, together with others that share `left`; one more is an error, not the end.
pub(super) struct Bounded<'l, R> {
    inner: R,
    left: &'l mut u64,
}

impl<'l, R: Read> Bounded<'l, R> {
    pub(super) fn new(inner: R, left: &'l mut u64) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.checked_sub(count as u64);
        *self.left = left.unwrap_or(0);
        match left {
            Some(_) => Ok(count),
            None => Err(io::Error::other(format!(
                "expected an archive that unpacks to at most {MOST_TIMES} times its size (64 MiB for a \
                 small one), got more"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_bound_is_an_error() {
        let mut left = 5;
        let mut read = || Bounded::new(&b"abc"[..], &mut left).read_to_end(&mut Vec::new());
        assert_eq!(read().unwrap(), 3);
        assert!(read().is_err());
        assert!(read().is_err());
        assert_eq!(unpacked_limit(1), LEAST_BYTES);
        assert_eq!(unpacked_limit(u64::MAX), u64::MAX);
    }
}
