//! AVIF, against what libavif makes of it (`tools/reference/new_formats_golden.sh` writes the files).

#![cfg(feature = "avif")]
#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

mod common;

use std::fs;

use common::{data, decoded, largest_difference, random};
use decap_media::{Limits, RgbImage, image, memory_to_decode};

/// libavif converts some kinds with integers, decap all with floats.
const TOLERANCE: u8 = 2;

/// Premultiplied colours of little coverage are divided by small numbers, before or after rounding.
const PREMULTIPLIED_TOLERANCE: u8 = 3;

/// The image whose pixel at (x, y) is that of `image` at what `from` makes of it.
fn moved(
    image: &RgbImage,
    (width, height): (u32, u32),
    from: impl Fn(u32, u32) -> (u32, u32),
) -> RgbImage {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (x, y) = from(x, y);
            let at = 3 * (y * image.width() + x) as usize;
            pixels.extend(&image.pixels()[at..at + 3]);
        }
    }
    RgbImage::new(width, height, pixels).unwrap()
}

#[test]
fn pixels_are_those_of_libavif() {
    assert_eq!(decoded("avif/lossless.avif"), decoded("media/rgb.png"));
    for name in [
        "yuv444",
        "yuv422",
        "yuv420",
        "grey",
        "alpha",
        "limited",
        "bt709_limited_420",
        "bt2020_10_bits",
        "bits_12",
        "ycgco",
        "premultiplied",
    ] {
        let ours = decoded(&format!("avif/{name}.avif"));
        let difference = largest_difference(&ours, &decoded(&format!("avif/{name}.avif.png")));
        let tolerance = match name {
            "premultiplied" => PREMULTIPLIED_TOLERANCE,
            _ => TOLERANCE,
        };
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

/// avifdec leaves pictures as they lie.
#[test]
fn pictures_are_turned_and_mirrored() {
    let check = |name: &str, size: (u32, u32), from: &dyn Fn(u32, u32) -> (u32, u32)| {
        let expected = moved(&decoded(&format!("avif/{name}.avif.png")), size, from);
        let difference = largest_difference(&decoded(&format!("avif/{name}.avif")), &expected);
        assert!(difference <= TOLERANCE, "{name}: {difference}");
    };
    let (width, height) = (24, 16);
    // A quarter against the clock: what was at the right is at the top.
    check("turned", (height, width), &|x, y| (width - 1 - y, x));
    check("mirrored", (width, height), &|x, y| (x, height - 1 - y));
    // A quarter with the clock, then left and right exchanged.
    check("turned_mirrored", (height, width), &|x, y| (y, x));
}

#[test]
fn the_tiles_of_a_grid_are_put_together() {
    let (ours, before) = (decoded("avif/grid.avif"), decoded("media/photo.jpg"));
    assert_eq!((ours.width(), ours.height()), (400, 300));
    let pairs = ours.pixels().iter().zip(before.pixels());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let mean = sum / ours.pixels().len() as f64;
    assert!(mean < 8.0, "{mean}"); // much was lost when it was compressed
}

#[test]
fn limits_hold_before_pixels_are_decoded() {
    let bytes = fs::read(data("avif/grid.avif")).unwrap();
    let told = memory_to_decode(&bytes, None);
    assert!(told > 400 * 300 * 3, "{told}");
    let mut limits = [Limits::default(), Limits::default(), Limits::default()];
    limits[0].pixels = 1000;
    limits[1].edge = 100;
    limits[2].decoder_bytes = 1000;
    for limits in limits {
        let error = image::decode(&bytes, "a.avif".as_ref(), &limits).unwrap_err();
        assert_eq!(error.kind(), "too_large", "{error}");
    }
    // The container tells a smaller size than the frame has.
    let mut bytes = fs::read(data("avif/yuv444.avif")).unwrap();
    let size = bytes.windows(4).position(|it| it == b"ispe").unwrap() + 8;
    bytes[size + 3] = 8;
    let error = image::decode(&bytes, "a.avif".as_ref(), &Limits::default()).unwrap_err();
    assert!(["damaged", "too_large"].contains(&error.kind()), "{error}");
}

#[test]
fn damaged_files_do_no_harm() {
    let rounds = std::env::var("DECAP_TEST_ROUNDS").map_or(100, |it| it.parse().unwrap());
    let mut random = random();
    let mut limits = Limits::default();
    limits.pixels = 1 << 20;
    limits.decoder_bytes = 64 << 20;
    for entry in fs::read_dir(data("avif")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "avif") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        if whole.len() > 4096 {
            continue;
        }
        let pixels = image::decode(&whole, &path, &limits).unwrap();
        for part in 0..32 {
            match image::decode(&whole[..whole.len() * part / 32], &path, &limits) {
                Ok(cut) => assert!(cut == pixels, "{} at {part}/32", path.display()),
                Err(error) => {
                    let kinds = ["damaged", "unsupported", "empty"];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
        for _ in 0..rounds {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let _any = image::decode(&bytes, &path, &limits);
        }
    }
}
