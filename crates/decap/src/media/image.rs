//! A photo's bytes to RGB pixels.

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits as DecoderLimits,
};

use super::jpeg;
use crate::error::{Error, InputFault, Result};

/// A decoded photo: 8-bit RGB, upright, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// How much a photo may claim before it is refused; checked before memory is taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, in bytes. Default 512 MiB.
    pub file_bytes: u64,
    /// Width times height. Default 256,000,000.
    pub pixels: u64,
    /// Width and height. Default 1,048,576: a resize filter spans a whole edge.
    pub edge: u32,
    /// Memory that the decoder may take, in bytes. Default 3 GiB: 256 megapixels of 16-bit
    /// samples with alpha, and the decoder's own rows.
    pub decoder_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 512 << 20,
            pixels: 256_000_000,
            edge: 1 << 20,
            decoder_bytes: 3 << 30,
        }
    }
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

/// Decodes a JPEG, PNG, WebP, GIF, BMP or TIFF; `name` stands for it in messages.
///
/// The format is told by the content. The first frame of an animation is taken, EXIF orientation
/// is applied, transparency is flattened on white. CMYK becomes RGB without a colour profile, as
/// Pillow does it. Of 16-bit samples the high byte is kept: so does Pillow for colour, while its
/// grey 16-bit photos clip at 255 and come out white, which is not followed here. Float samples
/// are taken as 0 to 1.
///
/// # Errors
/// [`Error::Input`]: empty, of no supported kind, damaged or cut short, over a limit.
///
/// ```
/// use decap::media::{image, Limits};
///
/// let bmp = [
///     b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".as_slice(),
///     &[0; 24],
///     &[30, 20, 10, 0], // blue, green, red, padding
/// ]
/// .concat();
/// let photo = image::decode(&bmp, "pixel.bmp".as_ref(), &Limits::default())?;
/// assert_eq!((photo.width(), photo.height(), photo.pixels()), (1, 1, [10, 20, 30].as_slice()));
/// # Ok::<(), decap::Error>(())
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
    let format = guess_format(bytes).map_err(fault)?;
    check_declared_size(bytes, format, limits).map_err(fault)?;
    // Decoders are other people's code and the bytes may be hostile: should one panic, that photo
    // is reported and the next one is captioned.
    catch_unwind(AssertUnwindSafe(|| {
        decode_as(bytes, format, limits, least_side)
    }))
    .unwrap_or_else(|_| Err(InputFault::Damaged("the decoder gave up on it".into())))
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

/// The content of the file at `path`, which may be a pipe: never more than the limit is read.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Input`] where it is longer than `file_bytes`.
pub fn read_within(path: &Path, file_bytes: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::io(path, source);
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
        let message = format!("expected a file of at most {file_bytes} bytes, got more");
        return Err(Error::input(path, InputFault::TooLarge(message)));
    }
    Ok(bytes)
}

fn check_file_size(length: u64, limits: &Limits) -> Result<(), InputFault> {
    if length == 0 {
        return Err(InputFault::Empty("expected a photo, got no bytes".into()));
    }
    if length > limits.file_bytes {
        return Err(InputFault::TooLarge(format!(
            "expected a file of at most {} bytes, got {length}",
            limits.file_bytes
        )));
    }
    Ok(())
}

fn guess_format(bytes: &[u8]) -> Result<ImageFormat, InputFault> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    match ::image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Gif | Bmp | Tiff)) => Ok(format),
        Ok(other) => Err(InputFault::Unsupported(format!(
            "expected a JPEG, PNG, WebP, GIF, BMP or TIFF, got a picture of type {}",
            other.to_mime_type()
        ))),
        Err(_) => Err(InputFault::Unsupported(
            "not a photo: expected a JPEG, PNG, WebP, GIF, BMP or TIFF".into(),
        )),
    }
}

/// Refuses a PNG by its header alone, whose decoder would first look for the data behind it.
fn check_declared_size(
    bytes: &[u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<(), InputFault> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    match (format, number(16), number(20)) {
        (ImageFormat::Png, Some(width), Some(height)) => check_pixels(width, height, limits),
        _ => Ok(()),
    }
}

/// Refuses a photo of more pixels, or a longer edge, than the limits allow.
pub(super) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), InputFault> {
    if width == 0 || height == 0 {
        return Err(InputFault::Damaged(format!(
            "expected pixels, got {width} x {height}"
        )));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(InputFault::TooLarge(format!(
            "expected at most {} pixels, got {width} x {height}",
            limits.pixels
        )));
    }
    if width.max(height) > limits.edge {
        return Err(InputFault::TooLarge(format!(
            "expected edges of at most {} pixels, got {width} x {height}",
            limits.edge
        )));
    }
    Ok(())
}

fn decode_as(
    bytes: &[u8],
    format: ImageFormat,
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<RgbImage, InputFault> {
    let (image, orientation) = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, limits, least_side)?,
        other => decode_with_image_crate(bytes, other, limits)?,
    };
    let mut image = DynamicImage::ImageRgb8(image);
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let (width, height) = (image.width(), image.height());
    Ok(RgbImage {
        width,
        height,
        pixels: image.into_bytes(),
    })
}

fn decode_with_image_crate(
    bytes: &[u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<(::image::RgbImage, Option<Orientation>), InputFault> {
    let mut decoder_limits = DecoderLimits::default();
    decoder_limits.max_alloc = Some(limits.decoder_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(fault_of)?;

    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    decoder_limits
        .reserve(decoder.total_bytes())
        .map_err(fault_of)?;
    decoder.set_limits(decoder_limits).map_err(fault_of)?;
    // A broken EXIF block is no reason to refuse the photo that it describes.
    let orientation = decoder.orientation().ok();
    let image = DynamicImage::from_decoder(decoder).map_err(fault_of)?;
    Ok((to_rgb(image), orientation))
}

fn fault_of(error: ImageError) -> InputFault {
    match error {
        ImageError::Limits(error) => InputFault::TooLarge(error.to_string()),
        ImageError::Unsupported(error) => InputFault::Unsupported(error.to_string()),
        error => InputFault::Damaged(error.to_string()),
    }
}

/// Narrows every sample to 8 bits, repeats grey three times, flattens transparency on white.
fn to_rgb(image: DynamicImage) -> ::image::RgbImage {
    let (width, height) = (image.width(), image.height());
    let grey = |value: u8| [value; 3];
    let flat =
        |[red, green, blue, alpha]: [u8; 4]| [red, green, blue].map(|value| on_white(value, alpha));
    let high = |value: u16| (value >> 8) as u8;
    let unit = |value: f32| (value * 255.0).round() as u8; // saturates; NaN becomes 0
    let pixels: Vec<u8> = match image {
        DynamicImage::ImageRgb8(image) => return image,
        DynamicImage::ImageLuma8(image) => {
            image.pixels().flat_map(|pixel| grey(pixel.0[0])).collect()
        }
        DynamicImage::ImageLumaA8(image) => image
            .pixels()
            .flat_map(|pixel| grey(on_white(pixel.0[0], pixel.0[1])))
            .collect(),
        DynamicImage::ImageRgba8(image) => image.pixels().flat_map(|pixel| flat(pixel.0)).collect(),
        DynamicImage::ImageLuma16(image) => image
            .pixels()
            .flat_map(|pixel| grey(high(pixel.0[0])))
            .collect(),
        DynamicImage::ImageLumaA16(image) => image
            .pixels()
            .flat_map(|pixel| grey(on_white(high(pixel.0[0]), high(pixel.0[1]))))
            .collect(),
        DynamicImage::ImageRgb16(image) => {
            image.pixels().flat_map(|pixel| pixel.0.map(high)).collect()
        }
        DynamicImage::ImageRgba16(image) => image
            .pixels()
            .flat_map(|pixel| flat(pixel.0.map(high)))
            .collect(),
        DynamicImage::ImageRgb32F(image) => {
            image.pixels().flat_map(|pixel| pixel.0.map(unit)).collect()
        }
        DynamicImage::ImageRgba32F(image) => image
            .pixels()
            .flat_map(|pixel| flat(pixel.0.map(unit)))
            .collect(),
        // The enum may grow; the crate's own conversion then serves, without the white.
        other => return other.into_rgb8(),
    };
    ::image::RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// `value` over white with coverage `alpha`, rounded as Pillow's paste does it
/// (`BLEND` in <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/ImagingUtils.h>).
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let sum = value * alpha + 255 * (255 - alpha) + 128;
    (((sum >> 8) + sum) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use ::image::{ImageBuffer, Rgb, Rgba};

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
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let image = decoded(DynamicImage::ImageRgb16(image.clone()), format);
            assert_eq!(image.pixels(), [0, 0, 1, 0x12, 0x80, 0xFF]);
        }
        let pixels = vec![
            0x1234, 0x5678, 0x9ABC, 0xFFFF, 0x1234, 0x5678, 0x9ABC, 0x00FF,
        ];
        let image: ImageBuffer<Rgba<u16>, _> = ImageBuffer::from_raw(2, 1, pixels).unwrap();
        let image = decoded(DynamicImage::ImageRgba16(image), ImageFormat::Png);
        assert_eq!(image.pixels(), [0x12, 0x56, 0x9A, 255, 255, 255]);
    }

    #[test]
    fn float_samples_are_zero_to_one() {
        let pixels = vec![-1.0, 0.0, 0.5, 1.0, 7.0, f32::NAN];
        let image: ImageBuffer<Rgb<f32>, _> = ImageBuffer::from_raw(2, 1, pixels).unwrap();
        let image = decoded(DynamicImage::ImageRgb32F(image), ImageFormat::Tiff);
        assert_eq!(image.pixels(), [0, 0, 128, 255, 255, 0]);
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
