//! Photos of phones and cameras: read where they can be, else counted and named.

#![cfg(all(unix, feature = "avif", feature = "bundled", feature = "jxl"))]
#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;

use common::{decap, decap_well, root, stderr, stdout, text};

/// A DNG whose preview is `jpeg`.
fn dng(jpeg: &[u8]) -> Vec<u8> {
    let mut dng = b"II*\0".to_vec();
    let directory = (8 + jpeg.len()).next_multiple_of(2);
    dng.extend((directory as u32).to_le_bytes());
    dng.extend(jpeg);
    dng.resize(directory, 0);
    let entries: [(u16, u32); 5] = [
        (254, 1),
        (259, 7),
        (273, 8),
        (279, jpeg.len() as u32),
        (50706, 0x0401),
    ];
    dng.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        dng.extend(tag.to_le_bytes());
        dng.extend([4, 0, 1, 0, 0, 0]);
        dng.extend(value.to_le_bytes());
    }
    dng.extend([0; 4]);
    dng
}

#[test]
fn photos_of_phones_and_cameras_are_captioned_or_named() {
    let data = root().join("crates/decap-media/tests/data");
    let jpeg = fs::read(data.join("media/photo.jpg")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(data.join("avif/grid.avif"), path("a.avif")).unwrap();
    fs::write(path("b.dng"), dng(&jpeg)).unwrap();
    fs::write(path("c.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::copy(data.join("media/photo.jpg"), path("d.jpg")).unwrap();
    fs::copy(data.join("jxl/photo.jxl"), path("e.jxl")).unwrap();

    let output = decap(&["caption", text(folder.path()), "--write", "xmp"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    let caption = |name: &str| {
        let line = lines.iter().find(|line| line.contains(name)).unwrap();
        line.split_once(name).unwrap().1.trim().to_owned()
    };
    assert!(!caption("a.avif").is_empty() && !caption("e.jxl").is_empty());
    assert_eq!(
        caption("b.dng"),
        caption("d.jpg"),
        "the preview is that JPEG"
    );
    for (name, has_own_file) in [
        ("a.avif", true),
        ("b.dng", true),
        ("c.heic", false),
        ("d.jpg", false),
        ("e.jxl", true),
    ] {
        assert_eq!(
            path(&format!("{name}.xmp")).exists(),
            has_own_file,
            "{name}"
        );
    }
    let said = stderr(&output);
    assert!(
        said.contains("1 HEIC (") && said.contains("c.heic"),
        "{said}"
    );

    let undo = decap_well(&["caption", text(folder.path()), "--undo"]);
    assert!(!path("b.dng.xmp").exists(), "{undo}");

    let output = decap(&["caption", text(&path("c.heic"))]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let expected = "HEIC photos are not read; convert it to JPEG or PNG";
    assert!(said.contains("c.heic") && said.contains(expected), "{said}");
}
