//! Read-only memory maps of files, so that weights and memories are paged in, not read.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

/// A file mapped into memory, readable as bytes.
///
/// The file must not be truncated or changed while the map is alive: the
/// operating system would then show other bytes, or end the process (SIGBUS)
/// where the file is shorter than the map. Whole files are therefore replaced by renaming,
/// never rewritten in place.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps the whole file at `path`. An empty file gives an empty map.
    ///
    /// # Errors
    /// What the operating system says when the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        // To open a pipe that nobody writes to would wait for ever.
        if !path.metadata()?.is_file() {
            let message = "expected a regular file, got a folder, a pipe or a device";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let file = File::open(path)?;
        // SAFETY: the map is private and read-only. No Rust reference to it can be
        // written through; the remaining hazard, another process changing the
        // file, is documented on the type and cannot be excluded by any check here.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// Lets the operating system drop the pages that are wholly within `range`, because their bytes have
    /// been copied elsewhere. Later accesses read them from the file again.
    #[cfg(unix)]
    pub fn release(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end.min(self.map.len()) / PAGE * PAGE;
        if start < end {
            // SAFETY: the map is a read-only view of a file that nobody writes (see the type's
            // doc), so dropped pages come back with the same bytes.
            let advised = unsafe {
                self.map
                    .unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start)
            };
            // If the system ignores the advice, only memory use changes.
            drop(advised);
        }
    }

    /// Lets the operating system drop the pages within `range`; here it decides by itself.
    #[cfg(not(unix))]
    pub fn release(&self, _range: Range<usize>) {}
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
