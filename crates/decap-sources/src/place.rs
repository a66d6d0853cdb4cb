//! A photo's caption in its own file, or in an `.xmp` file beside it.

use std::path::{Path, PathBuf};

use decap::{Error, InputFault, Result};

use crate::metadata::{
    CaptionToWrite, EditedPhoto, Field, Outcome, has_marker, read_caption, takes_caption, undo,
    undo_beside, write_caption, write_caption_beside,
};
use crate::photo_file::{Effect, FileStamp, ReadFile, Times, head_of, write_whole};
use crate::sidecar::XmpName;

/// The largest `.xmp` file, in bytes.
const LARGEST_XMP_FILE: u64 = 16 << 20;

/// How files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceOptions {
    /// The largest photo that is read, in bytes. Default 512 MiB.
    pub file_bytes: u64,
    /// What becomes of a photo's time. Default: that of the writing.
    pub times: Times,
    /// How `.xmp` files are named. Default `photo.jpg.xmp`.
    pub xmp_name: XmpName,
    /// Whether files are written. Default: they are.
    pub effect: Effect,
}

impl Default for PlaceOptions {
    fn default() -> Self {
        Self {
            file_bytes: decap::media::Limits::default().file_bytes,
            times: Times::default(),
            xmp_name: XmpName::default(),
            effect: Effect::default(),
        }
    }
}

/// What happened to the caption of a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaceOutcome {
    /// The photo, or the `.xmp` file beside it.
    pub path: PathBuf,
    /// What happened to each field.
    pub fields: Vec<(Field, Outcome)>,
    /// Whether the file changed, or would.
    pub has_changed: bool,
}

/// Writes a caption into a photo; into an `.xmp` file beside it where the photo has no place for one:
/// GIF, BMP, BigTIFF, camera raw, HEIC, videos.
///
/// The file appears whole or not at all. One that has not got the stamp `captioned` was changed since it
/// was captioned, and is left alone.
///
/// # Errors
/// [`Error::Io`] where a file cannot be read or written, is read-only, or was changed; [`Error::Input`]
/// where the photo or its XMP is damaged.
pub fn write_to(
    photo: &Path,
    captioned: Option<&FileStamp>,
    caption: &CaptionToWrite<'_>,
    options: &PlaceOptions,
) -> Result<PlaceOutcome> {
    if takes_caption(&head_of(photo)?) {
        let file = ReadFile::open(photo, options.file_bytes, captioned)?;
        match write_caption(&file.bytes, caption) {
            // It is sound, but not to be written into.
            Err(InputFault::Unsupported(_)) => {}
            edited => {
                let edited = edited.map_err(|fault| Error::input(photo, fault))?;
                return place(photo, Some(&file), edited, options);
            }
        }
    }
    let path = options.xmp_name.beside(photo);
    let file = existing(&path)?;
    let packet = file.as_ref().map(|file| file.bytes.as_slice());
    let edited = write_caption_beside(packet.unwrap_or_default(), caption);
    let edited = edited.map_err(|fault| Error::input(&path, fault))?;
    place(&path, file.as_ref(), edited, options)
}

/// Takes back what decap wrote into a photo and into `.xmp` files beside it; one that decap began is
/// removed. Files without decap's words are left out.
///
/// # Errors
/// As [`write_to`].
pub fn undo_at(photo: &Path, options: &PlaceOptions) -> Result<Vec<PlaceOutcome>> {
    let mut outcomes = Vec::new();
    if takes_caption(&head_of(photo)?) {
        let file = ReadFile::open(photo, options.file_bytes, None)?;
        match undo(&file.bytes) {
            Err(InputFault::Unsupported(_)) => {}
            edited => {
                let edited = edited.map_err(|fault| Error::input(photo, fault))?;
                outcomes.push(place(photo, Some(&file), edited, options)?);
            }
        }
    }
    for name in XmpName::ALL {
        let path = name.beside(photo);
        if path == photo {
            continue;
        }
        if let Some(file) = existing(&path)?.filter(|file| has_marker(&file.bytes)) {
            let edited = undo_beside(&file.bytes).map_err(|fault| Error::input(&path, fault))?;
            outcomes.push(place(&path, Some(&file), edited, options)?);
        }
    }
    outcomes.retain(|outcome| !outcome.fields.is_empty());
    Ok(outcomes)
}

/// The day on which a photo was taken, as its EXIF says: `2026-11-29`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read.
pub fn date_of(photo: &Path, options: &PlaceOptions) -> Result<Option<String>> {
    if !takes_caption(&head_of(photo)?) {
        return Ok(None);
    }
    let file = ReadFile::open(photo, options.file_bytes, None)?;
    // Metadata that is broken says nothing.
    let found = read_caption(&file.bytes).ok();
    Ok(found.and_then(|found| day(found.date_time_original?.as_str())))
}

/// The day of EXIF's `YYYY:MM:DD HH:MM:SS`.
fn day(time: &str) -> Option<String> {
    let day = time.get(..10)?;
    let is_day = day.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    // A camera whose clock was never set.
    (is_day && !day.starts_with("0000")).then(|| day.replace(':', "-"))
}

fn existing(path: &Path) -> Result<Option<ReadFile>> {
    match ReadFile::open(path, LARGEST_XMP_FILE, None) {
        Err(error) if error.kind() == "not_found" => Ok(None),
        file => file.map(Some),
    }
}

/// Gives the file at `path` its new content; `before` is what it was, if it was there.
fn place(
    path: &Path,
    before: Option<&ReadFile>,
    edited: EditedPhoto,
    options: &PlaceOptions,
) -> Result<PlaceOutcome> {
    if let (Some(bytes), Effect::Write) = (&edited.bytes, options.effect) {
        match before {
            Some(file) if bytes.is_empty() => file.remove(path)?,
            Some(file) => file.replace(path, bytes, options.times)?,
            None => write_whole(path, |out| out.write_all(bytes))?,
        }
    }
    Ok(PlaceOutcome {
        path: path.to_path_buf(),
        has_changed: edited.bytes.is_some(),
        fields: edited.outcomes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_from_what_is_none() {
        for (time, expected) in [
            ("2026:11:29 10:00:00", Some("2026-11-29")),
            ("2026:11:29", Some("2026-11-29")),
            ("0000:00:00 00:00:00", None),
            ("    :  :     :  :  ", None),
            ("2026", None),
            ("äöüäöü:::::", None),
        ] {
            assert_eq!(day(time).as_deref(), expected, "{time}");
        }
    }
}
