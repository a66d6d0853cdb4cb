//! Photos that nothing is written into get an `.xmp` file. Camera raw files whose first directory lies far
//! behind their start pass for TIFFs at first sight.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use decap::media::{HEAD_BYTES, PhotoKind, kind_of_head};
use decap_sources::metadata::{CaptionToWrite, Field, write_caption};
use decap_sources::{Existing, PlaceOptions, undo_at, write_to};

/// A TIFF of one grey pixel whose directory lies behind its pixels and `padding` bytes; with more entries.
fn tiff(padding: usize, more: &[[u8; 12]]) -> Vec<u8> {
    let entry = |tag: u16, value: u32| {
        let mut entry = [0; 12];
        entry[..2].copy_from_slice(&tag.to_le_bytes());
        entry[2] = 4;
        entry[4] = 1;
        entry[8..].copy_from_slice(&value.to_le_bytes());
        entry
    };
    let mut tiff = b"II*\0".to_vec();
    tiff.extend((8 + padding as u32).to_le_bytes());
    tiff.resize(8 + padding, 90);
    let mut entries: Vec<[u8; 12]> = [
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (278, 1),
        (279, 1),
    ]
    .map(|(tag, value)| entry(tag, value))
    .to_vec();
    entries.extend(more);
    tiff.extend((entries.len() as u16).to_le_bytes());
    tiff.extend(entries.concat());
    tiff.extend([0; 4]);
    tiff
}

/// `DNGVersion` 1.4.
const DNG_VERSION: [u8; 12] = *b"\x12\xC6\x01\0\x04\0\0\0\x01\x04\0\0";

const CAPTION: CaptionToWrite<'_> = CaptionToWrite {
    text: "a dog on a sofa",
    alt_text: "",
    fields: &[Field::Description],
    existing: Existing::Ours,
    model: "tiny",
    run: "fd4d107ff86a78ff1ef820626ca5d13b",
    by_hand: false,
};

#[test]
fn a_raw_file_with_a_late_directory_is_never_written_into() {
    let folder = tempfile::tempdir().unwrap();
    for padding in [2, 2 * HEAD_BYTES] {
        let raw = tiff(padding, &[DNG_VERSION]);
        if padding > HEAD_BYTES {
            let head = kind_of_head(&raw[..HEAD_BYTES]);
            assert_eq!(head, Some(PhotoKind::Tiff), "it is told by all bytes alone");
        }
        let fault = write_caption(&raw, &CAPTION).err().map(|it| it.kind());
        assert_eq!(fault, Some("unsupported"));

        let path = folder.path().join(format!("{padding}.dng"));
        fs::write(&path, &raw).unwrap();
        let outcome = write_to(&path, None, &CAPTION, &PlaceOptions::default()).unwrap();
        let beside = folder.path().join(format!("{padding}.dng.xmp"));
        assert_eq!(outcome.path, beside);
        assert!(fs::read(&path).unwrap() == raw);
        assert!(fs::read_to_string(&beside).unwrap().contains(CAPTION.text));

        let undone = undo_at(&path, &PlaceOptions::default()).unwrap();
        assert_eq!(undone.len(), 1);
        assert!(!beside.exists());
        assert!(fs::read(&path).unwrap() == raw);
    }
}

#[test]
fn a_tiff_with_a_late_directory_is_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.tif");
    fs::write(&path, tiff(2 * HEAD_BYTES, &[])).unwrap();
    let outcome = write_to(&path, None, &CAPTION, &PlaceOptions::default()).unwrap();
    assert_eq!(outcome.path, path);
}

#[test]
fn exiftool_reads_the_files_beside_photos_of_all_kinds() {
    if Command::new("exiftool").arg("-ver").output().is_err() {
        skipped::skip("exiftool");
        return;
    }
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../decap-media/tests/data");
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.dng", tiff(2, &[DNG_VERSION])),
        ("a.avif", fs::read(data.join("avif/yuv420.avif")).unwrap()),
        ("a.jxl", fs::read(data.join("jxl/lossy.jxl")).unwrap()),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom".to_vec()),
        ("a.raf", b"FUJIFILMCCD-RAW 0201".to_vec()),
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let outcome = write_to(&path, None, &CAPTION, &PlaceOptions::default()).unwrap();
        assert_eq!(outcome.path, folder.path().join(format!("{name}.xmp")));
        assert!(fs::read(&path).unwrap() == bytes, "{name}");
        let output = Command::new("exiftool")
            .args(["-s3", "-XMP-dc:Description"])
            .arg(&outcome.path)
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.trim_end(), CAPTION.text, "{name}");
    }
}
