//! What kind of photo a file is, told by its first bytes.

use std::path::Path;

use crate::raw;

/// A kind of picture. [`kind_of_head`] tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PhotoKind {
    /// JPEG, whatever its extension says.
    Jpeg,
    /// PNG, animated or not.
    Png,
    /// WebP, lossy or lossless.
    WebP,
    /// GIF.
    Gif,
    /// Windows or OS/2 bitmap.
    Bmp,
    /// TIFF or BigTIFF; not the camera raw formats that look like one.
    Tiff,
    /// A camera's raw file, with the name of its kind, such as "camera raw (NEF)". Its largest embedded
    /// JPEG is read.
    Raw(&'static str),
    /// AVIF. It is read where the feature `avif` is built in.
    Avif,
    /// JPEG XL. It is read where the feature `jxl` is built in.
    JpegXl,
    /// A picture that is recognised but not read, with the name of its kind, such as "HEIC".
    Unreadable(&'static str),
}

impl PhotoKind {
    /// The name people know it by: "JPEG", "HEIC".
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Avif => "AVIF",
            Self::JpegXl => "JPEG XL",
            Self::Raw(name) | Self::Unreadable(name) => name,
        }
    }

    /// Whether [`decode`](super::image::decode) reads it.
    pub fn is_readable(self) -> bool {
        match self {
            Self::Avif => cfg!(feature = "avif"),
            Self::JpegXl => cfg!(feature = "jxl"),
            Self::Unreadable(_) => false,
            _ => true,
        }
    }
}

/// Endings of photos, without their dots: what has one is a photo, though a damaged one or one that is not
/// read.
pub const PHOTO_ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jxl",
    "heic", "heif", "hif", "3fr", "arw", "cr2", "cr3", "dng", "nef", "nrw", "orf", "pef", "raf",
    "rw2", "rwl", "sr2", "srw",
];

/// Whether `path` ends as photos do.
pub fn is_named_like_a_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        PHOTO_ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

/// How many bytes [`kind_of_head`] wants: with fewer, a camera's raw file is likely to pass for a TIFF
/// and an SVG with a long comment for nothing at all.
pub const HEAD_BYTES: usize = 4096;

/// What `head`, the first [`HEAD_BYTES`] bytes of a file or all of a shorter one, is the start of;
/// `None` for what is no picture.
///
/// A camera's raw file that is a TIFF to the eye is told by its first directory. Where that lies behind
/// `head`, it passes for a TIFF: whoever writes into TIFFs gives all bytes of the file.
///
/// ```
/// use decap_media::{PhotoKind, kind_of_head};
///
/// let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
/// assert_eq!(kind_of_head(heic), Some(PhotoKind::Unreadable("HEIC")));
/// assert_eq!(kind_of_head(b"\xff\xd8\xff\xe0"), Some(PhotoKind::Jpeg));
/// assert_eq!(kind_of_head(b"a man rides a horse"), None);
/// ```
pub fn kind_of_head(head: &[u8]) -> Option<PhotoKind> {
    use PhotoKind::{Avif, Bmp, Gif, Jpeg, JpegXl, Png, Raw, Tiff, Unreadable, WebP};
    const TIFF_STARTS: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    if head.starts_with(b"\xFF\xD8\xFF") {
        return Some(Jpeg);
    }
    if head.starts_with(b"\x89PNG\r\n\x1A\n") {
        return Some(Png);
    }
    if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        return Some(Gif);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(WebP);
    }
    if is_bmp(head) {
        return Some(Bmp);
    }
    if TIFF_STARTS.iter().any(|start| head.starts_with(start)) {
        return Some(raw::kind_of_tiff(head).map_or(Tiff, Raw));
    }
    if head.starts_with(b"\xFF\x0A") || head.starts_with(b"\0\0\0\x0CJXL \r\n\x87\n") {
        return Some(JpegXl);
    }
    if let Some(name) = raw_kind(head) {
        return Some(Raw(name));
    }
    match unreadable_kind(head)? {
        "AVIF" => Some(Avif),
        name => Some(Unreadable(name)),
    }
}

/// Many texts begin with BM: the size of a header that exists must follow.
fn is_bmp(head: &[u8]) -> bool {
    const HEADER_BYTES: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
    head.starts_with(b"BM")
        && matches!(head.get(14..18), Some(&[size, 0, 0, 0]) if HEADER_BYTES.contains(&size))
}

/// Raw formats of cameras that no TIFF reader takes for a TIFF.
fn raw_kind(head: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 5] = [
        (b"IIRO", "camera raw (ORF)"),
        (b"IIRS", "camera raw (ORF)"),
        (b"MMOR", "camera raw (ORF)"),
        (b"IIU\0", "camera raw (RW2)"),
        (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    ];
    let signature = SIGNATURES.iter().find(|(start, _)| head.starts_with(start));
    let is_cr3 = head.get(4..12) == Some(b"ftypcrx ");
    signature
        .map(|(_, name)| *name)
        .or(is_cr3.then_some("camera raw (CR3)"))
}

fn unreadable_kind(head: &[u8]) -> Option<&'static str> {
    /// Offset, bytes, name.
    const SIGNATURES: [(usize, &[u8], &str); 32] = [
        (0, b"8BPS", "Photoshop (PSD)"),
        (0, b"%PDF-", "PDF"),
        (0, b"%!PS", "PostScript (EPS)"),
        (0, b"\xC5\xD0\xD3\xC6", "PostScript (EPS)"),
        (0, b"\0\0\x01\0", "icon (ICO)"),
        (0, b"\0\0\x02\0\0\0\0\0", "Targa (TGA)"),
        (0, b"\0\0\x02\0", "cursor (CUR)"),
        (0, b"icns", "icon (ICNS)"),
        (0, b"\0\0\0\x0CjP  ", "JPEG 2000"),
        (0, b"\xFF\x4F\xFF\x51", "JPEG 2000"),
        (0, b"II\xBC\x01", "JPEG XR"),
        (0, b"FOVb", "camera raw (X3F)"),
        (0, b"\0MRM", "camera raw (MRW)"),
        (6, b"HEAPCCDR", "camera raw (CRW)"),
        (0, b"gimp xcf", "GIMP (XCF)"),
        (0, b"qoif", "QOI"),
        (0, b"DDS ", "DDS"),
        (0, b"\x76\x2F\x31\x01", "OpenEXR"),
        (0, b"#?RADIANCE", "Radiance HDR"),
        (0, b"#?RGBE", "Radiance HDR"),
        (0, b"farbfeld", "farbfeld"),
        (0, b"FLIF", "FLIF"),
        (0, b"BPG\xFB", "BPG"),
        (0, b"\xD7\xCD\xC6\x9A", "Windows metafile (WMF)"),
        (40, b" EMF", "Windows metafile (EMF)"),
        (0, b"AT&TFORM", "DjVu"),
        (0, b"SIMPLE  =", "FITS"),
        (128, b"DICM", "DICOM"),
        (0, b"\x59\xA6\x6A\x95", "Sun raster"),
        (0, b"\x01\xDA\0", "SGI"),
        (0, b"\x01\xDA\x01", "SGI"),
        (0, b"\x0A\x05\x01", "PCX"),
    ];
    let signature = SIGNATURES
        .iter()
        .find(|(at, bytes, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    if let Some((_, _, name)) = signature {
        return Some(name);
    }
    iso_media_kind(head).or_else(|| match head {
        [b'P', b'7', b'\n', ..] => Some("Netpbm (PAM)"),
        [
            b'P',
            b'1'..=b'6',
            b'\n' | b' ' | b'\r' | b'\t',
            b'0'..=b'9' | b'#',
            ..,
        ] => Some("Netpbm (PNM)"),
        _ => is_svg(head).then_some("SVG"),
    })
}

/// HEIC and AVIF are MP4's container: `ftyp`, the main brand, and the brands it can also be
/// read as.
fn iso_media_kind(head: &[u8]) -> Option<&'static str> {
    if head.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(head.get(..4)?.try_into().ok()?) as usize;
    let brands = head.get(8..length.min(head.len()))?;
    let name_of = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("HEIC"),
        b"jp2 " | b"jpx " => Some("JPEG 2000"),
        _ => None,
    };
    let main = brands.get(..4)?;
    let general = matches!(main, b"mif1" | b"msf1" | b"mif2" | b"miaf");
    name_of(main).or_else(|| {
        general.then(|| {
            brands[4..]
                .chunks_exact(4)
                .find_map(name_of)
                .unwrap_or("HEIF")
        })
    })
}

/// An `svg` element within the head of a text that begins with an angle bracket.
fn is_svg(head: &[u8]) -> bool {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let text = text.trim_ascii_start();
    text.starts_with(b"<")
        && text.windows(5).any(|it| {
            it.starts_with(b"<svg") && matches!(it[4], b' ' | b'>' | b'\n' | b'\r' | b'\t' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let readable: [(&[u8], PhotoKind); 13] = [
            (b"\xFF\xD8\xFF\xE1", PhotoKind::Jpeg),
            (b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", PhotoKind::Png),
            (b"GIF89a\x01\0\x01\0", PhotoKind::Gif),
            (b"RIFF\x1e\0\0\0WEBPVP8X", PhotoKind::WebP),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", PhotoKind::Bmp),
            (b"II*\0\x08\0\0\0", PhotoKind::Tiff),
            (b"MM\0*\0\0\0\x08", PhotoKind::Tiff),
            (b"II+\0\x08\0\0\0", PhotoKind::Tiff),
            (
                b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
                PhotoKind::Raw("camera raw (CR3)"),
            ),
            (
                b"II*\0\x10\0\0\0CR\x02\0",
                PhotoKind::Raw("camera raw (CR2)"),
            ),
            (b"IIRO\x08\0\0\0", PhotoKind::Raw("camera raw (ORF)")),
            (b"IIU\0\x18\0\0\0", PhotoKind::Raw("camera raw (RW2)")),
            (b"FUJIFILMCCD-RAW 0201", PhotoKind::Raw("camera raw (RAF)")),
        ];
        for (head, kind) in readable {
            assert_eq!(kind_of_head(head), Some(kind));
            assert!(kind.is_readable());
        }
        let avif: [&[u8]; 2] = [
            b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B",
            b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf",
        ];
        for head in avif {
            assert_eq!(kind_of_head(head), Some(PhotoKind::Avif));
            assert_eq!(PhotoKind::Avif.is_readable(), cfg!(feature = "avif"));
        }
        let jpeg_xl: [&[u8]; 2] = [b"\xFF\x0A\xFA\x7F", b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14"];
        for head in jpeg_xl {
            assert_eq!(kind_of_head(head), Some(PhotoKind::JpegXl));
            assert_eq!(PhotoKind::JpegXl.is_readable(), cfg!(feature = "jxl"));
        }
        let unreadable: [(&[u8], &str); 10] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
            (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
            (b"8BPS\0\x01", "Photoshop (PSD)"),
            (b"%PDF-1.7", "PDF"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript (EPS)"),
            (b"\0\0\x01\0\x01\0\x10\x10", "icon (ICO)"),
            (b"FOVb\0\0\x02\0", "camera raw (X3F)"),
            (b"P6\n3 2\n255\n", "Netpbm (PNM)"),
            (
                b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- a <drawing> -->\n<svg xmlns='http",
                "SVG",
            ),
        ];
        for (head, name) in unreadable {
            let kind = kind_of_head(head).unwrap();
            assert_eq!(kind.name(), name);
            assert!(!kind.is_readable(), "{name}");
        }
    }

    #[test]
    fn texts_and_videos_are_no_photos() {
        let others: [&[u8]; 9] = [
            b"",
            b"B",
            b"BMW cars in a row\nA dog runs",
            b"GIF is a format",
            b"P1 is a polymer",
            b"<html><p>an svg</p></html>",
            b"\0\0\0\x18ftypisom\0\0\0\0isommp41",
            b"RIFF\0\0\0\0AVI LIST",
            b"II is a number",
        ];
        for head in others {
            assert_eq!(
                kind_of_head(head),
                None,
                "{}",
                String::from_utf8_lossy(head)
            );
        }
    }
}
