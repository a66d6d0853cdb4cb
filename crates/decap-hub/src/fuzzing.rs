//! What servers send, read without them: for fuzz targets alone.

use std::fs;
use std::path::Path;

use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use crate::download::{Announcement, starts_at};
use crate::files::{for_each_wanted, is_plain_path};
use crate::{HubReference, Listing, ModelArchive};

/// Reads `body` as the Hub's answer, and chooses among its files by the descriptions in `snapshot`.
///
/// # Panics
/// Where a chosen file would lie outside of the snapshot.
pub fn read_listing(body: &[u8], snapshot: &Path) {
    let Ok(listing) = Listing::read(body) else {
        return;
    };
    let _wanted = for_each_wanted(&listing.names(), snapshot, |name| {
        assert!(is_plain_path(name), "{name:?}");
        Ok(())
    });
}

/// Reads `text` as the headers of an answer, `name: value` a line, and its first line as a name that
/// a user typed.
pub fn read_headers(text: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            let _reference = std::str::from_utf8(line).map(HubReference::parse);
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    for is_file in [true, false] {
        let _announced = Announcement::read("https://hub".to_owned(), &headers, is_file);
    }
    let _starts = starts_at(&headers, 100);
}

/// Unpacks a model's `archive` to `folder`, and removes that.
pub fn unpack(archive: &Path, folder: &Path) {
    let model = ModelArchive {
        name: "model".to_owned(),
        url: "https://hub/model.tar".to_owned(),
        sha256: String::new(),
        bytes: 0,
    };
    let _unpacked = model.unpack(archive, folder);
    // It may not be there.
    let _removed = fs::remove_dir_all(folder);
}
