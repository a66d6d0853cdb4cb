//! Line files: plain text, Flickr `.token` files and Conceptual Captions' TSV.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::{
    CaptionFormat, CaptionedImage, Captions, Collector, MAX_CAPTION_BYTES, empty, invalid,
};
use crate::error::{Error, InputFault, Result};

/// Reads a line file; its first line that is not blank decides which of the three forms it has.
pub(super) fn read(path: &Path) -> Result<Captions> {
    let mut collector = None;
    for_each_line(path, |number, line| {
        let collector = collector.get_or_insert_with(|| Collector::new(form_of(path, line)));
        add_line(collector, line).map_err(|message| at_line(path, number, &message))
    })?;
    match collector {
        Some(collector) => Ok(collector.captions),
        None => Err(empty(path)),
    }
}

fn form_of(path: &Path, first_line: &str) -> CaptionFormat {
    let is_tsv = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    match first_line.split_once('\t') {
        Some((key, _)) if flickr_image(key).is_some() => CaptionFormat::FlickrToken,
        Some((_, url)) if is_tsv || is_url(url) => CaptionFormat::ConceptualCaptions,
        _ => CaptionFormat::PlainText,
    }
}

fn add_line(collector: &mut Collector, line: &str) -> Result<(), String> {
    match collector.captions.format() {
        CaptionFormat::FlickrToken => {
            let (key, text) = line
                .split_once('\t')
                .ok_or_else(|| "expected `image#number<TAB>caption`, got no tab".to_owned())?;
            let id = flickr_image(key)
                .ok_or_else(|| format!("expected `image#number` before the tab, got {key:?}"))?;
            let image = collector.image(CaptionedImage {
                id: id.to_owned(),
                path: Some(id.to_owned()),
                ..Default::default()
            });
            collector.text(Some(image), text)
        }
        CaptionFormat::ConceptualCaptions => {
            let (text, url) = line
                .split_once('\t')
                .ok_or_else(|| "expected `caption<TAB>url`, got no tab".to_owned())?;
            let url = url.trim();
            let image = collector.image(CaptionedImage {
                id: url.to_owned(),
                path: Some(url.to_owned()),
                ..Default::default()
            });
            collector.text(Some(image), text)
        }
        _ => collector.text(None, line),
    }
}

/// `1000092795.jpg#0` -> `1000092795.jpg`.
fn flickr_image(key: &str) -> Option<&str> {
    let (image, number) = key.trim().rsplit_once('#')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !image.is_empty() && !image.contains(' ')).then_some(image)
}

fn is_url(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with("http://") || text.starts_with("https://")) && !text.contains(' ')
}

/// Calls `visit` with the number (from 1) and the text of each line that is not blank.
///
/// # Errors
/// When a line is longer than [`MAX_CAPTION_BYTES`], is not UTF-8 or holds a NUL.
pub(super) fn for_each_line(
    path: &Path,
    mut visit: impl FnMut(usize, &str) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        // One byte more than allowed is read, so that a line over the limit shows as such.
        let limit = MAX_CAPTION_BYTES as u64 + 2;
        let count = (&mut reader)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|source| Error::io(path, source))?;
        if count == 0 {
            return Ok(());
        }
        if number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if line.len() > MAX_CAPTION_BYTES {
            let message = format!(
                "line {number}: expected at most {MAX_CAPTION_BYTES} bytes, got a longer line"
            );
            return Err(Error::input(path, InputFault::TooLarge(message)));
        }
        let text = str::from_utf8(&line).map_err(|error| {
            let message = format!(
                "expected UTF-8, got an invalid byte at column {}",
                error.valid_up_to() + 1
            );
            at_line(path, number, &message)
        })?;
        if text.contains('\0') {
            return Err(at_line(path, number, "expected text, got a NUL character"));
        }
        if !text.trim().is_empty() {
            visit(number, text)?;
        }
    }
}

pub(super) fn at_line(path: &Path, number: usize, message: &str) -> Error {
    invalid(path, format!("line {number}: {message}"))
}
