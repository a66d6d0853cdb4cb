//! Cameras' raw files: the largest JPEG that the camera put into one. The sensor's readings are not read.

mod cr3;
mod tiff_like;

use std::cmp::Reverse;

use crate::RgbImage;
use crate::directory::{Directory, tag};
use crate::error::InputFault;
use crate::jpeg;
use crate::limits::Limits;
use crate::orientation::Orientation;

/// The shorter side of the smallest preview that is captioned, in pixels. The thumbnail that every camera
/// writes, 160 x 120, shows too little.
const LEAST_SIDE: u32 = 160;

/// No camera writes more previews.
const MOST_PREVIEWS: usize = 32;

/// How many previews are tried, the largest first, until one can be read.
const MOST_TRIES: usize = 3;

/// What a raw file holds beside the sensor's readings.
#[derive(Default)]
struct Previews<'a> {
    /// What the file says are JPEGs. Some are not: the sensor's readings are marked in the same way.
    jpegs: Vec<&'a [u8]>,
    /// How the photo must be turned.
    orientation: Option<Orientation>,
    /// Whether one lies beyond the end of the file.
    is_cut: bool,
}

/// Decodes the largest preview that can be read. It is turned as it says itself or, where it says nothing,
/// as the raw file says.
///
/// # Errors
/// [`InputFault::Unsupported`] where there is no preview that is large enough, [`InputFault::Damaged`]
/// where it is cut off; those of the JPEG decoder.
pub(super) fn decode(
    bytes: &[u8],
    name: &str,
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<(RgbImage, Option<Orientation>), InputFault> {
    let previews = Previews::of(bytes);
    let mut fault = None;
    for jpeg in previews.largest_first().into_iter().take(MOST_TRIES) {
        match jpeg::decode(jpeg, limits, least_side) {
            Ok((image, own)) => return Ok((image, own.or(previews.orientation))),
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    Err(fault.unwrap_or_else(|| match previews.is_cut {
        true => InputFault::Damaged(format!(
            "cut short: the preview in this {name} photo lies beyond the end of the file"
        )),
        false => InputFault::Unsupported(format!(
            "this {name} photo holds no JPEG preview that can be read and whose shorter side has \
             {LEAST_SIDE} pixels; convert it to JPEG"
        )),
    }))
}

/// About how many bytes [`decode`] takes at its peak; `None` where there is no preview.
pub(super) fn memory_to_decode(bytes: &[u8], least_side: Option<u32>) -> Option<u64> {
    let previews = Previews::of(bytes);
    let largest = previews.largest_first().into_iter().next()?;
    jpeg::memory_to_decode(largest, least_side)
}

/// The name of the camera's raw format that `head` begins, for files that are TIFFs to the eye but
/// whose first page is a thumbnail or the bare readings of a sensor.
pub(super) fn kind_of_tiff(head: &[u8]) -> Option<&'static str> {
    const SENSOR_COMPRESSIONS: [u64; 7] = [32767, 32769, 32770, 34713, 34892, 65000, 65535];
    const SENSOR_PHOTOMETRICS: [u64; 2] = [32803, 34892];
    if head.get(8..10) == Some(b"CR") && head.starts_with(b"II*\0") {
        return Some("camera raw (CR2)");
    }
    let directory = Directory::first(head)?;
    if directory.has(tag::DNG_VERSION) {
        return Some("camera raw (DNG)");
    }
    let is = |tag, values: &[u64]| {
        directory
            .integer(tag)
            .is_some_and(|it| values.contains(&it))
    };
    let is_thumbnail = directory.integer(tag::NEW_SUBFILE_TYPE).unwrap_or(0) & 1 == 1;
    let is_raw = (is_thumbnail && directory.has(tag::SUB_IFDS))
        || is(tag::COMPRESSION, &SENSOR_COMPRESSIONS)
        || is(tag::PHOTOMETRIC, &SENSOR_PHOTOMETRICS);
    let make = directory.raw(tag::MAKE).unwrap_or_default();
    let made_by =
        |name: &[u8]| make.len() >= name.len() && make[..name.len()].eq_ignore_ascii_case(name);
    is_raw.then(|| match () {
        () if made_by(b"NIKON") => "camera raw (NEF)",
        () if made_by(b"SONY") => "camera raw (ARW)",
        () if made_by(b"PENTAX") => "camera raw (PEF)",
        () if made_by(b"SAMSUNG") => "camera raw (SRW)",
        () => "camera raw",
    })
}

impl<'a> Previews<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        if bytes.starts_with(b"FUJIFILMCCD-RAW") {
            Self::of_raf(bytes)
        } else if bytes.get(4..8) == Some(b"ftyp") {
            cr3::previews(bytes)
        } else {
            tiff_like::previews(bytes)
        }
    }

    /// The header of a RAF tells where its JPEG is (<https://libopenraw.freedesktop.org/formats/raf/>).
    fn of_raf(bytes: &'a [u8]) -> Self {
        let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let mut previews = Self::default();
        match (number(84), number(88)) {
            (Some(start), Some(length)) => previews.add(bytes, start.into(), length.into()),
            _ => previews.is_cut = true,
        }
        previews
    }

    /// Adds the `length` bytes from `start` on, if they are there.
    fn add(&mut self, bytes: &'a [u8], start: u64, length: u64) {
        let end = start.checked_add(length);
        let range = usize::try_from(start)
            .ok()
            .zip(end.and_then(|end| usize::try_from(end).ok()));
        match range.and_then(|(start, end)| bytes.get(start..end)) {
            Some(jpeg) => self.add_jpeg(jpeg),
            None => self.is_cut = true,
        }
    }

    fn add_jpeg(&mut self, jpeg: &'a [u8]) {
        let is_new = !self.jpegs.iter().any(|it| std::ptr::eq(*it, jpeg));
        if jpeg.starts_with(b"\xFF\xD8\xFF") && is_new && self.jpegs.len() < MOST_PREVIEWS {
            self.jpegs.push(jpeg);
        }
    }

    /// Those that can be decoded and are large enough, those with the most pixels first.
    fn largest_first(&self) -> Vec<&'a [u8]> {
        let mut jpegs: Vec<(u64, &[u8])> = self
            .jpegs
            .iter()
            .filter_map(|jpeg| {
                let (width, height) = jpeg::size(jpeg)?;
                let pixels = u64::from(width) * u64::from(height);
                (width.min(height) >= LEAST_SIDE).then_some((pixels, *jpeg))
            })
            .collect();
        jpegs.sort_by_key(|(pixels, _)| Reverse(*pixels));
        jpegs.into_iter().map(|(_, jpeg)| jpeg).collect()
    }
}
