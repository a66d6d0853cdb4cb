//! Small photos for looking at.

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use super::RgbImage;
use super::resize::{Filter, Window, resize_window};
use crate::error::{Error, Result};

/// `image` as a JPEG of `quality` (1 to 100) whose longer edge has at most `longer_edge` pixels.
///
/// # Errors
/// [`Error::Usage`] for no pixels.
///
/// ```
/// use decap::media::{Limits, RgbImage, image, thumbnail_jpeg};
///
/// let photo = RgbImage::new(40, 20, vec![128; 40 * 20 * 3])?;
/// let jpeg = thumbnail_jpeg(&photo, 10, 70)?;
/// let small = image::decode(&jpeg, "small.jpg".as_ref(), &Limits::default())?;
/// assert_eq!((small.width(), small.height()), (10, 5));
/// # Ok::<(), decap::Error>(())
/// ```
pub fn thumbnail_jpeg(image: &RgbImage, longer_edge: u32, quality: u8) -> Result<Vec<u8>> {
    if longer_edge == 0 {
        return Err(Error::Usage(
            "expected a thumbnail of some pixels, got 0".into(),
        ));
    }
    let longest = image.width().max(image.height());
    let scaled = |edge: u32| match longest > longer_edge {
        // At most `longer_edge`, so it fits.
        true => (u64::from(edge) * u64::from(longer_edge) / u64::from(longest)).max(1) as u32,
        false => edge,
    };
    let (width, height) = (scaled(image.width()), scaled(image.height()));
    let window = Window {
        left: 0,
        top: 0,
        width,
        height,
    };
    let size = (u64::from(width), u64::from(height));
    let pixels = resize_window(image, size, window, Filter::Bilinear);
    compress(
        &pixels,
        width as usize,
        height as usize,
        PixelFormat::Rgb,
        quality,
        Subsampling::S420,
    )
    .map_err(|error| Error::Usage(format!("cannot make a thumbnail: {error}")))
}
