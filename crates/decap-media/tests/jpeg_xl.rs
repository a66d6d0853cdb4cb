//! JPEG XL, against what libjxl makes of it (`tools/reference/new_formats_golden.sh` writes the files).

#![cfg(feature = "jxl")]
#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

mod common;

use std::fs;

use common::{data, decoded, largest_difference, random};
use decap_media::{Limits, image, memory_to_decode};

/// Lossy pixels differ by the rounding of floats.
const LOSSY_TOLERANCE: u8 = 2;

/// A JPEG's pixels differ also by what its own decoder rounds.
const JPEG_TOLERANCE: u8 = 4;

/// The high byte of 16 bits is rounded by one decoder and cut by the other.
const ROUNDING: u8 = 1;

#[test]
fn pixels_are_those_of_libjxl() {
    for (name, expected, tolerance) in [
        ("rgb.jxl", "media/rgb.png", 0),
        ("rgba.jxl", "media/rgba.png", 0),
        ("grey.jxl", "media/grey.png", 0),
        ("grey_alpha.jxl", "media/grey_alpha.png", 0),
        ("grey16.jxl", "media/grey16.png", ROUNDING),
        ("animated.jxl", "media/animated.gif", 0),
        ("lossy.jxl", "jxl/lossy.jxl.png", LOSSY_TOLERANCE),
        (
            "lossy_alpha.jxl",
            "jxl/lossy_alpha.jxl.png",
            LOSSY_TOLERANCE,
        ),
        (
            "orientation_6.jxl",
            "media/orientation_6.jpg",
            JPEG_TOLERANCE,
        ),
    ] {
        let difference = largest_difference(&decoded(&format!("jxl/{name}")), &decoded(expected));
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

#[test]
fn a_photo_of_several_groups_looks_as_before() {
    let (ours, before) = (decoded("jxl/photo.jxl"), decoded("media/photo.jpg"));
    let pairs = ours.pixels().iter().zip(before.pixels());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let mean = sum / ours.pixels().len() as f64;
    assert!(mean < 8.0, "{mean}"); // it was made with a distance of 6
}

#[test]
fn linear_light_is_brought_to_the_curve_of_srgb() {
    let photo = decoded("jxl/linear.jxl");
    for value in photo.pixels() {
        assert!(value.abs_diff(127) <= LOSSY_TOLERANCE, "{value}");
    }
}

#[test]
fn limits_hold_before_pixels_are_decoded() {
    let bytes = fs::read(data("jxl/photo.jxl")).unwrap();
    let told = memory_to_decode(&bytes, None);
    assert!(told > 400 * 300 * 3, "{told}");
    let mut limits = [Limits::default(), Limits::default(), Limits::default()];
    limits[0].pixels = 1000;
    limits[1].edge = 100;
    limits[2].decoder_bytes = 1000;
    for limits in limits {
        let error = image::decode(&bytes, "a.jxl".as_ref(), &limits).unwrap_err();
        assert_eq!(error.kind(), "too_large", "{error}");
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let mut random = random();
    let mut limits = Limits::default();
    limits.pixels = 1 << 20;
    limits.decoder_bytes = 64 << 20;
    for entry in fs::read_dir(data("jxl")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "jxl") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        let pixels = image::decode(&whole, &path, &limits).unwrap();
        for part in 0..16 {
            match image::decode(&whole[..whole.len() * part / 16], &path, &limits) {
                Ok(cut) => assert!(cut == pixels, "{} at {part}/16", path.display()),
                Err(error) => {
                    let kinds = ["damaged", "unsupported", "empty"];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let _any = image::decode(&bytes, &path, &limits);
        }
    }
}
