//! Photos that are none, or not whole, or too much: each an error that says so, never a panic.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::random;
use decap_media::{Error, InputFault};
use decap_media::{Limits, image};

fn fixtures() -> Vec<PathBuf> {
    fixtures_of("media")
}

fn fixtures_of(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it != "safetensors"))
        .collect();
    paths.sort();
    paths
}

fn kind_of(bytes: &[u8]) -> &'static str {
    match image::decode(bytes, "photo".as_ref(), &Limits::default()) {
        Ok(_) => "ok",
        Err(error) => error.kind(),
    }
}

/// A PNG's signature and header, claiming `width` x `height` 8-bit RGB pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes.extend([0; 4]); // a wrong check sum: nothing may be reached behind the size
    bytes
}

#[test]
fn what_is_no_photo_is_told_apart() {
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("zero bytes", vec![], "empty"),
        (
            "a text file named .jpg",
            b"a man rides a horse\n".to_vec(),
            "unsupported",
        ),
        ("zeros", vec![0; 4096], "unsupported"),
        (
            "an SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "unsupported",
        ),
        (
            "an icon",
            vec![0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "unsupported",
        ),
        (
            "60,000 x 60,000 pixels",
            png_header(60_000, 60_000),
            "too_large",
        ),
        ("a long edge", png_header(2_000_000, 1), "too_large"),
        ("no pixels", png_header(0, 10), "damaged"),
        ("a start of JPEG", vec![0xFF, 0xD8, 0xFF], "damaged"),
    ];
    for (name, bytes, kind) in cases {
        assert_eq!(kind_of(&bytes), kind, "{name}");
    }
}

/// Pictures of other kinds are told by their first bytes and named.
#[test]
fn pictures_that_are_not_read_are_named() {
    let cases: [(&[u8], &str); 5] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"FOVb\0\0\x02\0\0\0\0\0\0\0", "camera raw (X3F)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\0\0", "icon (ICO)"),
        (b"8BPS\0\x01\0\0\0\0\0\0", "Photoshop (PSD)"),
    ];
    for (bytes, name) in cases {
        let error = image::decode(bytes, "a.jpg".as_ref(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), "unsupported");
        let message = format!("a.jpg: {name} photos are not read; convert it to JPEG or PNG");
        assert_eq!(error.to_string(), message);
    }
}

/// What a build lacks is said, with what to do.
#[test]
fn what_is_not_built_in_is_named() {
    let cases: [(&[u8], &str, &str, bool); 2] = [
        (b"\xFF\x0A\xFA\x7F", "JPEG XL", "jxl", cfg!(feature = "jxl")),
        (
            b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
            "AVIF",
            "avif",
            cfg!(feature = "avif"),
        ),
    ];
    for (bytes, name, feature, is_built_in) in cases {
        let error = image::decode(bytes, "a.jpg".as_ref(), &Limits::default()).unwrap_err();
        match is_built_in {
            true => assert_eq!(error.kind(), "damaged"),
            false => assert_eq!(
                error.to_string(),
                format!(
                    "a.jpg: {name} photos are not read by this build, which lacks the feature \
                     `{feature}`; convert it to JPEG or PNG"
                )
            ),
        }
    }
}

/// Its decoder panics on a palette that ends within a colour. Run in a process of its own, whose
/// standard error must stay empty.
#[test]
fn a_panic_in_a_decoder_is_silent() {
    const CHILD: &str = "DECAP_TEST_PANIC_CHILD";
    let check_sum = |data: &[u8]| {
        let mut check_sum = flate2::Crc::new();
        check_sum.update(data);
        check_sum.sum().to_be_bytes()
    };
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let length = (data.len() as u32).to_be_bytes();
        let rest = [&kind[..], data].concat();
        [&length[..], &rest, &check_sum(&rest)].concat()
    };
    let png = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", b"\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0"),
        chunk(b"PLTE", &[1, 2, 3, 4]),
        chunk(b"IDAT", b"\x78\x01\x01\x02\0\xfd\xff\0\x01\0\x03\0\x02"),
        chunk(b"IEND", &[]),
    ]
    .concat();
    if std::env::var_os(CHILD).is_some() {
        let error = image::decode(&png, "a.png".as_ref(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), "unsupported", "{error}");
        assert_eq!(
            error.to_string(),
            "a.png: the PNG decoder failed on it: it is damaged or of a rare kind; \
             convert it to JPEG or PNG"
        );
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_in_a_decoder_is_silent", "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Opening a pipe waits until somebody writes to it.
#[cfg(unix)]
#[test]
fn a_pipe_named_as_a_photo_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("photo.jpg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = image::open(path, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), "io");
        assert!(
            error
                .to_string()
                .contains("expected a file, got a pipe or device"),
            "{error}"
        );
    }
}

/// Each format's header alone claims more pixels than may be; no decoder gets to ask for memory.
#[test]
fn every_format_is_refused_by_its_header() {
    let side = 60_000_u32;
    let edge = (side as u16).to_le_bytes();
    let gif = [
        b"GIF89a",
        &edge[..],
        &edge,
        b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0",
    ]
    .concat();
    let gif = [&gif[..], &edge, &edge, b"\0\x02\x02L\x01\0;"].concat();
    let long = side.to_le_bytes();
    let bmp = [
        b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        &long[..],
        &long,
    ]
    .concat();
    let bmp = [&bmp[..], b"\x01\0\x18\0", &[0; 124]].concat();
    // An extended WebP says its size less one, in three bytes each; 16,383 is the most there is.
    let webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xff\x3f\0VP8 \0\0\0\0".to_vec();
    let jpeg = fixtures()
        .into_iter()
        .find(|path| path.ends_with("photo.jpg"));
    let mut jpeg = fs::read(jpeg.unwrap()).unwrap();
    let start_of_frame = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap();
    let edge = (side as u16).to_be_bytes();
    jpeg[start_of_frame + 5..][..4].copy_from_slice(&[edge, edge].concat());
    for (name, bytes) in [("GIF", gif), ("BMP", bmp), ("WebP", webp), ("JPEG", jpeg)] {
        assert_eq!(kind_of(&bytes), "too_large", "{name}");
    }
}

/// What is cut off an animation or behind the pixels does not matter; all else is no photo any more.
#[test]
fn a_photo_cut_short_is_damaged() {
    for path in fixtures().into_iter().chain(fixtures_of("odd_photos")) {
        let bytes = fs::read(&path).unwrap();
        let decode = |bytes| image::decode(bytes, &path, &Limits::default());
        let whole = decode(&bytes).unwrap();
        for eighths in 1..8 {
            match decode(&bytes[..bytes.len() * eighths / 8]) {
                Ok(part) => assert!(part == whole, "{} at {eighths}/8", path.display()),
                Err(error) => assert!(
                    ["damaged", "unsupported"].contains(&error.kind()),
                    "{error} at {eighths}/8"
                ),
            }
        }
    }
}

#[test]
fn a_jpeg_without_its_last_tenth_is_damaged() {
    let bytes = fs::read(
        fixtures()
            .into_iter()
            .find(|it| it.ends_with("photo.jpg"))
            .unwrap(),
    );
    let bytes = bytes.unwrap();
    let error = image::decode(
        &bytes[..bytes.len() * 9 / 10],
        "a.jpg".as_ref(),
        &Limits::default(),
    );
    let error = error.unwrap_err();
    assert!(matches!(
        &error,
        Error::Input {
            fault: InputFault::Damaged(_),
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "a.jpg: cut short: the end of the photo is missing"
    );
}

/// A hundred damaged copies of every fixture: any answer but a panic or an endless loop.
#[test]
fn flipped_bytes_do_no_harm() {
    let mut random = random();
    let limits = {
        let mut options = Limits::default();
        options.pixels = 1 << 20;
        options.decoder_bytes = 64 << 20;
        options
    };
    for path in fixtures().into_iter().chain(fixtures_of("odd_photos")) {
        let whole = fs::read(&path).unwrap();
        if whole.len() > 4096 {
            continue;
        }
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            if let Err(error) = image::decode(&bytes, &path, &limits) {
                assert!(!error.to_string().contains("decoder failed"), "{error}");
            }
        }
    }
}

#[test]
fn limits_are_kept() {
    let path = fixtures()
        .into_iter()
        .find(|path| path.ends_with("photo.jpg"))
        .unwrap();
    let cases = [
        {
            let mut options = Limits::default();
            options.file_bytes = 1000;
            options
        },
        {
            let mut options = Limits::default();
            options.pixels = 1000;
            options
        },
        {
            let mut options = Limits::default();
            options.edge = 100;
            options
        },
        {
            let mut options = Limits::default();
            options.decoder_bytes = 1000;
            options
        },
    ];
    for limits in cases {
        let error = image::open(&path, &limits).unwrap_err();
        assert_eq!(error.kind(), "too_large", "{limits:?}: {error}");
        assert!(error.to_string().contains("photo.jpg"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = image::open(folder.path().join("none.jpg"), &Limits::default()).unwrap_err();
    assert_eq!(missing.kind(), "not_found");
    assert!(missing.to_string().contains("none.jpg"));
    let not_a_file = image::open(folder.path(), &Limits::default()).unwrap_err();
    assert!(matches!(not_a_file, Error::Io { .. }), "{not_a_file}");
}
