//! Captions in the metadata of photos: bytes in, bytes out. Pixels are never touched.
//!
//! | field | JPEG | PNG | WebP | TIFF | `.xmp` file |
//! |---|---|---|---|---|---|
//! | [`Field::Description`], [`Field::AltText`]: XMP | APP1 | iTXt | `XMP ` | tag 700 | itself |
//! | [`Field::Iptc`] | APP13 | no place | no place | tag 33723 | no place |
//! | [`Field::Exif`] | APP1 | eXIf | `EXIF` | tag 270 | no place |
//!
//! What decap writes is remembered in the XMP packet, in a namespace of its own: the model, the run key, a
//! digest of each text, and the text that was there before. So [`write_caption`] knows decap's words from
//! a person's, and [`undo`] takes them back.

mod blocks;
mod container;
mod iptc;
mod jpeg;
mod marker;
mod photo;
mod photoshop;
mod png;
mod tiff_block;
mod webp;
mod xmp;

use decap::InputFault;
use serde::Serialize;

use crate::whose::Existing;
use container::Container;
use photo::Photo;

/// A place in a photo that holds a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// XMP `dc:description`, in the language `x-default`.
    Description,
    /// XMP `Iptc4xmpCore:AltTextAccessibility`, in the language `x-default`.
    AltText,
    /// IPTC `Caption-Abstract` (2:120), in UTF-8.
    Iptc,
    /// EXIF `ImageDescription` (270), in UTF-8.
    Exif,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Description, Self::AltText, Self::Iptc, Self::Exif];

    /// The name people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::AltText => "alt text",
            Self::Iptc => "IPTC caption",
            Self::Exif => "EXIF description",
        }
    }

    /// Whether XMP holds it.
    fn is_xmp(self) -> bool {
        matches!(self, Self::Description | Self::AltText)
    }
}

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has the caption, or had it already.
    Written,
    /// It was left alone: a person's words are there, or those of decap with [`Existing::Skip`].
    Kept,
    /// This format, or the character set of what is there, has no place for it.
    NoPlace,
    /// decap's words were taken back.
    Undone,
    /// decap's words have been edited, so that they are a person's.
    Edited,
}

/// A photo with a changed caption.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EditedPhoto {
    /// The file; nothing where it would not change.
    pub bytes: Option<Vec<u8>>,
    /// What happened to each field that was asked for.
    pub outcomes: Vec<(Field, Outcome)>,
}

/// A caption to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionToWrite<'a> {
    /// The text of the description, IPTC and EXIF.
    pub text: &'a str,
    /// The alternative text for people who do not see the photo, which is usually shorter.
    pub alt_text: &'a str,
    /// Where to write it.
    pub fields: &'a [Field],
    /// What to do where there is a text already.
    pub existing: Existing,
    /// The name of the model whose words these are.
    pub model: &'a str,
    /// The key of the run that made them.
    pub run: &'a str,
    /// Whether a person chose the words: [`Existing::Ours`] replaces them only by others that a person chose.
    pub by_hand: bool,
}

/// What a photo says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FoundCaption {
    /// XMP `dc:description`.
    pub description: Option<String>,
    /// XMP `Iptc4xmpCore:AltTextAccessibility`.
    pub alt_text: Option<String>,
    /// IPTC `Caption-Abstract`; bytes that are no UTF-8 are replaced.
    pub iptc: Option<String>,
    /// EXIF `ImageDescription`; bytes that are no UTF-8 are replaced.
    pub exif: Option<String>,
    /// The fields whose text decap wrote, unedited.
    pub by_decap: Vec<Field>,
    /// The model that decap wrote with.
    pub model: Option<String>,
    /// The key of the run that decap wrote in.
    pub run: Option<String>,
    /// EXIF `DateTimeOriginal`: `YYYY:MM:DD HH:MM:SS`.
    pub date_time_original: Option<String>,
}

/// Whether `head`, the first [`HEAD_BYTES`](decap::media::HEAD_BYTES) of a file, is that of a photo that
/// captions are written into; others get an `.xmp` file beside them.
pub fn takes_caption(head: &[u8]) -> bool {
    Container::of(head).is_ok()
}

/// Whether decap may have written into an `.xmp` file of this content.
pub fn has_marker(packet: &[u8]) -> bool {
    let namespace = marker::NAMESPACE.as_bytes();
    packet
        .windows(namespace.len())
        .any(|window| window == namespace)
}

/// Reads the captions of a JPEG, PNG, WebP or TIFF.
///
/// # Errors
/// [`InputFault::Unsupported`] for other files, BigTIFF, and XMP that is out of the ordinary;
/// [`InputFault::Damaged`] where the file or its XMP is broken.
pub fn read_caption(bytes: &[u8]) -> Result<FoundCaption, InputFault> {
    Ok(Photo::open(Container::of(bytes)?, bytes)?.found())
}

/// Writes a caption into a JPEG, PNG, WebP or TIFF. Everything else in the file stays byte for byte, but
/// for offsets that have to move, and the digest by which readers compare IPTC with XMP.
///
/// Written twice, it gives the same bytes.
///
/// ```
/// use decap_sources::metadata::{CaptionToWrite, Field, read_caption, undo, write_caption};
/// use decap_sources::Existing;
///
/// let photo = std::fs::read("../../examples/photos/cat.webp")?;
/// let caption = CaptionToWrite {
///     text: "a cat on a bench",
///     alt_text: "",
///     fields: &[Field::Description],
///     existing: Existing::Ours,
///     model: "tiny",
///     run: "fd4d107ff86a78ff1ef820626ca5d13b",
///     by_hand: false,
/// };
/// let captioned = write_caption(&photo, &caption)?.bytes.unwrap_or_default();
/// let found = read_caption(&captioned)?;
/// assert_eq!(found.description.as_deref(), Some("a cat on a bench"));
/// assert_eq!(undo(&captioned)?.bytes, Some(photo));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`read_caption`]; [`InputFault::Unsupported`] where the file has no room for it.
pub fn write_caption(
    bytes: &[u8],
    caption: &CaptionToWrite<'_>,
) -> Result<EditedPhoto, InputFault> {
    Photo::open(Container::of(bytes)?, bytes)?.write(caption)
}

/// Takes back what [`write_caption`] wrote and nobody has edited since: the former texts come back. Where
/// nobody else has changed the file, it is as before, byte for byte.
///
/// # Errors
/// As [`read_caption`].
pub fn undo(bytes: &[u8]) -> Result<EditedPhoto, InputFault> {
    Photo::open(Container::of(bytes)?, bytes)?.undo()
}

/// As [`write_caption`], into the content of an `.xmp` file; an empty one is begun.
///
/// # Errors
/// As [`read_caption`] for the XMP.
pub fn write_caption_beside(
    packet: &[u8],
    caption: &CaptionToWrite<'_>,
) -> Result<EditedPhoto, InputFault> {
    Photo::open(Container::XmpFile, packet)?.write(caption)
}

/// As [`undo`], in the content of an `.xmp` file. Nothing is left of one that decap began.
///
/// # Errors
/// As [`read_caption`] for the XMP.
pub fn undo_beside(packet: &[u8]) -> Result<EditedPhoto, InputFault> {
    Photo::open(Container::XmpFile, packet)?.undo()
}
