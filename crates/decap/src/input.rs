//! One thing to caption, in any form that a caller has it.

use std::path::{Path, PathBuf};

use crate::media::RgbImage;

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
impl TryFrom<image::RgbImage> for Input {
    type Error = crate::Error;

    /// The pixels of the `image` crate.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) where there are no pixels.
    fn try_from(image: image::RgbImage) -> crate::Result<Self> {
        let (width, height) = image.dimensions();
        RgbImage::new(width, height, image.into_raw()).map(Self::from)
    }
}
