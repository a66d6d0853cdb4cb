//! Files that are broken, hostile or rare: an error or the right words, never a panic, never a loss.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod photos;

use decap::InputFault;
use decap_sources::Existing;
use decap_sources::metadata::{
    CaptionToWrite, EditedPhoto, Field, Outcome, read_caption, undo, write_caption,
};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use photos::{apng, chunk, jpeg_with, media, multi_page_tiff, png_with, segment};
use std::io::Write;

const XMP_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const EXTENSION_NAME: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

fn write(bytes: &[u8], existing: Existing) -> Result<EditedPhoto, InputFault> {
    write_caption(
        bytes,
        &CaptionToWrite {
            text: "a dog",
            alt_text: "a dog",
            fields: &Field::ALL,
            existing,
            model: "tiny",
            run: "run",
            by_hand: false,
        },
    )
}

fn packet(description: &str) -> String {
    format!(
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
         <rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' dc:format='image/jpeg'>\
         {description}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
}

fn jpeg_with_xmp(packet: &[u8]) -> Vec<u8> {
    jpeg_with(&[segment(0xE1, &[XMP_NAME, packet].concat())])
}

fn described(words: &str) -> String {
    packet(&format!("<dc:description>{words}</dc:description>"))
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_malformed_packet_is_told_and_left_alone() {
    for broken in ["<x:xmpmeta", "", "not XMP", "<a/>", "\u{0}"] {
        let photo = jpeg_with_xmp(broken.as_bytes());
        for result in [write(&photo, Existing::Overwrite), undo(&photo)] {
            assert!(matches!(result, Err(InputFault::Damaged(_))), "{broken:?}");
        }
    }
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><x>&b;</x>";
    assert!(write(&jpeg_with_xmp(bomb.as_bytes()), Existing::Ours).is_err());
    let utf_16: Vec<u8> = described("mine")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let error = write(&jpeg_with_xmp(&utf_16), Existing::Ours).unwrap_err();
    assert!(matches!(error, InputFault::Unsupported(_)), "{error}");
}

#[test]
fn a_segment_without_room_is_told_before_anything_is_lost() {
    let full = packet(&format!("<dc:rights>{}</dc:rights>", "x".repeat(65_000)));
    let photo = jpeg_with_xmp(full.as_bytes());
    let error = write(&photo, Existing::Ours).unwrap_err();
    assert!(matches!(&error, InputFault::Unsupported(message) if message.contains("65533")));
    // With room for all of it, there is no such bound in a PNG.
    let text = [b"XML:com.adobe.xmp\0\0\0\0\0", full.as_bytes()].concat();
    let photo = png_with(&[chunk(b"iTXt", &text)]);
    let after = write(&photo, Existing::Ours).unwrap().bytes.unwrap();
    assert_eq!(undo(&after).unwrap().bytes, Some(photo));
}

#[test]
fn words_in_extended_xmp_are_a_persons() {
    let extension = described("mine");
    let parts = |order: [usize; 2]| {
        let bytes = extension.as_bytes();
        let (first, second) = bytes.split_at(100);
        let part = |at: usize, content: &[u8]| {
            let (whole, at) = (bytes.len() as u32, at as u32);
            let header = [
                EXTENSION_NAME,
                &[b'0'; 32],
                &whole.to_be_bytes(),
                &at.to_be_bytes(),
            ];
            segment(0xE1, &[&header.concat(), content].concat())
        };
        let parts = [part(0, first), part(100, second)];
        order.map(|index| parts[index].clone()).concat()
    };
    for order in [[0, 1], [1, 0]] {
        let xmp = segment(0xE1, &[XMP_NAME, packet("").as_bytes()].concat());
        let photo = jpeg_with(&[xmp, parts(order)]);
        for existing in [Existing::Ours, Existing::Overwrite] {
            let edited = write(&photo, existing).unwrap();
            assert_eq!(edited.outcomes[0], (Field::Description, Outcome::Kept));
            // An alternative text is another matter, and the extension stays.
            let after = edited.bytes.unwrap();
            let found = read_caption(&after).unwrap();
            assert_eq!(found.alt_text.as_deref(), Some("a dog"));
            assert_eq!(undo(&after).unwrap().bytes.as_ref(), Some(&photo));
        }
    }
    // Its parts may claim any place.
    let mut hostile = [EXTENSION_NAME, &[b'0'; 32], &[0xFF; 8]].concat();
    hostile.push(b'<');
    let photo = jpeg_with(&[segment(0xE1, &hostile)]);
    assert!(matches!(
        write(&photo, Existing::Ours),
        Err(InputFault::Damaged(_))
    ));
}

#[test]
fn compressed_and_foreign_texts_of_a_png_are_read() {
    let compressed = |words: &str| {
        let content = deflated(described(words).as_bytes());
        let text = [&b"XML:com.adobe.xmp\0\x01\0en\0title\0"[..], &content].concat();
        png_with(&[chunk(b"iTXt", &text)])
    };
    let photo = compressed("mine");
    let found = read_caption(&photo).unwrap();
    assert_eq!(found.description.as_deref(), Some("mine"));
    assert_eq!(
        write(&photo, Existing::Ours).unwrap().outcomes[0].1,
        Outcome::Kept
    );
    let after = write(&photo, Existing::Append).unwrap().bytes.unwrap();
    assert_eq!(
        read_caption(&after).unwrap().description.as_deref(),
        Some("mine a dog")
    );
    let back = undo(&after).unwrap().bytes.unwrap();
    assert_eq!(
        read_caption(&back).unwrap().description.as_deref(),
        Some("mine")
    );

    let zipped = [&b"Description\0\0"[..], &deflated(b"mine")].concat();
    for text in [
        chunk(b"tEXt", b"Description\0mine"),
        chunk(b"zTXt", &zipped),
        chunk(b"iTXt", b"Description\0\0\0\0\0mine"),
    ] {
        let photo = png_with(&[text]);
        let edited = write(&photo, Existing::Ours).unwrap();
        assert_eq!(edited.outcomes[0], (Field::Description, Outcome::Kept));
        assert_eq!(edited.outcomes[1], (Field::AltText, Outcome::Written));
    }
    let digits: String = described("mine")
        .bytes()
        .map(|it| format!("{it:02x}"))
        .collect();
    let profile = format!(
        "Raw profile type xmp\0\nxmp\n  {}\n{digits}\n",
        digits.len() / 2
    );
    let photo = png_with(&[chunk(b"tEXt", profile.as_bytes())]);
    let edited = write(&photo, Existing::Overwrite).unwrap();
    assert_eq!(edited.outcomes[0], (Field::Description, Outcome::Kept));
    let broken = png_with(&[chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0no zlib")]);
    assert!(matches!(
        write(&broken, Existing::Ours),
        Err(InputFault::Damaged(_))
    ));
}

#[test]
fn a_cut_file_is_an_error_or_keeps_its_pixels() {
    for (name, bytes) in [
        ("jpg", media("media/orientation_6.jpg")),
        ("png", media("media/orientation_6.png")),
        ("webp", media("media/animated.webp")),
        ("tif", multi_page_tiff()),
        ("apng", apng()),
    ] {
        let captioned = write(&bytes, Existing::Ours).unwrap().bytes.unwrap();
        for whole in [&bytes, &captioned] {
            let step = if whole.len() > 2_000 { 17 } else { 1 };
            for end in (0..whole.len()).step_by(step) {
                let cut = &whole[..end];
                // A panic is what this looks for.
                let _read = read_caption(cut);
                let _undone = undo(cut);
                if let Ok(EditedPhoto {
                    bytes: Some(after), ..
                }) = write(cut, Existing::Overwrite)
                {
                    let found = read_caption(&after).unwrap();
                    assert_eq!(found.description.as_deref(), Some("a dog"), "{name} {end}");
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_is_no_panic() {
    for bytes in [
        photos::canon_jpeg(),
        media("media/orientation_6.webp"),
        multi_page_tiff(),
        apng(),
    ] {
        let captioned = write(&bytes, Existing::Ours).unwrap().bytes.unwrap();
        for at in (0..captioned.len()).step_by(5) {
            for new in [0x00, 0x3C, 0x80, 0xFF] {
                let mut changed = captioned.clone();
                changed[at] = new;
                let _read = read_caption(&changed);
                let _undone = undo(&changed);
                let _written = write(&changed, Existing::Prepend);
            }
        }
    }
}

#[test]
fn big_tiffs_and_others_have_no_place() {
    for bytes in [
        &b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"[..],
        b"GIF89a\x01\0\x01\0",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"II*\0\x10\0\0\0CR\x02\0",
        b"a text",
        b"",
    ] {
        let error = write(bytes, Existing::Ours).unwrap_err();
        assert!(matches!(error, InputFault::Unsupported(_)), "{error}");
    }
}

#[test]
fn stock_texts_of_cameras_are_nobodys_words() {
    let mut exif = b"II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend([0x0E, 1, 2, 0, 26, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0]);
    exif.extend(b"OLYMPUS DIGITAL CAMERA   \0");
    let photo = jpeg_with(&[segment(0xE1, &[b"Exif\0\0", &exif[..]].concat())]);
    let edited = write(&photo, Existing::Ours).unwrap();
    assert!(edited.outcomes.iter().all(|it| it.1 == Outcome::Written));
    let after = edited.bytes.unwrap();
    assert_eq!(read_caption(&after).unwrap().exif.as_deref(), Some("a dog"));
    assert_eq!(undo(&after).unwrap().bytes, Some(photo));
}

#[test]
fn edited_words_are_the_persons() {
    let photo = media("media/photo.jpg");
    let after = write(&photo, Existing::Ours).unwrap().bytes.unwrap();
    let at = |bytes: &[u8]| {
        let needle = b"default\">a dog";
        let mut windows = bytes.windows(needle.len());
        windows.position(|window| window == needle).unwrap() + needle.len() - 3
    };
    let mut edited = after.clone();
    let place = at(&after);
    edited[place..place + 3].copy_from_slice(b"cat");
    let found = read_caption(&edited).unwrap();
    assert_eq!(found.description.as_deref(), Some("a cat"));
    assert!(!found.by_decap.contains(&Field::Description));
    let again = write(&edited, Existing::Ours).unwrap();
    assert_eq!(again.outcomes[0], (Field::Description, Outcome::Kept));
    let undone = undo(&edited).unwrap();
    assert_eq!(undone.outcomes[0], (Field::Description, Outcome::Edited));
    assert_eq!(undone.outcomes[1], (Field::AltText, Outcome::Undone));
    let found = read_caption(&undone.bytes.unwrap()).unwrap();
    assert_eq!(found.description.as_deref(), Some("a cat"));
    assert_eq!((found.alt_text, found.exif, found.iptc), (None, None, None));
}
