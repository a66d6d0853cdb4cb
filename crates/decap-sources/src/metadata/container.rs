//! Which files hold metadata, and how each gives and takes its blocks.

use std::borrow::Cow;

use decap::InputFault;
use decap::media::{PhotoKind, kind_of_head};

use super::blocks::{Blocks, Change, Changes};
use super::tiff_block::{TiffBlock, edit, tag};
use super::{jpeg, png, webp};

/// How a file holds metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Jpeg,
    Png,
    WebP,
    Tiff,
    /// An XMP packet in a file of its own.
    XmpFile,
}

impl Container {
    /// The container that begins with these bytes. Of a TIFF it wants them all: the directory that tells a
    /// camera's raw file, which nothing must be written into, may lie at the end.
    ///
    /// # Errors
    /// [`InputFault::Unsupported`] for any other file, which has no place for a caption that is known here.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, InputFault> {
        match kind_of_head(bytes) {
            Some(PhotoKind::Jpeg) => Ok(Self::Jpeg),
            Some(PhotoKind::Png) => Ok(Self::Png),
            Some(PhotoKind::WebP) => Ok(Self::WebP),
            Some(PhotoKind::Tiff) => Ok(Self::Tiff),
            kind => {
                let kind = kind.map_or("a file of this kind", PhotoKind::name);
                let message = format!("captions are not written into {kind}");
                Err(InputFault::Unsupported(message))
            }
        }
    }

    /// Finds the blocks.
    ///
    /// # Errors
    /// [`InputFault::Damaged`] where the file is broken or cut short where they would be.
    pub(super) fn blocks<'a>(self, bytes: &'a [u8]) -> Result<Blocks<'a>, InputFault> {
        match self {
            Self::Jpeg => jpeg::blocks(bytes),
            Self::Png => png::blocks(bytes),
            Self::WebP => webp::blocks(bytes),
            Self::Tiff => {
                let block = TiffBlock::read(bytes)?;
                let value = |tag| block.value(tag).map(|value| Cow::Owned(value.to_vec()));
                Ok(Blocks {
                    xmp: value(tag::XMP),
                    iptc: value(tag::IPTC),
                    has_place_for_iptc: true,
                    exif: Some(bytes),
                    ..Blocks::default()
                })
            }
            Self::XmpFile => Ok(Blocks {
                xmp: Some(Cow::Borrowed(bytes)).filter(|bytes| !bytes.is_empty()),
                is_exif_closed: true,
                ..Blocks::default()
            }),
        }
    }

    /// The file with changed blocks; everything else is copied.
    ///
    /// # Errors
    /// As [`Container::blocks`]; [`InputFault::Unsupported`] where a block has no room.
    pub(super) fn with(self, bytes: &[u8], changes: &Changes) -> Result<Vec<u8>, InputFault> {
        match self {
            Self::Jpeg => jpeg::with(bytes, changes),
            Self::Png => png::with(bytes, changes),
            Self::WebP => webp::with(bytes, changes),
            Self::Tiff => {
                let mut tags = Vec::new();
                for (tag, change) in [(tag::XMP, &changes.xmp), (tag::IPTC, &changes.iptc)] {
                    match change {
                        Change::Keep => {}
                        Change::Set(value) => tags.push((tag, Some(value.clone()))),
                        Change::Remove => tags.push((tag, None)),
                    }
                }
                if let Some(description) = &changes.description {
                    tags.push((tag::IMAGE_DESCRIPTION, description.clone()));
                }
                let edited = edit(Some(bytes), &tags)?;
                edited.ok_or_else(|| InputFault::Damaged("expected a TIFF with pixels".into()))
            }
            Self::XmpFile => Ok(match &changes.xmp {
                Change::Keep => bytes.to_vec(),
                Change::Set(packet) => packet.clone(),
                Change::Remove => Vec::new(),
            }),
        }
    }
}
