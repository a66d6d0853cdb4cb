//! How the bytes of a TIFF are packed.

use super::fax::FaxCoding;
use crate::directory::{Directory, tag};
use crate::error::{InputFault, unread_tiff};

/// How the bytes of a strip or tile are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Fax(FaxCoding),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

impl Compression {
    pub(super) fn of(directory: &Directory) -> Result<Self, InputFault> {
        let group_3_options = directory.integer(tag::T4_OPTIONS).unwrap_or(0);
        Ok(match directory.integer(tag::COMPRESSION).unwrap_or(1) {
            1 => Self::None,
            2 => Self::Fax(FaxCoding::Rows),
            3 if group_3_options & 1 == 1 => Self::Fax(FaxCoding::Group3TwoDimensional),
            3 => Self::Fax(FaxCoding::Group3),
            4 => Self::Fax(FaxCoding::Group4),
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            6 => return Err(unread_tiff("old-style JPEG compression")),
            33003 | 33005 | 34712 => return Err(unread_tiff("JPEG 2000 compression")),
            34925 => return Err(unread_tiff("LZMA compression")),
            50000 => return Err(unread_tiff("Zstandard compression")),
            50001 => return Err(unread_tiff("WebP compression")),
            other => return Err(unread_tiff(&format!("compression {other}"))),
        })
    }
}
