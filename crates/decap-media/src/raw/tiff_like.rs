//! Raw files that are built like a TIFF: CR2, NEF, ARW, DNG, PEF, SRW and, with numbers of their own in the
//! header, ORF and RW2. The tags are in <https://exiftool.org/TagNames/>.

use super::Previews;
use crate::directory::{ByteOrder, Directory, Form, tag};
use crate::orientation;

/// What stands in place of TIFF's 42: "RO" and "RS" in ORF, "U" in RW2.
const ORF_NUMBERS: [u64; 2] = [0x4F52, 0x5352];
const RW2_NUMBER: u64 = 0x55;

/// No raw file has more directories: what comes after is left out.
const MOST_DIRECTORIES: usize = 64;

/// JPEGs of all directories, those within others included.
pub(super) fn previews(bytes: &[u8]) -> Previews<'_> {
    let mut previews = Previews::default();
    let numbers = [ORF_NUMBERS[0], ORF_NUMBERS[1], RW2_NUMBER];
    let Some((form, start)) = Form::of(bytes, &numbers) else {
        return previews;
    };
    // Where directories begin, each once: they may lead in circles.
    let mut starts = vec![start];
    let mut at = 0;
    while let Some(&start) = starts.get(at) {
        at += 1;
        let Some(directory) = Directory::at(bytes, form, start) else {
            // Those of later ones are often wrong.
            previews.is_cut |= at == 1;
            continue;
        };
        if at == 1 {
            let number = directory.integer(tag::ORIENTATION);
            let number = number.and_then(|number| u8::try_from(number).ok());
            previews.orientation = number.and_then(orientation::Orientation::from_exif);
        }
        previews.add_directory(bytes, &directory);
        let within = directory.integers(tag::SUB_IFDS).unwrap_or_default();
        for start in within
            .into_iter()
            .take(MOST_DIRECTORIES)
            .chain(directory.next())
        {
            if starts.len() < MOST_DIRECTORIES && !starts.contains(&start) {
                starts.push(start);
            }
        }
        let exif = directory.integer(tag::EXIF_DIRECTORY);
        if let Some(exif) = exif.and_then(|start| Directory::at(bytes, form, start)) {
            previews.add_olympus(bytes, form, &exif);
        }
    }
    previews
}

impl<'a> Previews<'a> {
    /// A directory names a JPEG as an old-style one, as its only strip, or holds it (RW2).
    fn add_directory(&mut self, bytes: &'a [u8], directory: &Directory<'a>) {
        /// "JpgFromRaw" of Panasonic.
        const PANASONIC_JPEG: u16 = 0x2E;
        self.add_tags(bytes, directory, tag::JPEG_OFFSET, tag::JPEG_BYTE_COUNT);
        if matches!(directory.integer(tag::COMPRESSION), Some(6 | 7)) {
            let is_one = |tag| directory.integers(tag).is_some_and(|it| it.len() == 1);
            if is_one(tag::STRIP_OFFSETS) {
                self.add_tags(bytes, directory, tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS);
            }
        }
        if bytes.starts_with(b"IIU\0") {
            match directory.raw(PANASONIC_JPEG) {
                Some([]) => self.is_cut = true,
                Some(jpeg) => self.add_jpeg(jpeg),
                None => {}
            }
        }
    }

    fn add_tags(&mut self, bytes: &'a [u8], directory: &Directory, offset: u16, length: u16) {
        if let (Some(offset), Some(length)) = (directory.integer(offset), directory.integer(length))
        {
            self.add(bytes, offset, length);
        }
    }

    /// The preview that Olympus' note in the EXIF directory names. Newer notes count offsets from their own
    /// start, older ones from that of the file.
    fn add_olympus(&mut self, bytes: &'a [u8], form: Form, exif: &Directory) {
        const CAMERA_SETTINGS: u16 = 0x2020;
        const PREVIEW: [u16; 2] = [0x101, 0x102];
        const OLD_PREVIEW: [u16; 2] = [0x88, 0x89];
        let place = exif.place(tag::MAKER_NOTE);
        let Some((at, note)) = place.and_then(|(at, _)| Some((at, bytes.get(at as usize..)?)))
        else {
            return;
        };
        let own_order = |at: usize| note.get(at..).and_then(ByteOrder::of);
        let (base, order, start) = match note {
            _ if note.starts_with(b"OLYMPUS\0") => (note, own_order(8), 12),
            _ if note.starts_with(b"OM SYSTEM\0") => (note, own_order(12), 16),
            _ if note.starts_with(b"OLYMP\0") => (bytes, Some(form.order), at + 8),
            _ => return,
        };
        let Some(order) = order else {
            return;
        };
        let form = Form {
            order,
            is_big: false,
        };
        let Some(note) = Directory::at(base, form, start) else {
            return;
        };
        self.add_tags(base, &note, OLD_PREVIEW[0], OLD_PREVIEW[1]);
        // The settings are the value itself, or it tells where they are.
        let settings = note.place(CAMERA_SETTINGS).and_then(|(at, is_place)| {
            let start = match is_place {
                true => note.integer(CAMERA_SETTINGS)?,
                false => at,
            };
            Directory::at(base, form, start)
        });
        if let Some(settings) = settings {
            self.add_tags(base, &settings, PREVIEW[0], PREVIEW[1]);
        }
    }
}
