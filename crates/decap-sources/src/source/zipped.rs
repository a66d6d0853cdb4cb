//! Photos in a zip archive.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use decap::{Error, InputFault};

use super::bounded::{Bounded, unpacked_limit};
use super::{Ended, Give, SourceOptions, archive, damaged};

/// Gives each photo of the archive at `path`.
///
/// # Errors
/// Where it is no zip archive, or unpacks to far more than its size.
pub(super) fn read(path: &Path, options: &SourceOptions, give: &mut Give<'_>) -> Result<(), Ended> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let packed = file.metadata().map_or(0, |found| found.len());
    let mut left = unpacked_limit(packed);
    let broken = |error| damaged(path, format!("expected a whole zip archive: {error}"));
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    for index in 0..zip.len() {
        let member = match zip.by_index(index) {
            Ok(member) => member,
            Err(error) => {
                let place = format!("member {}", index + 1);
                let fault = InputFault::Unsupported(format!("cannot be unpacked: {error}"));
                give(Err(Error::input(archive::label(path, &place), fault)))?;
                continue;
            }
        };
        if !member.is_file() {
            continue;
        }
        let label = archive::label(path, member.name());
        let claimed = member.size();
        // Members may share their packed bytes: all of them together have one bound.
        let member = Bounded::new(member, &mut left);
        if let Some(photo) = archive::input(label, claimed, member, options) {
            give(photo)?;
        }
    }
    Ok(())
}
