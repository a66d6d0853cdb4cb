//! One thing to caption, in any form that a caller has it.

use std::path::{Path, PathBuf};

use decap_media::RgbImage;

/// A photo or a video: a path, the bytes of a file, or decoded pixels.
///
/// ```
/// use decap::Input;
///
/// let path = Input::from("holiday/beach.jpg");
/// assert_eq!(path.name(), std::path::Path::new("holiday/beach.jpg"));
/// let bytes = Input::from(vec![0xff, 0xd8, 0xff]).named("upload 7");
/// assert_eq!(bytes.name(), std::path::Path::new("upload 7"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A file: a photo, or a video that `ffmpeg` reads.
    Path(PathBuf),
    /// What a photo's file holds.
    Bytes {
        /// Stands for it in messages.
        name: PathBuf,
        /// The content.
        bytes: Vec<u8>,
    },
    /// A decoded photo.
    Pixels {
        /// Stands for it in messages.
        name: PathBuf,
        /// 8-bit RGB, upright.
        image: RgbImage,
    },
}

impl Input {
    /// The path, or what stands for it in messages.
    pub fn name(&self) -> &Path {
        match self {
            Self::Path(name) | Self::Bytes { name, .. } | Self::Pixels { name, .. } => name,
        }
    }

    /// This input under another name in messages; a path keeps its own.
    #[must_use]
    pub fn named(mut self, called: impl Into<PathBuf>) -> Self {
        if let Self::Bytes { name, .. } | Self::Pixels { name, .. } = &mut self {
            *name = called.into();
        }
        self
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&PathBuf> for Input {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

impl From<&Path> for Input {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_path_buf())
    }
}

impl From<&str> for Input {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<String> for Input {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes {
            name: "photo".into(),
            bytes,
        }
    }
}

impl From<&[u8]> for Input {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<RgbImage> for Input {
    fn from(image: RgbImage) -> Self {
        Self::Pixels {
            name: "photo".into(),
            image,
        }
    }
}

#[cfg(feature = "image")]
impl From<image::RgbImage> for Input {
    /// The pixels of the `image` crate; one without pixels is told as an empty photo.
    fn from(image: image::RgbImage) -> Self {
        let (width, height) = image.dimensions();
        match RgbImage::new(width, height, image.into_raw()) {
            Ok(image) => image.into(),
            Err(_) => Vec::new().into(),
        }
    }
}

#[cfg(feature = "image")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_the_image_crate_are_taken() {
        let image = image::RgbImage::from_pixel(2, 1, image::Rgb([1, 2, 3]));
        let Input::Pixels { image, .. } = image.into() else {
            panic!("expected pixels");
        };
        assert_eq!(image.pixels(), [1, 2, 3, 1, 2, 3]);
        let empty = Input::from(image::RgbImage::new(0, 0));
        assert!(matches!(empty, Input::Bytes { bytes, .. } if bytes.is_empty()));
    }
}
