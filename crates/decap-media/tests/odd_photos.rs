//! Rare kinds of photos, against what Pillow makes of them (`tools/reference/odd_photos_golden.py`
//! writes the files), and files built here whose right reading is plain.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use decap_media::{Limits, RgbImage, image};
use flate2::Crc;
use flate2::write::ZlibEncoder;
use safetensors::SafeTensors;

/// libtiff converts YCbCr with numbers of 16 bits, decap with floats.
const YCBCR_TOLERANCE: u8 = 1;

#[test]
fn odd_photos_decode_as_in_pillow() {
    let folder = data("odd_photos");
    let bytes = fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let mut compared = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "expected.safetensors" {
            continue;
        }
        let key = if name.starts_with("fax_") {
            "fax"
        } else {
            name
        };
        let theirs = expected.tensor(key).unwrap();
        let ours = image::open(&path, &Limits::default()).unwrap();
        let shape = [ours.height() as usize, ours.width() as usize, 3];
        assert_eq!(theirs.shape(), shape, "{name}");
        let tolerance = if name.starts_with("ycbcr") {
            YCBCR_TOLERANCE
        } else {
            0
        };
        let pairs = ours.pixels().iter().zip(theirs.data());
        let difference = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(difference <= tolerance, "{name}: {difference}");
        // The scaled decoder of the JPEG crate must not be asked for what it gets wrong.
        let reduced = image::open_reduced(&path, &Limits::default(), 8).unwrap();
        if !name.ends_with(".jpg") {
            assert_eq!(reduced, ours, "{name}");
        } else {
            let brightness = |image: &RgbImage| {
                let sum: f64 = image.pixels().iter().map(|&it| f64::from(it)).sum();
                sum / image.pixels().len() as f64
            };
            let difference = (brightness(&reduced) - brightness(&ours)).abs();
            assert!(difference < 8.0, "{name}: {difference}");
        }
        compared += 1;
    }
    assert_eq!(compared, 78);
}

#[test]
fn a_colour_sampled_at_fractions_of_pixels_is_unsupported() {
    let mut jpeg = fs::read(data("odd_photos").join("luma_3x1.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap();
    assert_eq!(jpeg[frame + 11], 0x31);
    jpeg[frame + 14] = 0x21;
    assert_unsupported(&jpeg, "sampled at a fraction of a pixel");
}

/// Every type of number that can be an orientation, in both byte orders, in all places that Pillow
/// looks at.
#[test]
fn every_integer_type_tells_the_orientation() {
    const TYPES: [(u16, usize); 7] = [(1, 1), (3, 2), (4, 4), (6, 1), (8, 2), (9, 4), (13, 4)];
    let (upright, turned) = (rgb_png(), 6);
    let expected = rotated_right(&decoded(&upright));
    for is_big in [false, true] {
        for (kind, bytes) in TYPES {
            let exif = exif(is_big, kind, bytes, turned);
            let prefixed = [b"Exif\0\0", &exif[..]].concat();
            let case = format!("type {kind}, big-endian {is_big}");
            for (place, photo) in [
                ("JPEG", with_app1(&rgb_jpeg(), &prefixed)),
                ("PNG", with_chunk(&upright, b"eXIf", &exif)),
                ("PNG with prefix", with_chunk(&upright, b"eXIf", &prefixed)),
                (
                    "PNG text",
                    with_chunk(&upright, b"zTXt", &raw_profile(&prefixed)),
                ),
                ("WebP", webp_with(b"EXIF", &exif)),
                ("WebP with prefix", webp_with(b"EXIF", &prefixed)),
            ] {
                let image = decoded(&photo);
                let right = match place {
                    "JPEG" => rotated_right(&decoded(&rgb_jpeg())),
                    _ => expected.clone(),
                };
                assert_eq!(image, right, "{place}, {case}");
            }
            let mut tiff = orientation_tiff(is_big, kind, bytes, turned);
            let image = decoded(&tiff);
            assert_eq!((image.width(), image.height()), (1, 2), "TIFF, {case}");
            assert_eq!(image.pixels(), [7, 7, 7, 200, 200, 200], "TIFF, {case}");
            tiff.truncate(tiff.len() - 4); // the offset of a next page is no part of it
            assert_eq!(decoded(&tiff), image, "TIFF, {case}");
        }
    }
}

#[test]
fn what_is_no_orientation_is_ignored() {
    let upright = rgb_png();
    let expected = decoded(&upright);
    let whole = exif(true, 3, 2, 6);
    let broken: [Vec<u8>; 7] = [
        exif(false, 4, 4, 0),
        exif(false, 4, 4, 9),
        exif(true, 9, 4, u32::MAX),
        exif(true, 2, 1, 6),
        b"MM".to_vec(),
        whole[..20].to_vec(),
        [&whole[..4], &[0xFF; 4], &whole[8..]].concat(),
    ];
    for (index, block) in broken.iter().enumerate() {
        let png = with_chunk(&upright, b"eXIf", block);
        assert_eq!(decoded(&png), expected, "block {index}");
        let jpeg = with_app1(&rgb_jpeg(), &[b"Exif\0\0", &block[..]].concat());
        assert_eq!(decoded(&jpeg), decoded(&rgb_jpeg()), "block {index}");
    }
}

#[test]
fn xmp_tells_the_orientation_where_exif_does_not() {
    let upright = rgb_png();
    let expected = rotated_right(&decoded(&upright));
    for packet in [
        "<rdf:Description tiff:Orientation=\"6\"/>",
        "<tiff:Orientation>6</tiff:Orientation>",
    ] {
        let head = b"XML:com.adobe.xmp\0";
        let plain = [&head[..], b"\0\0\0\0", packet.as_bytes()].concat();
        let packed = [&head[..], b"\x01\0\0\0", &deflated(packet.as_bytes())].concat();
        for text in [plain, packed] {
            assert_eq!(decoded(&with_chunk(&upright, b"iTXt", &text)), expected);
        }
        let segment = [b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat();
        let jpeg = with_app1(&rgb_jpeg(), &segment);
        assert_eq!(decoded(&jpeg), rotated_right(&decoded(&rgb_jpeg())));
        assert_eq!(decoded(&webp_with(b"XMP ", packet.as_bytes())), expected);
        let exif = [b"Exif\0\0", &exif(false, 3, 2, 1)[..]].concat();
        let both = with_app1(&jpeg, &exif);
        assert_eq!(decoded(&both), decoded(&rgb_jpeg()), "EXIF counts first");
    }
}

#[test]
fn a_png_is_whole_once_its_pixels_are() {
    let png = rgb_png();
    let expected = decoded(&png);
    // Without the end mark, with half of it, without the check sum of the last pixels.
    for missing in [12, 5, 16] {
        assert_eq!(decoded(&png[..png.len() - missing]), expected, "{missing}");
    }
    let error = image::decode(&png[..png.len() - 60], "a.png".as_ref(), &Limits::default());
    assert_eq!(error.unwrap_err().kind(), "damaged");
}

#[test]
fn a_gif_s_screen_is_bounded_by_its_bytes() {
    let gif = |screen: u16, left: u16| {
        let (edge, left) = (screen.to_le_bytes(), left.to_le_bytes());
        let head = [
            b"GIF89a",
            &edge[..],
            &edge,
            b"\x80\0\0\x01\x02\x03\xff\xff\xff,",
        ]
        .concat();
        [&head[..], &left, b"\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0;"].concat()
    };
    let error = image::decode(&gif(16_000, 0), "a.gif".as_ref(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), "too_large", "{error}");
    // The frame is the second colour; around it is the first.
    let small = decoded(&gif(2, 1));
    assert_eq!(small.pixels(), [1, 2, 3, 255, 255, 255, 1, 2, 3, 1, 2, 3]);
}

/// Every header that has a mask for alpha, with and without use of it.
#[test]
fn an_unset_alpha_of_a_bmp_is_no_transparency() {
    for header_bytes in [56, 108, 124] {
        for (alpha, expected) in [
            ([0, 0], [10, 20, 30, 40, 50, 60]),
            ([255, 0], [10, 20, 30, 255, 255, 255]),
            ([255, 255], [10, 20, 30, 40, 50, 60]),
        ] {
            let pixels = [30, 20, 10, alpha[0], 60, 50, 40, alpha[1]];
            let masks = [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000];
            let image = decoded(&bmp(header_bytes, 32, 3, &masks, &pixels));
            assert_eq!(image.pixels(), expected, "{header_bytes} {alpha:?}");
        }
        // One bit of alpha, unset: 5 bits of 31, 0 and 31.
        let masks = [0x7C00, 0x3E0, 0x1F, 0x8000];
        let image = decoded(&bmp(header_bytes, 16, 3, &masks, &[0x1F, 0x7C, 0xE0, 0x03]));
        assert_eq!(image.pixels(), [255, 0, 255, 0, 255, 0], "{header_bytes}");
    }
}

#[test]
fn bmp_headers_of_all_kinds_are_read() {
    let raw = [30, 20, 10, 60, 50, 40, 0, 0];
    let with_gap = [30, 20, 10, 0, 60, 50, 40, 0];
    let rgb = [10, 20, 30, 40, 50, 60];
    let masks = [0xFF_0000, 0xFF00, 0xFF];
    let four_masks = [0xFF_0000, 0xFF00, 0xFF, 0];
    for header_bytes in [12, 40, 52, 56, 64, 108, 124] {
        assert_eq!(
            decoded(&bmp(header_bytes, 24, 0, &[], &raw)).pixels(),
            rgb,
            "{header_bytes}"
        );
        if header_bytes != 12 {
            let image = decoded(&bmp(header_bytes, 32, 0, &[], &with_gap));
            assert_eq!(image.pixels(), rgb, "{header_bytes}");
        }
        if ![12, 64].contains(&header_bytes) {
            let image = decoded(&bmp(header_bytes, 24, 3, &masks, &raw));
            assert_eq!(image.pixels(), rgb, "{header_bytes}");
        }
    }
    assert_eq!(
        decoded(&bmp(40, 32, 6, &four_masks, &with_gap)).pixels(),
        rgb
    );
    for (header_bytes, bits, compression) in [(16, 24, 0), (64, 1, 3), (40, 24, 4), (12, 32, 0)] {
        let bytes = bmp(header_bytes, bits, compression, &[], &raw);
        assert_unsupported(&bytes, "a BMP with");
    }
}

#[test]
fn float_samples_beyond_their_range_are_clipped() {
    let floats = [-1.0_f32, 0.0, 0.5, 1.0, 7.0, f32::NAN];
    let mut tiff = Tiff::grey(6, 1, 32);
    tiff.set(339, 3, 3);
    let image = decoded(&tiff.bytes(&floats.map(f32::to_le_bytes).concat()));
    let grey: Vec<u8> = image
        .pixels()
        .chunks_exact(3)
        .map(|pixel| pixel[0])
        .collect();
    assert_eq!(grey, [0, 0, 128, 255, 255, 0]);
    let sensor = floats.map(|_| 40_000.0_f32.to_le_bytes()).concat();
    assert_unsupported(&tiff.bytes(&sensor), "far above 255");
}

#[test]
fn tiffs_that_cannot_be_read_are_told_apart_from_damaged_ones() {
    for (tag, value, message) in [
        (259, 50000, "Zstandard compression"),
        (259, 6, "old-style JPEG"),
        (262, 8, "Lab colours"),
        (339, 2, "signed samples"),
        (284, 3, "planar configuration 3"),
    ] {
        let mut tiff = Tiff::grey(2, 1, 16);
        tiff.set(tag, 3, value);
        assert_unsupported(&tiff.bytes(&[1, 2, 3, 4]), message);
    }
    let cut = Tiff::grey(100, 100, 8).bytes(&[1; 50]);
    let error = image::decode(&cut, "a.tif".as_ref(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), "damaged", "{error}");
    let mut wide = Tiff::grey(1, 1, 8);
    wide.set(322, 4, 0x7FFF_FFFF);
    wide.set(323, 4, 0x7FFF_FFFF);
    wide.set(324, 4, 8);
    let error = image::decode(&wide.bytes(&[1]), "a.tif".as_ref(), &Limits::default());
    assert_eq!(error.unwrap_err().kind(), "too_large");
}

/// A camera's raw file begins with a thumbnail that must not pass for the photo.
#[test]
fn camera_raw_files_without_a_preview_are_named() {
    let thumbnail = || {
        let mut tiff = Tiff::grey(2, 1, 8);
        tiff.set(254, 4, 1);
        tiff
    };
    let mut plain = thumbnail();
    assert_eq!(
        decoded(&plain.bytes(&[7, 200])).pixels(),
        [7, 7, 7, 200, 200, 200]
    );
    plain.set(330, 7, 0);
    assert_unsupported(
        &plain.bytes(&[7, 200]),
        "this camera raw photo holds no JPEG preview",
    );
    let mut dng = Tiff::grey(2, 1, 8);
    dng.set(50706, 1, 1);
    assert_unsupported(
        &dng.bytes(&[7, 200]),
        "this camera raw (DNG) photo holds no JPEG preview",
    );
    let mut sensor = Tiff::grey(2, 1, 8);
    sensor.set(262, 3, 32803);
    assert_unsupported(
        &sensor.bytes(&[7, 200]),
        "this camera raw photo holds no JPEG preview",
    );
}

fn assert_unsupported(bytes: &[u8], message: &str) {
    let error = image::decode(bytes, "photo".as_ref(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), "unsupported", "{error}");
    assert!(
        error.to_string().contains(message),
        "{error}, not {message}"
    );
    assert!(error.to_string().contains("convert it to"), "{error}");
}

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(folder)
}

fn rgb_png() -> Vec<u8> {
    fs::read(data("media").join("rgb.png")).unwrap()
}

fn rgb_jpeg() -> Vec<u8> {
    fs::read(data("media").join("rgb444.jpg")).unwrap()
}

fn decoded(bytes: &[u8]) -> RgbImage {
    image::decode(bytes, "photo".as_ref(), &Limits::default()).unwrap()
}

/// A quarter turn to the right: what orientation 6 asks for.
fn rotated_right(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixel = |x: usize, y: usize| &image.pixels()[(y * width + x) * 3..][..3];
    let pixels = (0..width).flat_map(|y| (0..height).flat_map(move |x| pixel(y, height - 1 - x)));
    RgbImage::new(image.height(), image.width(), pixels.copied().collect()).unwrap()
}

/// An EXIF block that says nothing but its orientation, as a number of `bytes` bytes.
fn exif(is_big: bool, kind: u16, bytes: usize, orientation: u32) -> Vec<u8> {
    let mut tiff = Tiff {
        is_big,
        tags: vec![],
    };
    tiff.set_of(274, kind, bytes, orientation);
    tiff.directory()
}

/// Two grey pixels, 7 and 200, of which the first is on the left.
fn orientation_tiff(is_big: bool, kind: u16, bytes: usize, orientation: u32) -> Vec<u8> {
    let mut tiff = Tiff::grey(2, 1, 8);
    tiff.is_big = is_big;
    tiff.set_of(274, kind, bytes, orientation);
    tiff.bytes(&[7, 200])
}

/// A TIFF of one strip whose tags have one value each.
struct Tiff {
    is_big: bool,
    /// Tag, type, bytes of the value, value.
    tags: Vec<(u16, u16, usize, u32)>,
}

impl Tiff {
    fn grey(width: u32, height: u32, bits: u32) -> Self {
        let mut tiff = Self {
            is_big: false,
            tags: vec![],
        };
        for (tag, value) in [
            (256, width),
            (257, height),
            (258, bits),
            (259, 1),
            (262, 1),
            (277, 1),
        ] {
            tiff.set(tag, 3, value);
        }
        tiff
    }

    fn set(&mut self, tag: u16, kind: u16, value: u32) {
        let bytes = if kind == 1 {
            1
        } else if kind == 3 {
            2
        } else {
            4
        };
        self.set_of(tag, kind, bytes, value);
    }

    fn set_of(&mut self, tag: u16, kind: u16, bytes: usize, value: u32) {
        self.tags.retain(|entry| entry.0 != tag);
        self.tags.push((tag, kind, bytes, value));
        self.tags.sort_unstable();
    }

    /// The samples lie behind the directory.
    fn bytes(&self, samples: &[u8]) -> Vec<u8> {
        let mut whole = Self {
            is_big: self.is_big,
            tags: self.tags.clone(),
        };
        whole.set(279, 4, samples.len() as u32);
        whole.set(273, 4, 0);
        let at = 8 + 2 + 12 * whole.tags.len();
        whole.set(273, 4, at as u32);
        let mut bytes = whole.directory();
        bytes.truncate(at);
        bytes.extend_from_slice(samples);
        bytes.extend([0; 4]);
        bytes
    }

    fn directory(&self) -> Vec<u8> {
        let number = |value: u32, bytes: usize| match self.is_big {
            true => value.to_be_bytes()[4 - bytes..].to_vec(),
            false => value.to_le_bytes()[..bytes].to_vec(),
        };
        let mut bytes = if self.is_big {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        bytes.extend(
            [
                number(42, 2),
                number(8, 4),
                number(self.tags.len() as u32, 2),
            ]
            .concat(),
        );
        for &(tag, kind, value_bytes, value) in &self.tags {
            bytes.extend([number(tag.into(), 2), number(kind.into(), 2), number(1, 4)].concat());
            let mut value = number(value, value_bytes);
            value.resize(4, 0);
            bytes.extend(value);
        }
        bytes.extend([0; 4]);
        bytes
    }
}

/// `png` with a chunk behind its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let mut check_sum = Crc::new();
    check_sum.update(kind);
    check_sum.update(data);
    let length = (data.len() as u32).to_be_bytes();
    let check_sum = check_sum.sum().to_be_bytes();
    let chunk = [&length, &kind[..], data, &check_sum].concat();
    [&png[..HEADER_END], &chunk, &png[HEADER_END..]].concat()
}

/// The form that ImageMagick writes EXIF blocks in, in a `zTXt` chunk.
fn raw_profile(block: &[u8]) -> Vec<u8> {
    let digits: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("\nexif\n{:8}\n{digits}\n", block.len());
    [b"Raw profile type exif\0\0", &deflated(text.as_bytes())[..]].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn with_app1(jpeg: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, data, &jpeg[2..]].concat()
}

/// The lossless WebP of `rgb.png`'s pixels in the extended form, with one more chunk.
fn webp_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let simple = fs::read(self::data("media").join("lossless.webp")).unwrap();
    assert_eq!(&simple[12..16], b"VP8L");
    let image = decoded(&simple);
    let flag = if kind == b"EXIF" { 8 } else { 4 };
    let edge = |edge: u32| (edge - 1).to_le_bytes()[..3].to_vec();
    let extension = [
        &[flag, 0, 0, 0][..],
        &edge(image.width()),
        &edge(image.height()),
    ]
    .concat();
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let length = (data.len() as u32).to_le_bytes();
        [&kind[..], &length, data, &vec![0; data.len() % 2]].concat()
    };
    let body = [
        &chunk(b"VP8X", &extension),
        &simple[12..],
        &chunk(kind, data)[..],
    ]
    .concat();
    let length = (body.len() as u32 + 4).to_le_bytes();
    [b"RIFF", &length[..], b"WEBP", &body].concat()
}

/// Two pixels in a row under a header of `header_bytes`.
fn bmp(header_bytes: u32, bits: u16, compression: u32, masks: &[u32], pixels: &[u8]) -> Vec<u8> {
    let mut header = header_bytes.to_le_bytes().to_vec();
    if header_bytes == 12 {
        header.extend([2, 0, 1, 0, 1, 0]);
        header.extend(bits.to_le_bytes());
    } else {
        for value in [
            2_u32,
            1,
            1 | u32::from(bits) << 16,
            compression,
            pixels.len() as u32,
        ] {
            header.extend(value.to_le_bytes());
        }
        header.extend([0; 16]);
        header.extend(masks.iter().flat_map(|mask| mask.to_le_bytes()));
        header.resize(header.len().max(header_bytes as usize), 0);
    }
    let pixels_at = (14 + header.len() as u32).to_le_bytes();
    [b"BM\0\0\0\0\0\0\0\0", &pixels_at[..], &header, pixels].concat()
}
