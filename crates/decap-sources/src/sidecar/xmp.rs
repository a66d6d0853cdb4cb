//! The names of `.xmp` files beside photos.

use std::path::{Path, PathBuf};

/// How the `.xmp` file beside a photo is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XmpName {
    /// `photo.jpg.xmp`, as darktable and digiKam do it: no two photos share one.
    #[default]
    Appended,
    /// `photo.xmp`, as Lightroom does it.
    Replaced,
}

impl XmpName {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Appended, Self::Replaced];

    /// The file beside `photo`.
    ///
    /// ```
    /// use std::path::Path;
    /// use decap_sources::sidecar::XmpName;
    ///
    /// let photo = Path::new("holiday/beach.gif");
    /// assert_eq!(XmpName::Appended.beside(photo), Path::new("holiday/beach.gif.xmp"));
    /// assert_eq!(XmpName::Replaced.beside(photo), Path::new("holiday/beach.xmp"));
    /// ```
    pub fn beside(self, photo: &Path) -> PathBuf {
        match self {
            Self::Appended => {
                let mut name = photo.as_os_str().to_owned();
                name.push(".xmp");
                name.into()
            }
            Self::Replaced => photo.with_extension("xmp"),
        }
    }
}
