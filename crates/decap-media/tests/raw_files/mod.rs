//! Cameras' raw files as small as may be, after their published layouts: <https://exiftool.org/TagNames/>,
//! <https://github.com/lclevy/canon_cr3>, <https://libopenraw.freedesktop.org/formats/raf/>.

#![allow(dead_code, reason = "each test file uses some of it")]

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

/// The largest preview of each file, and its pixels across and down.
pub const PREVIEW: (usize, usize) = (320, 200);

/// A JPEG without EXIF: red on the left, blue on the right.
pub fn jpeg(width: usize, height: usize) -> Vec<u8> {
    let pixel = |at: usize| match at % width < width / 2 {
        true => [220, 30, 30],
        false => [30, 30, 220],
    };
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    compress(
        &pixels,
        width,
        height,
        PixelFormat::Rgb,
        80,
        Subsampling::S444,
    )
    .unwrap()
}

/// What a sensor's readings look like: a lossless JPEG, larger than each preview.
pub fn lossless_jpeg() -> Vec<u8> {
    let mut jpeg = jpeg(640, 400);
    let frame = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 1] = 0xC3;
    jpeg
}

/// An entry of a directory.
pub enum Value {
    Short(u16),
    Longs(Vec<u32>),
    Text(&'static str),
    Bytes(Vec<u8>),
}

use Value::{Bytes, Longs, Short, Text};

/// A TIFF that grows at its end.
pub struct Tiff {
    pub bytes: Vec<u8>,
    is_big_endian: bool,
}

impl Tiff {
    pub fn new(header: &[u8]) -> Self {
        Self {
            bytes: header.to_vec(),
            is_big_endian: header[0] == b'M',
        }
    }

    fn two(&self, number: u16) -> [u8; 2] {
        match self.is_big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    fn four(&self, number: u32) -> [u8; 4] {
        match self.is_big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    /// Adds bytes; returns where they are.
    pub fn add(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(2), 0);
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        at
    }

    /// Adds a directory whose offsets count from `base`; returns where it is.
    pub fn add_directory(&mut self, entries: &[(u16, Value)], next: u32, base: u32) -> u32 {
        let mut directory = self.two(entries.len() as u16).to_vec();
        for (tag, value) in entries {
            let (kind, count, bytes) = match value {
                Short(number) => (3, 1, self.two(*number).to_vec()),
                Longs(numbers) => {
                    let bytes = numbers.iter().flat_map(|&number| self.four(number));
                    (4, numbers.len(), bytes.collect())
                }
                Text(text) => (2, text.len() + 1, [text.as_bytes(), b"\0"].concat()),
                Bytes(bytes) => (7, bytes.len(), bytes.clone()),
            };
            directory.extend(self.two(*tag));
            directory.extend(self.two(kind));
            directory.extend(self.four(count as u32));
            let mut field = match bytes.len() {
                0..=4 => bytes,
                _ => {
                    let at = self.add(&bytes) - base;
                    self.four(at).to_vec()
                }
            };
            field.resize(4, 0);
            directory.extend(field);
        }
        directory.extend(self.four(next));
        self.add(&directory)
    }

    /// Names the first directory in the header.
    pub fn starting_at(mut self, start: u32) -> Vec<u8> {
        let start = self.four(start);
        self.bytes[4..8].copy_from_slice(&start);
        self.bytes
    }
}

fn longs(number: u32) -> Value {
    Longs(vec![number])
}

/// A JPEG as the only strip.
pub fn strip(tiff: &mut Tiff, jpeg: &[u8], compression: u16) -> Vec<(u16, Value)> {
    let at = tiff.add(jpeg);
    vec![
        (254, longs(1)),
        (259, Short(compression)),
        (273, longs(at)),
        (279, longs(jpeg.len() as u32)),
    ]
}

/// A JPEG of the old style.
pub fn old_style(tiff: &mut Tiff, jpeg: &[u8]) -> Vec<(u16, Value)> {
    let at = tiff.add(jpeg);
    vec![
        (254, longs(1)),
        (259, Short(6)),
        (513, longs(at)),
        (514, longs(jpeg.len() as u32)),
    ]
}

/// Canon's CR2: the preview is the strip of the first directory, the readings that of the last.
pub fn cr2(preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0CR\x02\0\0\0\0\0");
    let readings = strip(&mut tiff, &lossless_jpeg(), 6);
    let readings = tiff.add_directory(&readings, 0, 0);
    let thumbnail = old_style(&mut tiff, &jpeg(160, 120));
    let thumbnail = tiff.add_directory(&thumbnail[2..], readings, 0);
    let mut first = strip(&mut tiff, preview, 6);
    first.remove(0);
    first.insert(1, (271, Text("Canon")));
    first.insert(3, (274, Short(orientation)));
    let first = tiff.add_directory(&first, thumbnail, 0);
    tiff.starting_at(first)
}

/// A first directory that leads to others: Nikon's NEF, Sony's ARW.
fn with_sub_directories(make: &'static str, preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"MM\0*\0\0\0\0");
    let preview = old_style(&mut tiff, preview);
    let preview = tiff.add_directory(&preview, 0, 0);
    let readings = strip(&mut tiff, &lossless_jpeg(), 34713);
    let readings = tiff.add_directory(&readings, 0, 0);
    let first = vec![
        (254, longs(1)),
        (259, Short(1)),
        (271, Text(make)),
        (274, Short(orientation)),
        (330, Longs(vec![preview, readings])),
    ];
    let first = tiff.add_directory(&first, 0, 0);
    tiff.starting_at(first)
}

pub fn nef(preview: &[u8], orientation: u16) -> Vec<u8> {
    with_sub_directories("NIKON CORPORATION", preview, orientation)
}

pub fn arw(preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
    let readings = strip(&mut tiff, &lossless_jpeg(), 32767);
    let readings = tiff.add_directory(&readings, 0, 0);
    let mut first = old_style(&mut tiff, preview);
    first.insert(2, (271, Text("SONY")));
    first.insert(3, (274, Short(orientation)));
    first.insert(4, (330, longs(readings)));
    let first = tiff.add_directory(&first, 0, 0);
    tiff.starting_at(first)
}

/// Adobe's DNG: readings in a lossless JPEG and a preview, both of compression 7.
pub fn dng(preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
    let readings = strip(&mut tiff, &lossless_jpeg(), 7);
    let readings = tiff.add_directory(&readings[1..], 0, 0);
    let preview = strip(&mut tiff, preview, 7);
    let preview = tiff.add_directory(&preview, 0, 0);
    let first = [
        (254, longs(1)),
        (259, Short(1)),
        (274, Short(orientation)),
        (330, Longs(vec![readings, preview])),
        (50706, Bytes(vec![1, 4, 0, 0])),
    ];
    let first = tiff.add_directory(&first, 0, 0);
    tiff.starting_at(first)
}

/// Panasonic's RW2: the first directory holds the preview.
pub fn rw2(preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"IIU\0\0\0\0\0");
    let first = [
        (0x2E, Bytes(preview.to_vec())),
        (271, Text("Panasonic")),
        (274, Short(orientation)),
    ];
    let first = tiff.add_directory(&first, 0, 0);
    tiff.starting_at(first)
}

/// Olympus' ORF: the preview is named in the camera settings of the note in the EXIF directory.
pub fn orf(preview: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = Tiff::new(b"IIRO\0\0\0\0");
    // The note: its header, the settings, its directory at 12, offsets from the note's start.
    let mut note = Tiff::new(b"OLYMPUS\0II\x03\0");
    note.is_big_endian = false;
    // Its only entry is inline, so that the directory can stand first: two, twelve and four bytes.
    let settings_at = 12 + 2 + 12 + 4;
    note.add_directory(&[(0x2020, longs(settings_at))], 0, 0);
    let preview_at = settings_at + 2 + 3 * 12 + 4;
    let settings = [
        (0x100, longs(1)),
        (0x101, longs(preview_at)),
        (0x102, longs(preview.len() as u32)),
    ];
    assert_eq!(note.add_directory(&settings, 0, 0), settings_at);
    assert_eq!(note.add(preview), preview_at);
    let exif = tiff.add_directory(&[(37500, Bytes(note.bytes))], 0, 0);
    let first = [
        (271, Text("OLYMPUS CORPORATION")),
        (274, Short(orientation)),
        (34665, longs(exif)),
    ];
    let first = tiff.add_directory(&first, 0, 0);
    tiff.starting_at(first)
}

/// Fujifilm's RAF: a header of set places; the JPEG says itself how it is turned.
pub fn raf(preview: &[u8], _orientation: u16) -> Vec<u8> {
    let mut raf = b"FUJIFILMCCD-RAW 0201FF383501".to_vec();
    raf.resize(148, 0);
    raf[84..88].copy_from_slice(&148_u32.to_be_bytes());
    raf[88..92].copy_from_slice(&(preview.len() as u32).to_be_bytes());
    raf.extend_from_slice(preview);
    raf
}

fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = (content.len() + 8) as u32;
    [&length.to_be_bytes()[..], kind, content].concat()
}

/// Canon's CR3: a full-size JPEG as the first track's sample, and a smaller preview.
pub fn cr3(preview: &[u8], orientation: u16) -> Vec<u8> {
    const CAMERA: &[u8] = b"\x85\xC0\xB6\x87\x82\x0F\x11\xE0\x81\x11\xF4\xCE\x46\x2B\x6A\x48";
    const PREVIEW: &[u8] = b"\xEA\xF4\x2B\x5E\x1C\x98\x4B\x88\xB9\xFB\xB7\xDC\x40\x6E\x4D\x16";
    let mut tiff = Tiff::new(b"II*\0\0\0\0\0");
    let first = tiff.add_directory(&[(274, Short(orientation))], 0, 0);
    let camera = mp4_box(
        b"uuid",
        &[CAMERA, &mp4_box(b"CMT1", &tiff.starting_at(first))].concat(),
    );
    let track = |at: u64| {
        let length = (preview.len() as u32).to_be_bytes();
        let sizes = mp4_box(b"stsz", &[&[0; 8][..], &[0, 0, 0, 1], &length].concat());
        let places = mp4_box(
            b"co64",
            &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &at.to_be_bytes()].concat(),
        );
        let table = mp4_box(b"stbl", &[sizes, places].concat());
        mp4_box(b"trak", &mp4_box(b"mdia", &mp4_box(b"minf", &table)))
    };
    let small = jpeg(240, 160);
    let edge = |number: u16| number.to_be_bytes();
    let small = [
        &[0, 0, 0, 0, 0, 1][..],
        &edge(240),
        &edge(160),
        &[0, 1],
        &(small.len() as u32).to_be_bytes(),
        &small,
    ]
    .concat();
    let small = [
        PREVIEW,
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &mp4_box(b"PRVW", &small),
    ]
    .concat();
    let head = |at| {
        [
            mp4_box(b"ftyp", b"crx \0\0\0\x01crx isom"),
            mp4_box(b"moov", &[camera.clone(), track(at)].concat()),
            mp4_box(b"uuid", &small),
        ]
        .concat()
    };
    let at = head(0).len() as u64 + 8;
    [head(at), mp4_box(b"mdat", preview)].concat()
}

/// Makes a file of a preview and an orientation.
pub type Build = fn(&[u8], u16) -> Vec<u8>;

/// Each kind: its ending, its name, how it is built.
pub const KINDS: [(&str, &str, Build); 8] = [
    ("cr2", "camera raw (CR2)", cr2),
    ("nef", "camera raw (NEF)", nef),
    ("arw", "camera raw (ARW)", arw),
    ("dng", "camera raw (DNG)", dng),
    ("rw2", "camera raw (RW2)", rw2),
    ("orf", "camera raw (ORF)", orf),
    ("raf", "camera raw (RAF)", raf),
    ("cr3", "camera raw (CR3)", cr3),
];
