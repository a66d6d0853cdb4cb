//! Photos in a tar archive, such as a shard of WebDataset; packed with gzip or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use decap::{Error, InputFault, Result};
use flate2::bufread::MultiGzDecoder;

use super::bounded::{Bounded, unpacked_limit};
use super::{Ended, Give, SourceOptions, archive, damaged};

/// The first bytes of a gzip stream.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The content of the archive at `path`, unpacked; it takes its bytes off `left`, which is set to what may come.
///
/// # Errors
/// Where it cannot be opened.
pub(crate) fn open<'l>(path: &Path, left: &'l mut u64) -> Result<Box<dyn Read + 'l>> {
    let failed = |source| Error::io(path, source);
    let file = File::open(path).map_err(failed)?;
    *left = unpacked_limit(file.metadata().map_or(0, |found| found.len()));
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let is_gzip = reader.fill_buf().map_err(failed)?.starts_with(GZIP);
    Ok(match is_gzip {
        true => Box::new(Bounded::new(MultiGzDecoder::new(reader), left)),
        false => Box::new(reader),
    })
}

/// Gives each photo of the archive at `path`.
///
/// # Errors
/// Where it is no tar archive, ends too early or unpacks to far more than its size.
pub(super) fn read(path: &Path, options: &SourceOptions, give: &mut Give<'_>) -> Result<(), Ended> {
    let mut left = 0;
    let content = open(path, &mut left)?;
    let mut tar = tar::Archive::new(content);
    let broken = |error| damaged(path, format!("expected a whole tar archive: {error}"));
    for entry in tar.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let label = archive::label(path, &name);
        let kind = entry.header().entry_type();
        if kind.is_gnu_sparse() {
            let message = "expected a plain file in the archive, got a sparse one".to_owned();
            let fault = InputFault::Unsupported(message);
            give(Err(Error::input(label, fault)))?;
            continue;
        }
        // Folders, links and devices hold no photo; a link's target comes under its own name.
        if !kind.is_file() {
            continue;
        }
        let claimed = entry.size();
        if let Some(photo) = archive::input(label, claimed, entry, options) {
            give(photo)?;
        }
    }
    Ok(())
}
