//! The blocks of metadata in a photo, whatever its format.

use std::borrow::Cow;

use decap::InputFault;

/// The largest block that is looked at, in bytes. Packets of XMP with the history of an edited photo reach
/// a few mebibytes.
pub(super) const LARGEST_BLOCK: usize = 16 << 20;

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
