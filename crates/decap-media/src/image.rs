//! A photo's bytes to RGB pixels.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

#[cfg(feature = "avif")]
use crate::avif;
#[cfg(not(all(feature = "avif", feature = "jxl")))]
use crate::error::not_built_in;
use crate::error::{Error, InputFault, Limit, Result, unread};
#[cfg(feature = "jxl")]
use crate::jpeg_xl;
use crate::kind::{HEAD_BYTES, PhotoKind, kind_of_head};
use crate::limits::Limits;
use crate::{bmp, gif, jpeg, png, raw, tiff, webp};
use parser_guard::guarded;

/// A decoded photo: 8-bit RGB, upright, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// Reads and decodes the photo at `path`; see [`decode`].
///
/// # Errors
/// [`Error::Io`] where it cannot be read, else as [`decode`].
pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<RgbImage> {
    let path = path.as_ref();
    let bytes = read_within(path, limits.file_bytes)?;
    decode(&bytes, path, limits)
}

/// As [`open`], but a JPEG may come out at 1/2, 1/4 or 1/8 of its size, as long as its shorter side
/// is at least `least_side` pixels: what a resize would average away is never computed.
///
/// # Errors
/// As [`open`].
pub fn open_reduced(path: impl AsRef<Path>, limits: &Limits, least_side: u32) -> Result<RgbImage> {
    let path = path.as_ref();
    let bytes = read_within(path, limits.file_bytes)?;
    decode_reduced(&bytes, path, limits, least_side)
}

/// Decodes a JPEG, PNG, WebP, GIF, BMP, TIFF, camera raw or, with the features of their names, AVIF or
/// JPEG XL; `name` stands for it in messages.
///
/// The format is told by the content, and the pixels are those that Pillow reads. The first frame
/// of an animation is taken, EXIF or XMP orientation is applied, transparency is flattened on
/// white. CMYK becomes RGB without a colour profile. Of integers of more than 8 bits the high byte
/// is kept: so does Pillow for colour, while its grey 16-bit photos clip at 255 and come out white,
/// which is not followed here. Float samples of a TIFF are 0 to 1 or, where most are above 1, 0 to
/// 255. Of a camera's raw file (CR2, CR3, NEF, ARW, DNG, RAF, ORF, RW2 and others that are TIFFs), the
/// largest JPEG that the camera put into it is read, and the sensor's readings are not: its shorter side
/// must have 160 pixels.
///
/// # Errors
/// [`Error::Input`]: empty, of no supported kind, damaged or cut short, over a limit. A picture of
/// another kind, such as HEIC, is named in the message.
///
/// ```
/// use decap_media::{image, Limits};
///
/// let bmp = [
///     b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".as_slice(),
///     &[0; 24],
///     &[30, 20, 10, 0], // blue, green, red, padding
/// ]
/// .concat();
/// let photo = image::decode(&bmp, "pixel.bmp".as_ref(), &Limits::default())?;
/// assert_eq!((photo.width(), photo.height(), photo.pixels()), (1, 1, [10, 20, 30].as_slice()));
/// # Ok::<(), decap_media::Error>(())
/// ```
pub fn decode(bytes: &[u8], name: &Path, limits: &Limits) -> Result<RgbImage> {
    decode_at(bytes, name, limits, None)
}

/// As [`decode`], or with a `least_side` as [`decode_reduced`].
///
/// # Errors
/// As [`decode`].
pub fn decode_to_fit(
    bytes: &[u8],
    name: &Path,
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<RgbImage> {
    decode_at(bytes, name, limits, least_side)
}

/// As [`decode`], at the scale of [`open_reduced`].
///
/// # Errors
/// As [`decode`].
pub fn decode_reduced(
    bytes: &[u8],
    name: &Path,
    limits: &Limits,
    least_side: u32,
) -> Result<RgbImage> {
    decode_at(bytes, name, limits, Some(least_side))
}

fn decode_at(
    bytes: &[u8],
    name: &Path,
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<RgbImage> {
    let fault = |fault| Error::input(name, fault);
    check_file_size(bytes.len() as u64, limits).map_err(fault)?;
    let kind = kind_of(bytes).map_err(fault)?;
    // Decoders are other people's code and the bytes may be hostile: should one panic, that photo
    // is reported and the next one is captioned.
    guarded(
        kind.name(),
        || decode_as(bytes, kind, limits, least_side),
        |message| InputFault::Unsupported(format!("{message}; convert it to JPEG or PNG")),
    )
    .map_err(fault)
}

impl RgbImage {
    /// An image of `pixels` `[height, width, 3]`, u8.
    ///
    /// # Errors
    /// [`Error::Usage`] where the number of pixels is zero or does not fit the size.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        let expected = u128::from(width) * u128::from(height) * 3;
        if expected == 0 || pixels.len() as u128 != expected {
            return Err(Error::Usage(format!(
                "expected {width} x {height} pixels in {expected} bytes, got {}",
                pixels.len()
            )));
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// What a decoder made: `pixels` `[height, width, 3]`, u8.
    pub(crate) fn of_decoder(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, InputFault> {
        Self::new(width, height, pixels)
            .map_err(|_| InputFault::Damaged("expected as many pixels as the header says".into()))
    }

    /// Pixels across, at least one.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down, at least one.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `[height, width, 3]`, u8.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The same photo seen in a mirror: left and right exchanged.
    pub fn mirrored(&self) -> Self {
        let row_bytes = self.width as usize * 3;
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for row in self.pixels.chunks_exact(row_bytes) {
            pixels.extend(row.rchunks_exact(3).flatten());
        }
        Self { pixels, ..*self }
    }

    /// The same photo turned by a quarter, clockwise.
    pub(crate) fn turned_right(&self) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for x in 0..width {
            for y in (0..height).rev() {
                pixels.extend_from_slice(&self.pixels[(y * width + x) * 3..][..3]);
            }
        }
        Self {
            width: self.height,
            height: self.width,
            pixels,
        }
    }

    /// The part of `width` by `height` pixels whose upper left corner is at (`left`, `top`).
    ///
    /// # Errors
    /// [`Error::Usage`] where it is empty or reaches beyond the photo.
    pub fn cropped(&self, left: u32, top: u32, width: u32, height: u32) -> Result<Self> {
        let fits = |start: u32, length: u32, whole: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        if !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(Error::Usage(format!(
                "expected a part of {} x {} pixels, got {width} x {height} at ({left}, {top})",
                self.width, self.height
            )));
        }
        let (left, width_bytes) = (left as usize * 3, width as usize * 3);
        let pixels = self
            .pixels
            .chunks_exact(self.width as usize * 3)
            .skip(top as usize)
            .take(height as usize)
            .flat_map(|row| &row[left..left + width_bytes])
            .copied()
            .collect();
        Ok(Self {
            width,
            height,
            pixels,
        })
    }
}

/// The content of the regular file at `path`: never more than the limit is read. A pipe or a device
/// is refused before it is opened, since opening it could wait for ever.
///
/// # Errors
/// [`Error::Io`] where it cannot be read or is no regular file, [`Error::Input`] where it is longer
/// than `file_bytes`.
pub fn read_within(path: &Path, file_bytes: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::io(path, source);
    let kind = path.metadata().map_err(failed)?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a folder"
        } else {
            "a pipe or device"
        };
        let message = format!("expected a file, got {what}");
        return Err(failed(io::Error::new(ErrorKind::InvalidInput, message)));
    }
    let file = File::open(path).map_err(failed)?;
    let declared = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    if declared <= file_bytes {
        bytes.reserve_exact(usize::try_from(declared).unwrap_or(0));
        file.take(file_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    if declared.max(bytes.len() as u64) > file_bytes {
        return Err(Error::input(path, over_file_bytes(file_bytes, "more")));
    }
    Ok(bytes)
}

fn check_file_size(length: u64, limits: &Limits) -> Result<(), InputFault> {
    if length == 0 {
        return Err(InputFault::Empty("expected a photo, got no bytes".into()));
    }
    if length > limits.file_bytes {
        return Err(over_file_bytes(limits.file_bytes, length));
    }
    Ok(())
}

fn over_file_bytes(most: u64, found: impl Display) -> InputFault {
    InputFault::OverLimit {
        limit: Limit::FileBytes,
        message: format!("expected a file of at most {most} bytes, got {found}"),
    }
}

fn kind_of(bytes: &[u8]) -> Result<PhotoKind, InputFault> {
    match kind_of_head(bytes) {
        Some(PhotoKind::Unreadable(name)) => Err(unread(name)),
        Some(kind) => Ok(kind),
        None => {
            let found = match is_text(bytes) {
                true => ", got text",
                false => "",
            };
            Err(InputFault::Unsupported(format!(
                "not a photo: expected a JPEG, PNG, WebP, GIF, BMP, TIFF, camera raw, AVIF \
                 or JPEG XL{found}"
            )))
        }
    }
}

/// Whether the first bytes are text that people write.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    // A letter may be cut at the end.
    let (text, is_whole) = match std::str::from_utf8(head) {
        Ok(text) => (text, true),
        Err(error) => {
            let text = std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default();
            (text, error.error_len().is_none())
        }
    };
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    is_whole && text.chars().all(is_plain)
}

fn decode_as(
    bytes: &[u8],
    kind: PhotoKind,
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<RgbImage, InputFault> {
    let (image, orientation) = match kind {
        PhotoKind::Jpeg => jpeg::decode(bytes, limits, least_side)?,
        PhotoKind::Tiff => tiff::decode(bytes, limits)?,
        PhotoKind::Gif => (gif::decode(bytes, limits)?, None),
        PhotoKind::Png => png::decode(bytes, limits)?,
        PhotoKind::Bmp => (bmp::decode(bytes, limits)?, None),
        PhotoKind::WebP => webp::decode(bytes, limits)?,
        PhotoKind::Raw(name) => raw::decode(bytes, name, limits, least_side)?,
        #[cfg(feature = "avif")]
        PhotoKind::Avif => (avif::decode(bytes, limits)?, None),
        #[cfg(not(feature = "avif"))]
        PhotoKind::Avif => return Err(not_built_in(kind.name(), "avif")),
        #[cfg(feature = "jxl")]
        PhotoKind::JpegXl => (jpeg_xl::decode(bytes, limits)?, None),
        #[cfg(not(feature = "jxl"))]
        PhotoKind::JpegXl => return Err(not_built_in(kind.name(), "jxl")),
        PhotoKind::Unreadable(name) => return Err(unread(name)),
    };
    Ok(match orientation {
        Some(orientation) => orientation.applied_to(image),
        None => image,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::image::{DynamicImage, ImageBuffer, ImageFormat, Rgb, Rgba};

    use super::*;

    fn decoded(image: DynamicImage, format: ImageFormat) -> RgbImage {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        decode(bytes.get_ref(), "photo".as_ref(), &Limits::default()).unwrap()
    }

    #[test]
    fn sixteen_bits_keep_the_high_byte() {
        let pixels = vec![0, 255, 256, 0x1234, 0x80FF, 0xFFFF];
        let image: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_raw(2, 1, pixels).unwrap();
        let image = decoded(DynamicImage::ImageRgb16(image), ImageFormat::Png);
        assert_eq!(image.pixels(), [0, 0, 1, 0x12, 0x80, 0xFF]);
        let pixels = vec![
            0x1234, 0x5678, 0x9ABC, 0xFFFF, 0x1234, 0x5678, 0x9ABC, 0x00FF,
        ];
        let image: ImageBuffer<Rgba<u16>, _> = ImageBuffer::from_raw(2, 1, pixels).unwrap();
        let image = decoded(DynamicImage::ImageRgba16(image), ImageFormat::Png);
        assert_eq!(image.pixels(), [0x12, 0x56, 0x9A, 255, 255, 255]);
    }

    #[test]
    fn mirror_and_crop() {
        let image = RgbImage::new(3, 2, (0..18).collect()).unwrap();
        let mirrored = [6, 7, 8, 3, 4, 5, 0, 1, 2, 15, 16, 17, 12, 13, 14, 9, 10, 11];
        assert_eq!(image.mirrored().pixels(), mirrored);
        assert_eq!(
            image.cropped(1, 1, 2, 1).unwrap().pixels(),
            [12, 13, 14, 15, 16, 17]
        );
        for (left, top, width, height) in [(2, 0, 2, 1), (0, 2, 1, 1), (0, 0, 0, 1), (4, 0, 1, 1)] {
            assert!(image.cropped(left, top, width, height).is_err());
        }
        assert!(image.cropped(u32::MAX, 0, 2, 1).is_err());
    }

    #[test]
    fn pixels_must_fit_the_size() {
        for (width, height, bytes) in [(0, 0, 0), (1, 1, 4), (2, 2, 11), (u32::MAX, u32::MAX, 3)] {
            assert!(RgbImage::new(width, height, vec![0; bytes]).is_err());
        }
    }
}
