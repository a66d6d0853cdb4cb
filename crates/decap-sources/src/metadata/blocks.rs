//! The blocks of metadata in a photo, whatever its format.

use std::borrow::Cow;

use decap::InputFault;
use decap::media::{HEAD_BYTES, PhotoKind, kind_of_head};

use super::tiff_block::{TiffBlock, edit, tag};
use super::{jpeg, png, webp};

/// The largest block that is looked at, in bytes. Packets of XMP with the history of an edited photo reach
/// a few mebibytes.
pub(super) const LARGEST_BLOCK: usize = 16 << 20;

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

/// What a photo's metadata says, as far as captions go.
#[derive(Debug, Default)]
pub(super) struct Blocks<'a> {
    /// The XMP packet that programs read.
    pub xmp: Option<Cow<'a, [u8]>>,
    /// Other packets, which are read and left alone.
    pub other_xmp: Vec<Vec<u8>>,
    /// The TIFF structure of EXIF, or the whole file.
    pub exif: Option<&'a [u8]>,
    /// Whether EXIF is of a form that is left alone.
    pub is_exif_closed: bool,
    /// IPTC's datasets.
    pub iptc: Option<Cow<'a, [u8]>>,
    /// Whether this format has a place for IPTC.
    pub has_place_for_iptc: bool,
    /// Whether a text of another kind describes the photo: PNG has such.
    pub has_other_description: bool,
}

/// A block as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Change {
    #[default]
    Keep,
    Set(Vec<u8>),
    Remove,
}

/// The blocks as they are to be.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub xmp: Change,
    pub exif: Change,
    pub iptc: Change,
    /// The description in EXIF, with its end; used in place of `exif` where the file itself is the block.
    pub description: Option<Option<Vec<u8>>>,
    /// Whether a header that was added for a block may go again.
    pub extended_header: ExtendedHeader,
}

/// WebP's header for metadata, which plain files lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ExtendedHeader {
    /// It stays once it is there.
    #[default]
    Stays,
    /// decap added it, so that it goes with the last block.
    Ours,
}

impl Container {
    /// The container that begins with these bytes.
    ///
    /// # Errors
    /// [`InputFault::Unsupported`] for any other file, which has no place for a caption that is known here.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, InputFault> {
        match kind_of_head(&bytes[..bytes.len().min(HEAD_BYTES)]) {
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

impl Change {
    /// The block after this change.
    pub(super) fn apply<'c>(&'c self, now: Option<&'c [u8]>) -> Option<&'c [u8]> {
        match self {
            Self::Keep => now,
            Self::Set(block) => Some(block),
            Self::Remove => None,
        }
    }
}

/// A fault of a file that is broken or cut short.
pub(super) fn damaged(message: impl Into<String>) -> InputFault {
    InputFault::Damaged(message.into())
}
