//! Is a file a video? Its first bytes tell.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// As many bytes of a file as [`is_video_head`] makes use of.
pub const HEAD_BYTES: usize = 4096;

/// Whether `path` is a video.
///
/// The content of a regular file decides. The extension decides where the content cannot be read,
/// or is neither a known video nor a known photo, so that a damaged `.mp4` is reported as a damaged
/// video. Extensions that text files share (`.ts`, `.mts`, `.mod`) then do not count.
pub fn is_video(path: &Path) -> bool {
    match head_of(path) {
        Some(head) if is_video_head(&head) => true,
        Some(head) if is_photo_head(&head) => false,
        Some(_) => has_extension(path, EXTENSIONS) && !has_extension(path, SHARED_EXTENSIONS),
        None => has_extension(path, EXTENSIONS),
    }
}

/// Whether `head`, the first [`HEAD_BYTES`] of a file or all of it, begins a container of videos.
///
/// Photos in the containers of videos (HEIC, AVIF, JPEG XL) are not videos, nor is audio alone where
/// the head tells. Playlists, which name other files, are not either.
///
/// ```
/// use decap_media::video::is_video_head;
///
/// assert!(is_video_head(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"));
/// assert!(!is_video_head(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"));
/// assert!(!is_video_head(b"#EXTM3U\n"));
/// ```
pub fn is_video_head(head: &[u8]) -> bool {
    let tests: [fn(&[u8]) -> bool; 8] = [
        has_signature,
        is_iso_media,
        is_matroska,
        is_asf_with_video,
        is_ogg_with_video,
        is_transport_stream,
        is_elementary_stream,
        is_mxf,
    ];
    let head = &head[..head.len().min(HEAD_BYTES)];
    tests.iter().any(|test| test(head))
}

/// What kind of playlist a file is, if its first bytes tell: it names other files, and is not opened.
pub(super) fn playlist_kind(head: &[u8]) -> Option<&'static str> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    const STARTS: &[(&[u8], &str)] = &[
        (b"#EXTM3U", "M3U or HLS"),
        (b"ffconcat", "ffconcat"),
        (b"[playlist]", "PLS"),
        (b"[Reference]", "ASF"),
        (b"<asx", "ASX"),
        (b"<smil", "SMIL"),
        (b"v=0\r\n", "SDP"),
        (b"v=0\n", "SDP"),
    ];
    let text = head
        .strip_prefix(BYTE_ORDER_MARK)
        .unwrap_or(head)
        .trim_ascii_start();
    if text.starts_with(b"<") && has(text, b"<MPD") {
        return Some("DASH");
    }
    let mut starts = STARTS.iter();
    let found = starts.find(|(start, _)| {
        let begin = text.get(..start.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    });
    found.map(|(_, kind)| *kind)
}

/// Endings of files that are taken for videos where the content does not tell.
const EXTENSIONS: &[&str] = &[
    "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "gxf", "ivf", "m1v", "m2t", "m2ts",
    "m2v", "m4v", "mkv", "mod", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "nut", "ogm", "ogv",
    "qt", "rm", "rmvb", "tod", "ts", "vob", "webm", "wmv", "wtv", "y4m",
];

/// TypeScript, and modules of several languages.
const SHARED_EXTENSIONS: &[&str] = &["mod", "mts", "ts"];

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| known.iter().any(|one| one.eq_ignore_ascii_case(extension)))
}

/// The first bytes of a regular file that can be read; opening a pipe could wait for ever.
fn head_of(path: &Path) -> Option<Vec<u8>> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    read_head(path).ok()
}

/// The first [`HEAD_BYTES`] of the file at `path`.
pub(super) fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = File::open(path)?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether these are the first bytes of a photo, so that an extension cannot make it a video.
fn is_photo_head(head: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF8",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"MM\0+",
        b"\xff\x0a",
        b"\0\0\0\x0cJXL ",
        b"\0\0\0\x0cjP  ",
    ];
    STARTS.iter().any(|start| head.starts_with(start))
        || head.starts_with(b"RIFF") && at(head, 8, b"WEBP")
        || at(head, 4, b"ftyp")
}

/// Containers that begin with a fixed mark.
fn has_signature(head: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b".RMF",
        b"DKIF",
        b"YUV4MPEG2 ",
        b"nut/multimedia container\0",
        b"NSVf",
        b"NSVs",
        b"LEITCH\0\0",
        b"DHAV",
        // Windows' recorded TV.
        b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d",
    ];
    // The flags of FLV say whether there is audio (4) and video (1); encoders also leave them 0.
    let flv = head.starts_with(b"FLV\x01") && head.get(4).is_some_and(|flags| flags & 5 != 4);
    let avi = head.starts_with(b"RIFF") && (at(head, 8, b"AVI ") || at(head, 8, b"AVIX"));
    let gxf = head.starts_with(b"\0\0\0\0\x01\xbc") && at(head, 14, b"\xe1\xe2");
    // The header block of a DV frame, then its first subcode block.
    let dv = head.len() > 83
        && head.starts_with(b"\x1f\x07\0")
        && head[3] & 0x7f == 0x3f
        && head[80] & 0xe0 == 0x20;
    STARTS.iter().any(|start| head.starts_with(start)) || flv || avi || gxf || dv
}

/// MP4, QuickTime and their kind: boxes of a length and four letters.
fn is_iso_media(head: &[u8]) -> bool {
    /// Major brands of photos, of sequences of photos and of audio alone.
    const OTHER_BRANDS: &[&[u8; 4]] = &[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2",
        b"msf1", b"avif", b"avis", b"avci", b"avcs", b"jxl ", b"jp2 ", b"jpx ", b"jpm ", b"j2ki",
        b"crx ", b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ",
    ];
    /// Boxes that a file without `ftyp` begins with, as old QuickTime and fragments do.
    const FIRST_BOXES: &[&[u8; 4]] = &[
        b"moov", b"mdat", b"moof", b"styp", b"sidx", b"wide", b"free", b"skip", b"pnot",
    ];
    /// The length of a box that is text by chance begins with a letter.
    const MOST_FIRST_BYTE: u8 = 0x1f;

    let Some((length, rest)) = head.split_first_chunk::<4>() else {
        return false;
    };
    let Some((kind, rest)) = rest.split_first_chunk::<4>() else {
        return false;
    };
    if kind == b"ftyp" {
        let brand = rest.first_chunk::<4>();
        return brand.is_some_and(|brand| !OTHER_BRANDS.contains(&brand));
    }
    FIRST_BOXES.contains(&kind) && (length[0] <= MOST_FIRST_BYTE || kind == b"mdat")
}

/// EBML of Matroska or WebM.
fn is_matroska(head: &[u8]) -> bool {
    head.starts_with(b"\x1a\x45\xdf\xa3") && (has(head, b"matroska") || has(head, b"webm"))
}

/// ASF (WMV), unless its whole header lies in `head` and has no video stream: WMA.
fn is_asf_with_video(head: &[u8]) -> bool {
    const HEADER: &[u8; 16] = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
    const VIDEO_STREAM: &[u8; 16] =
        b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b";

    let Some(rest) = head.strip_prefix(HEADER) else {
        return false;
    };
    let length = rest.first_chunk().map(|length| u64::from_le_bytes(*length));
    let whole = length.is_some_and(|length| length <= head.len() as u64);
    !whole || has(head, VIDEO_STREAM)
}

/// Ogg whose first pages begin a stream of video.
fn is_ogg_with_video(head: &[u8]) -> bool {
    const CODECS: &[&[u8]] = &[
        b"\x80theora",
        b"BBCD\0",
        b"\x01video\0\0\0",
        b"\x4fVP80",
        b"UVS ",
    ];
    head.starts_with(b"OggS") && CODECS.iter().any(|codec| has(head, codec))
}

/// MPEG-TS: packets of 188 bytes (broadcast), 192 (camcorders, Blu-ray) or 204, each with a sync
/// byte. A recording may begin within a packet.
fn is_transport_stream(head: &[u8]) -> bool {
    const SYNC: u8 = 0x47;
    /// Chance makes a row of so many in one of 10^11 files.
    const LEAST_PACKETS: usize = 5;

    [188, 192, 204].into_iter().any(|length| {
        (0..length).any(|first| {
            let mut syncs = head.iter().skip(first).step_by(length);
            syncs.len() >= LEAST_PACKETS && syncs.all(|byte| *byte == SYNC)
        })
    })
}

/// MPEG program streams (VOB, camcorders' MOD), and bare MPEG-1, 2, 4, H.264 and HEVC video.
fn is_elementary_stream(head: &[u8]) -> bool {
    let ([0, 0, 1, rest @ ..] | [0, 0, 0, 1, rest @ ..]) = head else {
        return false;
    };
    match rest {
        // A pack or sequence header, a visual object sequence.
        [0xba | 0xb3 | 0xb0, ..] => true,
        // H.264: an access unit delimiter or sequence parameters.
        [0x09, kind, ..] => kind & 0x1f == 0x10,
        [0x67 | 0x47 | 0x27, ..] => true,
        // HEVC: an access unit delimiter or video parameters.
        [0x46 | 0x40, 0x01, ..] => true,
        _ => false,
    }
}

/// MXF: the key of a header partition, after a run-in.
fn is_mxf(head: &[u8]) -> bool {
    has(
        head,
        b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",
    )
}

fn at(head: &[u8], offset: usize, mark: &[u8]) -> bool {
    head.get(offset..)
        .is_some_and(|rest| rest.starts_with(mark))
}

fn has(head: &[u8], mark: &[u8]) -> bool {
    head.windows(mark.len()).any(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport_stream(length: usize, first: usize) -> Vec<u8> {
        let mut head = vec![0xff; HEAD_BYTES];
        head.iter_mut()
            .skip(first)
            .step_by(length)
            .for_each(|byte| *byte = 0x47);
        head
    }

    fn asf(stream: &[u8]) -> Vec<u8> {
        let header = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
        [header, 40_u64.to_le_bytes().as_slice(), stream].concat()
    }

    #[test]
    fn heads_of_videos_are_told() {
        let heads: Vec<Vec<u8>> = [
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  ".as_slice(),
            b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
            b"\0\0\0\x1cftypM4V \0\0\0\0mif1",
            b"\0\0\0\x1cftyp3g2a",
            b"\0\0\0\x1cftypf4v ",
            b"\0\0\0\x08wide\0\0\0\0mdat",
            b"\0\0\x02\x08moov",
            b"\0\0\0\x01mdat",
            b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\x82\x84webm",
            b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska",
            b"RIFF\0\0\x10\0AVI LIST",
            b"FLV\x01\x05\0\0\0\x09",
            b"OggS\0\x02\0\0\x80theora",
            b".RMF\0\0\0\x12",
            b"\0\0\x01\xba\x44",
            b"\0\0\x01\xb3\x14",
            b"\0\0\0\x01\x67\x64",
            b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67",
            b"\0\0\0\x01\x40\x01\x0c",
            b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0",
            b"YUV4MPEG2 W64 H48",
            b"DKIF\0\0\x20\0VP80",
        ]
        .iter()
        .map(|head| head.to_vec())
        .chain([
            transport_stream(188, 0),
            transport_stream(188, 100),
            transport_stream(192, 4),
            transport_stream(204, 0),
            asf(b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b"),
            [
                b"\x1f\x07\0\xbf".as_slice(),
                &[0xff; 76],
                b"\x3f\x07\0\xff",
                &[0; 76],
            ]
            .concat(),
        ])
        .collect();
        for head in heads {
            assert!(
                is_video_head(&head),
                "{:?}",
                head.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn heads_of_other_files_are_not_videos() {
        let heads: Vec<Vec<u8>> = [
            b"".as_slice(),
            b"\0",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf",
            b"\0\0\0\x1cftypM4A \0\0\0\0",
            b"\0\0\0\x18ftypcrx \0\0\0\0",
            b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
            b"\0\0\0\x0cjP  \r\n\x87\n",
            b"\xff\xd8\xff\xe0\0\x10JFIF",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF\0\0\x10\0WEBPVP8 ",
            b"RIFF\0\0\x10\0WAVEfmt ",
            b"FLV\x01\x04\0\0\0\x09",
            b"OggS\0\x02\0\0\x01vorbis",
            b"OggS\0\x02\0\0OpusHead",
            b"\0\0\x01\0\x01\0\x10\x10", // an icon
            b"The free encyclopedia",
            b"All moof and no moov",
            b"#EXTM3U\n#EXTINF:1,\na.ts\n",
            b"ffconcat version 1.0\nfile a.mp4\n",
            b"<?xml version=\"1.0\"?><MPD>",
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
            b"ID3\x04\0",
            b"export const answer: number = 42;\n",
        ]
        .iter()
        .map(|head| head.to_vec())
        .chain([
            vec![0; HEAD_BYTES],
            vec![b'G'; 4 * 188],
            asf(b"\x40\x9e\x69\xf8\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b"),
        ])
        .collect();
        for head in heads {
            assert!(
                !is_video_head(&head),
                "{:?}",
                head.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn playlists_are_told_by_their_first_bytes() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"#EXTM3U\n", Some("M3U or HLS")),
            (b"\xef\xbb\xbf \n#extm3u\n", Some("M3U or HLS")),
            (b"ffconcat version 1.0\n", Some("ffconcat")),
            (
                b"<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn\">",
                Some("DASH"),
            ),
            (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", Some("SDP")),
            (b"<html><body>", None),
            (b"\0\0\0\x18ftypmp42", None),
            (b"", None),
        ];
        for (head, kind) in cases {
            assert_eq!(
                playlist_kind(head),
                kind,
                "{:?}",
                head.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn content_decides_and_the_extension_helps_out() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(&str, &[u8], bool); 9] = [
            ("a.bin", b"\0\0\0\x14ftypqt  ", true),
            ("b.mp4", b"\xff\xd8\xff\xe0", false),
            ("c.mp4", b"\0\0\0\x18ftypheic", false),
            ("d.MTS", &transport_stream(192, 4), true),
            ("e.ts", b"export const answer = 42;", false),
            ("f.mp4", b"damaged", true),
            ("g.mp4", b"", true),
            ("h.txt", b"damaged", false),
            ("i.VOB", b"\0\0\x01\xba", true),
        ];
        for (name, bytes, expected) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_video(&path), expected, "{name}");
        }
        assert!(is_video(&folder.path().join("missing.webm")));
        assert!(!is_video(&folder.path().join("missing.png")));
        let directory = folder.path().join("folder.mp4");
        std::fs::create_dir(&directory).unwrap();
        assert!(is_video(&directory)); // as named; opening it says what it is
    }
}
