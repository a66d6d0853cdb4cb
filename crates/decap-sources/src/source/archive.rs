//! A member of an archive as an input, within limits.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use decap::media::{HEAD_BYTES, Limit, is_named_like_a_photo, is_video, kind_of_head};
use decap::{Error, Input, InputFault, Result};

use super::{SourceOptions, damaged};

/// What stands for a member: `photos.tar/0001.jpg`. It never leads out of the archive.
pub(crate) fn label(archive: &Path, member: &str) -> PathBuf {
    let parts = member
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "." | ".."));
    let mut label = archive.to_path_buf();
    label.extend(parts);
    label
}

/// Reads a member that claims `claimed` bytes. Nothing where it is no photo: such as the texts beside
/// photos in a shard, and what another program keeps.
pub(super) fn input(
    label: PathBuf,
    claimed: u64,
    mut content: impl Read,
    options: &SourceOptions,
) -> Option<Result<Input>> {
    if is_others(&label) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut start = content.by_ref().take(HEAD_BYTES as u64);
    if let Err(error) = start.read_to_end(&mut bytes) {
        return Some(Err(unreadable(&label, &error)));
    }
    if kind_of_head(&bytes).is_none() && !is_named_like_a_photo(&label) {
        let message = "expected a photo, got a video in an archive: unpack it first";
        let fault = InputFault::Unsupported(message.to_owned());
        return is_video(&label).then(|| Err(Error::input(&label, fault)));
    }
    let limit = options.file_bytes;
    if claimed > limit {
        return Some(Err(over_limit(&label, limit, claimed)));
    }
    let left = limit.saturating_add(1).saturating_sub(bytes.len() as u64);
    if let Err(error) = content.take(left).read_to_end(&mut bytes) {
        return Some(Err(unreadable(&label, &error)));
    }
    let got = bytes.len() as u64;
    Some(match got {
        got if got > limit => Err(over_limit(&label, limit, got)),
        got if got != claimed => {
            let message = format!("expected {claimed} bytes, got {got}");
            Err(damaged(&label, message))
        }
        _ => Ok(Input::from(bytes).named(label)),
    })
}

pub(super) fn over_limit(label: &Path, limit: u64, got: u64) -> Error {
    let message = format!("expected a file of at most {limit} bytes, got {got}");
    let fault = InputFault::OverLimit {
        limit: Limit::FileBytes,
        message,
    };
    Error::input(label, fault)
}

fn unreadable(label: &Path, error: &io::Error) -> Error {
    damaged(label, format!("cannot be unpacked: {error}"))
}

/// What macOS keeps beside each file.
fn is_others(label: &Path) -> bool {
    let name = label.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("._") || label.iter().any(|part| part == "__MACOSX")
}
