//! Cameras' raw files: the largest preview is found, and nothing hostile does harm.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

mod common;
mod raw_files;

use std::fs;
use std::process::Command;

use common::random;
use decap_media::{Limits, PhotoKind, RgbImage, image, kind_of_head, memory_to_decode};
use raw_files::{
    KINDS, PREVIEW, Tiff, Value, cr2, cr3, jpeg, lossless_jpeg, nef, old_style, strip,
};

fn decoded(bytes: &[u8]) -> Result<RgbImage, decap_media::Error> {
    image::decode(bytes, "photo.raw".as_ref(), &Limits::default())
}

fn is_red(pixel: &[u8]) -> bool {
    pixel[0] > 150 && pixel[2] < 100
}

#[test]
fn the_largest_preview_of_each_kind_is_read_upright() {
    let (width, height) = PREVIEW;
    let preview = jpeg(width, height);
    for (_, name, build) in KINDS {
        let bytes = build(&preview, 1);
        assert_eq!(kind_of_head(&bytes), Some(PhotoKind::Raw(name)));
        let photo = decoded(&bytes).unwrap();
        assert_eq!(
            (photo.width() as usize, photo.height() as usize),
            PREVIEW,
            "{name}"
        );
        assert!(is_red(photo.pixels()), "{name}");
        let told = memory_to_decode(&bytes, None);
        assert!(told >= photo.pixels().len() as u64, "{name}: {told}");
        let reduced = image::decode_reduced(&bytes, name.as_ref(), &Limits::default(), 50).unwrap();
        assert_eq!(reduced.width(), photo.width() / 4, "{name}");

        // Turned by a quarter: red is at the top. A RAF's JPEG has to say that itself.
        let turned = decoded(&build(&preview, 6)).unwrap();
        if !name.ends_with("(RAF)") {
            assert_eq!(
                (turned.height() as usize, turned.width() as usize),
                PREVIEW,
                "{name}"
            );
            assert!(is_red(turned.pixels()), "{name}");
            assert!(
                !is_red(&turned.pixels()[turned.pixels().len() - 3..]),
                "{name}"
            );
        }
    }
}

/// What the preview says of itself counts, as for a RAF.
#[test]
fn the_orientation_of_the_preview_comes_first() {
    let mut preview = jpeg(PREVIEW.0, PREVIEW.1);
    let exif =
        b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
    preview.splice(2..2, exif.iter().copied());
    for (_, name, build) in KINDS {
        let photo = decoded(&build(&preview, 1)).unwrap();
        assert_eq!(
            (photo.height() as usize, photo.width() as usize),
            PREVIEW,
            "{name}"
        );
        assert!(!is_red(photo.pixels()), "{name}");
    }
}

#[test]
fn a_lossless_jpeg_is_never_taken_for_a_preview() {
    let small = jpeg(160, 120);
    for (_, name, build) in KINDS {
        for (what, preview) in [
            ("readings", lossless_jpeg()),
            ("a thumbnail", small.clone()),
        ] {
            if name.ends_with("(CR3)") {
                continue; // has a second preview
            }
            let error = decoded(&build(&preview, 1)).unwrap_err();
            assert_eq!(error.kind(), "unsupported", "{name}, {what}: {error}");
            let expected = format!(
                "photo.raw: this {name} photo holds no JPEG preview that can be read and whose \
                 shorter side has 160 pixels; convert it to JPEG"
            );
            assert_eq!(error.to_string(), expected);
        }
    }
    let photo = decoded(&cr3(&lossless_jpeg(), 1)).unwrap();
    assert_eq!((photo.width(), photo.height()), (240, 160));
}

/// Any answer but a panic: the preview whole, a smaller one, or an error.
#[test]
fn files_cut_short_do_no_harm() {
    let preview = jpeg(PREVIEW.0, PREVIEW.1);
    for (_, name, build) in KINDS {
        let bytes = build(&preview, 1);
        let whole = decoded(&bytes).unwrap();
        let mut read = 0;
        for length in (0..bytes.len()).step_by(97).chain(0..200) {
            match decoded(&bytes[..length.min(bytes.len())]) {
                Ok(part) => {
                    assert!(part == whole || part.width() == 240, "{name} at {length}");
                    read += 1;
                }
                Err(error) => {
                    assert!(
                        !error.to_string().contains("decoder failed"),
                        "{name}: {error}"
                    );
                    let kinds = ["damaged", "unsupported", "empty"];
                    assert!(kinds.contains(&error.kind()), "{name} at {length}: {error}");
                }
            }
        }
        assert!(read < bytes.len() / 97, "{name}: {read}");
    }
    let nef = nef(&preview, 1);
    // The header is whole, the directories are gone.
    let error = decoded(&[b"IIRO".as_slice(), &[0xFF; 60]].concat()).unwrap_err();
    assert_eq!(error.kind(), "damaged", "{error}");
    assert!(decoded(&nef[..nef.len() / 2]).is_err());
}

#[test]
fn directories_in_circles_end() {
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
    let readings = strip(&mut tiff, &lossless_jpeg(), 7);
    let at = tiff.bytes.len().next_multiple_of(2) as u32;
    // It is its own next one and lies within itself.
    let mut entries = readings;
    entries.push((330, Value::Longs(vec![at, at, 8, u32::MAX])));
    entries.push((50706, Value::Bytes(vec![1, 4, 0, 0])));
    // The offsets of the directories within are longer than an entry: they come first.
    let at = at + 16;
    entries[4].1 = Value::Longs(vec![at, at, 8, u32::MAX]);
    let first = tiff.add_directory(&entries, at, 0);
    assert_eq!(first, at);
    let error = decoded(&tiff.starting_at(first)).unwrap_err();
    // One of them lies beyond the end, which is no fault.
    assert_eq!(error.kind(), "unsupported", "{error}");
}

#[test]
fn many_directories_and_offsets_beyond_the_end_do_no_harm() {
    let preview = jpeg(PREVIEW.0, PREVIEW.1);
    for length in [u32::MAX, 1 << 31, preview.len() as u32 + 100_000] {
        let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
        let mut entries = old_style(&mut tiff, &preview);
        entries[3].1 = Value::Longs(vec![length]);
        entries.push((50706, Value::Bytes(vec![1, 4, 0, 0])));
        let first = tiff.add_directory(&entries, 0, 0);
        let error = decoded(&tiff.starting_at(first)).unwrap_err();
        assert_eq!(error.kind(), "damaged", "{error}");
        assert!(error.to_string().contains("cut short"), "{error}");
    }
    // A thousand directories, each with another piece of one JPEG that ends nowhere.
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
    let at = tiff.add(&preview[..preview.len() - 2]);
    let mut next = 0;
    for piece in 0..1000 {
        let entries = [
            (513, Value::Longs(vec![at])),
            (514, Value::Longs(vec![preview.len() as u32 - 2 - piece])),
            (50706, Value::Bytes(vec![1, 4, 0, 0])),
        ];
        next = tiff.add_directory(&entries, next, 0);
    }
    let error = decoded(&tiff.starting_at(next)).unwrap_err();
    assert_eq!(error.kind(), "damaged", "{error}");
}

#[test]
fn a_bomb_within_a_raw_file_is_refused() {
    let mut preview = jpeg(PREVIEW.0, PREVIEW.1);
    let frame = preview
        .windows(2)
        .position(|it| it == [0xFF, 0xC0])
        .unwrap();
    preview[frame + 5..][..4].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
    let error = decoded(&cr2(&preview, 1)).unwrap_err();
    assert_eq!(error.kind(), "too_large", "{error}");
}

#[test]
fn flipped_bytes_in_raw_files_do_no_harm() {
    let mut random = random();
    let preview = jpeg(PREVIEW.0, PREVIEW.1);
    let mut limits = Limits::default();
    limits.pixels = 1 << 20;
    limits.decoder_bytes = 64 << 20;
    for (_, _, build) in KINDS {
        let whole = build(&preview, 6);
        for _ in 0..100 {
            let mut bytes = whole.clone();
            // The directories lie at the end, in CR3 and RAF at the start.
            let length = bytes.len();
            for at in [random() % 300, length - 1 - random() % 300] {
                bytes[at] = random() as u8;
            }
            if let Err(error) = image::decode(&bytes, "a.raw".as_ref(), &limits) {
                assert!(!error.to_string().contains("decoder failed"), "{error}");
            }
        }
    }
}

/// Another reader finds the same previews, so the files are built as cameras build them.
#[test]
fn exiftool_finds_the_same_previews() {
    if Command::new("exiftool").arg("-ver").output().is_err() {
        skipped::skip("exiftool");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let preview = jpeg(PREVIEW.0, PREVIEW.1);
    for (ending, name, build) in KINDS {
        let path = folder.path().join(format!("photo.{ending}"));
        fs::write(&path, build(&preview, 1)).unwrap();
        // Of a CR3 it takes the smaller one, unless the tracks are described in full.
        let expected = match ending {
            "cr3" => jpeg(240, 160),
            _ => preview.clone(),
        };
        let finds = ["-JpgFromRaw", "-PreviewImage", "-OtherImage"]
            .iter()
            .any(|tag| {
                let output = Command::new("exiftool")
                    .args(["-b", tag])
                    .arg(&path)
                    .output();
                output.unwrap().stdout == expected
            });
        assert!(finds, "{name}");
    }
}
