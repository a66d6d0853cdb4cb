//! What exiftool reads in photos that decap wrote into: the caption, and everything else as before.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

mod photos;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use decap::media::{Limits, image};
use decap_sources::Existing;
use decap_sources::metadata::{CaptionToWrite, Field, Outcome, read_caption, undo, write_caption};
use photos::{apng, canon_jpeg, media, multi_page_tiff, with_photoshop_digest};
use serde_json::Value;

const TEXT: &str = "a dog & a \"cat\" <on> a größe — bench";
const ALT_TEXT: &str = "a dog's 'alt' text";

/// Every format, and each of its forms that is edited in a way of its own.
fn photos() -> Vec<(String, Vec<u8>)> {
    let names = "media/photo.jpg media/progressive.jpg media/cmyk.jpg media/orientation_6.jpg \
        media/rgb.png media/palette_transparent.png media/orientation_6.png media/lossy.webp \
        media/lossless.webp media/alpha.webp media/animated.webp media/orientation_6.webp media/rgb.tif \
        media/orientation_6.tif odd_photos/rgb16_big.tif odd_photos/tiles.tif";
    let mut photos: Vec<(String, Vec<u8>)> = names
        .split_whitespace()
        .map(|name| {
            let short = name.rsplit('/').next().unwrap().to_owned();
            (short, media(name))
        })
        .collect();
    photos.push(("animated.png".into(), apng()));
    photos.push(("pages.tif".into(), multi_page_tiff()));
    photos.push(("canon.jpg".into(), canon_jpeg()));
    photos
}

fn caption(fields: &[Field]) -> CaptionToWrite<'_> {
    CaptionToWrite {
        text: TEXT,
        alt_text: ALT_TEXT,
        fields,
        existing: Existing::Ours,
        model: "tiny",
        run: "fd4d107ff86a78ff1ef820626ca5d13b",
        by_hand: false,
    }
}

/// The photos as they are, and with whatever exiftool can write into them.
fn bare_and_rich(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, bytes) in photos() {
        fs::write(folder.join(&name), &bytes).unwrap();
        all.push((format!("bare_{name}"), bytes));
    }
    let thumbnail = folder.join("thumbnail.bin");
    fs::write(&thumbnail, media("media/grey.jpg")).unwrap();
    let mut exiftool = Command::new("exiftool");
    exiftool.args(["-q", "-q", "-m", "-overwrite_original"]);
    for tag in [
        "GPSLatitude=48.5",
        "GPSLatitudeRef=N",
        "EXIF:Artist=Jö",
        "EXIF:DateTimeOriginal=2026:11:29 10:00:00",
        "XMP-dc:Title=Urlaub & <mehr>",
        "XMP-dc:Subject=one",
        "XMP-xmp:Rating=4",
        "XMP-lr:HierarchicalSubject=a|b",
        "IPTC:By-line=Jo",
        "IPTC:City=Ulm",
        "JFIF:XResolution=72",
        "Comment=a comment",
    ] {
        exiftool.arg(format!("-{tag}"));
    }
    let from = |tag: &str| format!("-{tag}<={}", thumbnail.display());
    exiftool.arg(from("ThumbnailImage"));
    let listed: Vec<_> = photos().into_iter().map(|(name, _)| name).collect();
    exiftool.args(listed.iter().map(|name| folder.join(name)));
    // Not every format takes every tag, which it says by its status.
    exiftool.output().unwrap();
    for name in listed {
        let bytes = fs::read(folder.join(&name)).unwrap();
        fs::remove_file(folder.join(&name)).unwrap();
        all.push((format!("rich_{name}"), bytes));
    }
    fs::remove_file(thumbnail).unwrap();
    let digested = all.iter().find(|(name, _)| name == "rich_photo.jpg");
    let digested = with_photoshop_digest(&digested.unwrap().1);
    all.push(("rich_digested.jpg".into(), digested));
    all
}

/// What exiftool says of each file in `folder`.
fn read_all(folder: &Path) -> BTreeMap<String, BTreeMap<String, Value>> {
    let output = Command::new("exiftool")
        .args(["-j", "-G1", "-a", "-U", "-api", "LargeFileSupport=1"])
        .arg(folder)
        .output()
        .unwrap();
    let read: Vec<BTreeMap<String, Value>> = serde_json::from_slice(&output.stdout).unwrap();
    let named = read.into_iter().map(|tags| {
        let path = tags["SourceFile"].as_str().unwrap();
        (path.rsplit('/').next().unwrap().to_owned(), tags)
    });
    named.collect()
}

/// Tags that a caption changes, or that say how a file lies on the disk.
fn may_change(tag: &str) -> bool {
    const MAY: [&str; 14] = [
        "SourceFile",
        "XMP-dc:Description",
        "XMP-iptcCore:AltTextAccessibility",
        "IPTC:CodedCharacterSet",
        "IPTC:ApplicationRecordVersion",
        "IPTC:Caption-Abstract",
        "IFD0:ImageDescription",
        // Computed of the IPTC datasets, and the same where it is kept in the file.
        "File:CurrentIPTCDigest",
        "Photoshop:IPTCDigest",
        // Of an EXIF block that was not there.
        "File:ExifByteOrder",
        // Of a WebP's header for metadata, which a plain file lacks.
        "RIFF:WebP_Flags",
        "RIFF:ImageWidth",
        "RIFF:ImageHeight",
        "RIFF:VP8Version",
    ];
    MAY.contains(&tag) || tag.starts_with("System:") || tag.starts_with("XMP-decap:")
}

fn has_exiftool() -> bool {
    let is_there = Command::new("exiftool").arg("-ver").output().is_ok();
    if !is_there {
        skipped::skip("exiftool (Debian and Ubuntu: libimage-exiftool-perl)");
    }
    is_there
}

#[test]
fn exiftool_reads_the_caption_on_every_format_and_all_else_as_before() {
    if !has_exiftool() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder_of = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (before_at, after_at, short_at) = (folder_of("1"), folder_of("2"), folder_of("3"));
    let photos = bare_and_rich(&before_at);
    for (name, bytes) in &photos {
        fs::write(before_at.join(name), bytes).unwrap();
        let all = caption(&Field::ALL);
        let edited = write_caption(bytes, &all).unwrap();
        let after = edited.bytes.unwrap();
        fs::write(after_at.join(name), &after).unwrap();
        let path = Path::new(name);
        let pixels = |bytes: &[u8]| image::decode(bytes, path, &Limits::default()).unwrap();
        assert_eq!(pixels(&after), pixels(bytes), "{name}");

        let again = write_caption(&after, &all).unwrap();
        assert_eq!(again.bytes, None, "{name}: written twice");
        let undone = undo(&after).unwrap();
        assert!(undone.bytes.as_ref() == Some(bytes), "{name}: taken back");
        let xmp_alone = caption(&[Field::Description]);
        let short = write_caption(bytes, &xmp_alone).unwrap().bytes.unwrap();
        fs::write(short_at.join(name), &short).unwrap();
        assert!(
            undo(&short).unwrap().bytes.as_ref() == Some(bytes),
            "{name}"
        );
        // Fields one after the other, then all of them back.
        let in_turn = write_caption(&short, &all).unwrap().bytes.unwrap();
        assert!(
            undo(&in_turn).unwrap().bytes.as_ref() == Some(bytes),
            "{name}"
        );
    }
    let (before, after, short) = (
        read_all(&before_at),
        read_all(&after_at),
        read_all(&short_at),
    );
    assert_eq!(before.len(), photos.len());
    for (name, tags) in &before {
        let (after, short) = (&after[name], &short[name]);
        for read in [after, short] {
            let kept = |tags: &BTreeMap<String, Value>| {
                let mut tags = tags.clone();
                tags.retain(|tag, _| !may_change(tag));
                // A plain WebP gets the header that metadata needs.
                if let Some(Value::String(kind)) = tags.get_mut("File:FileType") {
                    *kind = kind.replace("Extended WEBP", "WEBP");
                }
                tags
            };
            assert_eq!(kept(read), kept(tags), "{name}");
        }
        for (tag, text) in [
            ("XMP-dc:Description", TEXT),
            ("XMP-iptcCore:AltTextAccessibility", ALT_TEXT),
            ("IFD0:ImageDescription", TEXT),
            ("IPTC:Caption-Abstract", TEXT),
        ] {
            let has_iptc = name.ends_with(".jpg") || name.ends_with(".tif");
            if has_iptc || !tag.starts_with("IPTC") {
                assert_eq!(after[tag], text, "{name}: {tag}");
            }
            if tag != "XMP-dc:Description" {
                assert_eq!(short.get(tag), None, "{name}: {tag}");
            }
        }
        assert_eq!(short["XMP-dc:Description"], TEXT, "{name}");
        assert_eq!(after["XMP-decap:Model"], "tiny", "{name}");
    }
    // What the pages and the thumbnails are made of was there at all.
    assert_eq!(before["rich_photo.jpg"]["IPTC:City"], "Ulm");
    assert!(before["rich_photo.jpg"].contains_key("IFD1:ThumbnailImage"));
    assert_eq!(
        before["bare_canon.jpg"]["Canon:CanonImageType"],
        "IMG:maker's note"
    );
    assert!(before["bare_pages.tif"].contains_key("IFD1:ImageWidth"));
    let digest = &after["rich_digested.jpg"]["Photoshop:IPTCDigest"];
    assert_eq!(
        digest,
        &after["rich_digested.jpg"]["File:CurrentIPTCDigest"]
    );
}

#[test]
fn a_persons_words_of_exiftool_are_told_apart_and_come_back() {
    if !has_exiftool() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let names = ["photo.jpg", "rgb.png", "lossy.webp", "rgb.tif"];
    for (name, tag, field) in [
        ("xmp", "XMP-dc:Description", Field::Description),
        ("alt", "XMP-iptcCore:AltTextAccessibility", Field::AltText),
        ("exif", "EXIF:ImageDescription", Field::Exif),
        ("iptc", "IPTC:Caption-Abstract", Field::Iptc),
    ] {
        for photo in names {
            if field == Field::Iptc && !(photo.ends_with("jpg") || photo.ends_with("tif")) {
                continue;
            }
            let path = folder.path().join(format!("{name}_{photo}"));
            fs::write(&path, media(&format!("media/{photo}"))).unwrap();
            let written = Command::new("exiftool")
                .args(["-q", "-overwrite_original", "-codedcharacterset=utf8"])
                .arg(format!("-{tag}=Jo's größe"))
                .arg(&path)
                .status();
            assert!(written.unwrap().success());
            let before = fs::read(&path).unwrap();
            let mut request = caption(&Field::ALL);
            let edited = write_caption(&before, &request).unwrap();
            let outcome = |of: Field, edited: &[(Field, Outcome)]| {
                edited.iter().find(|(field, _)| *field == of).unwrap().1
            };
            assert_eq!(outcome(field, &edited.outcomes), Outcome::Kept, "{path:?}");
            // One caption keeps all others out; an alternative text is no caption.
            let other = outcome(Field::Description, &edited.outcomes);
            let expected = match field {
                Field::AltText => Outcome::Written,
                _ => Outcome::Kept,
            };
            assert_eq!(other, expected, "{path:?}");
            for existing in [Existing::Append, Existing::Prepend, Existing::Overwrite] {
                request.existing = existing;
                let after = write_caption(&before, &request).unwrap().bytes.unwrap();
                fs::write(&path, &after).unwrap();
                let words = if field == Field::AltText {
                    ALT_TEXT
                } else {
                    TEXT
                };
                let expected = match existing {
                    Existing::Append => format!("Jo's größe {words}"),
                    Existing::Prepend => format!("{words} Jo's größe"),
                    _ => words.to_owned(),
                };
                let output = Command::new("exiftool")
                    .args(["-s3", &format!("-{tag}")])
                    .arg(&path)
                    .output();
                let read = String::from_utf8(output.unwrap().stdout).unwrap();
                assert_eq!(read.trim_end(), expected, "{path:?}");
                let found = read_caption(&after).unwrap();
                assert!(found.by_decap.contains(&field));
                assert!(
                    undo(&after).unwrap().bytes.as_ref() == Some(&before),
                    "{path:?}"
                );
            }
        }
    }
}

/// Another program writes into the photo after decap: its changes stay when decap's words go.
#[test]
fn what_exiftool_writes_afterwards_stays() {
    if !has_exiftool() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "photo.jpg",
        "rgb.png",
        "lossy.webp",
        "rgb.tif",
        "orientation_6.tif",
    ] {
        let path = folder.path().join(name);
        let before = media(&format!("media/{name}"));
        let edited = write_caption(&before, &caption(&Field::ALL)).unwrap();
        fs::write(&path, edited.bytes.unwrap()).unwrap();
        let written = Command::new("exiftool")
            .args([
                "-q",
                "-overwrite_original",
                "-XMP-dc:Title=mine",
                "-EXIF:Artist=Jo",
            ])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        let undone = undo(&fs::read(&path).unwrap()).unwrap();
        fs::write(&path, undone.bytes.unwrap()).unwrap();
        let read = &read_all(folder.path())[name];
        assert_eq!(read["XMP-dc:Title"], "mine", "{name}");
        assert_eq!(read["IFD0:Artist"], "Jo", "{name}");
        for gone in [
            "XMP-dc:Description",
            "XMP-iptcCore:AltTextAccessibility",
            "IPTC:Caption-Abstract",
            "IFD0:ImageDescription",
            "XMP-decap:Run",
            "ExifTool:Warning",
        ] {
            assert_eq!(read.get(gone), None, "{name}: {gone}");
        }
        let pixels = |bytes: &[u8]| image::decode(bytes, &path, &Limits::default()).unwrap();
        assert_eq!(pixels(&fs::read(&path).unwrap()), pixels(&before), "{name}");
    }
}
