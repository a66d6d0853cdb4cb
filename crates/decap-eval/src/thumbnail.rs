//! Small photos for looking at.

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use decap::media::RgbImage;
use decap::media::resize::{Filter, Window, resize_window};
use decap::{Error, Result};

/// `image` as a JPEG of `quality` (1 to 100) whose longer edge has at most `longer_edge` pixels.
///
/// # Errors
/// [`Error::Usage`] for no pixels.
pub(crate) fn thumbnail_jpeg(image: &RgbImage, longer_edge: u32, quality: u8) -> Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use decap::media::{Limits, image};

    #[test]
    fn the_longer_edge_is_as_asked() {
        let photo = RgbImage::new(40, 20, vec![128; 40 * 20 * 3]).unwrap();
        for (edge, size) in [(10, (10, 5)), (400, (40, 20)), (1, (1, 1))] {
            let jpeg = thumbnail_jpeg(&photo, edge, 70).unwrap();
            let small = image::decode(&jpeg, "small.jpg".as_ref(), &Limits::default()).unwrap();
            assert_eq!((small.width(), small.height()), size);
        }
        assert!(thumbnail_jpeg(&photo, 0, 70).is_err());
    }
}
