//! `caption --write` and `--undo`: captions in photos and beside them, and nobody's words lost.

#![cfg(all(unix, feature = "bundled"))]
#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{decap, decap_well, json, photo, root, stderr, stdout, text};
use decap_sources::metadata::read_caption;

/// Every file of a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// One photo of each format.
fn folder_of_photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let media = root().join("crates/decap-media/tests/data/media");
    fs::copy(photo("cat"), folder.path().join("cat.webp")).unwrap();
    for name in ["photo.jpg", "grey.png", "rgb.tif", "palette.bmp"] {
        fs::copy(media.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn description(path: &Path) -> Option<String> {
    read_caption(&fs::read(path).unwrap()).unwrap().description
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stdout(output));
    stderr(output)
}

#[test]
fn captions_are_written_everywhere_and_taken_back() {
    let folder = folder_of_photos();
    let all = text(folder.path());
    let before = content(folder.path());
    let write = [
        "caption",
        all,
        "--write",
        "xmp,iptc,exif,sidecar",
        "--alt-text",
    ];
    let pretended = decap_well(&[&write[..], &["--dry-run"]].concat());
    assert_eq!(content(folder.path()), before);
    assert_eq!(pretended.lines().count(), 5, "{pretended}");
    let cat = pretended.lines().next().unwrap();
    let fields: Vec<&str> = cat.split('\t').collect();
    assert!(
        fields[1].starts_with("would write xmp, alt_text, exif, sidecar; in "),
        "{cat}"
    );
    assert!(
        fields[1].ends_with("cat.txt; has no place for iptc"),
        "{cat}"
    );

    let printed = decap_well(&[&write[..], &["--json"]].concat());
    let captions: Vec<_> = printed.lines().map(json).collect();
    for record in &captions {
        let path = Path::new(record["path"].as_str().unwrap());
        let caption = record["caption"].as_str().unwrap();
        let sidecar = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(sidecar, format!("{caption}\n"));
        let written = record["written"].as_array().unwrap();
        assert!(written.contains(&"xmp".into()) && written.contains(&"sidecar".into()));
        assert_eq!(record["kept"].as_array().unwrap().len(), 0, "{record}");
        if path.extension().unwrap() != "bmp" {
            assert_eq!(description(path).as_deref(), Some(caption));
        } else {
            let beside = fs::read_to_string(path.with_extension("bmp.xmp")).unwrap();
            assert!(beside.contains(caption), "{beside}");
        }
    }
    let after = content(folder.path());
    decap_well(&write);
    assert_eq!(content(folder.path()), after, "written twice");

    let pretended = decap_well(&["caption", all, "--undo", "--dry-run"]);
    assert_eq!(content(folder.path()), after);
    assert_eq!(
        pretended.matches("would take back xmp").count(),
        5,
        "{pretended}"
    );
    decap_well(&["caption", all, "--undo"]);
    assert_eq!(content(folder.path()), before);
    assert_eq!(decap_well(&["caption", all, "--undo"]), "");
}

#[test]
fn a_persons_caption_stays_until_it_is_to_be_changed() {
    let folder = folder_of_photos();
    let path = folder.path().join("photo.jpg");
    let write = |template: &str, existing: &str| {
        let path = text(&path);
        let how = ["--template", template, "--existing", existing, "--json"];
        let args = [&["caption", path, "--write", "xmp"][..], &how].concat();
        json(&decap_well(&args))
    };
    write("mine", "ours");
    // Without decap's mark it is anybody's.
    let marked = fs::read(&path).unwrap();
    let packet = String::from_utf8_lossy(&marked).into_owned();
    let digest = packet.find("descriptionDigest=\"").unwrap();
    let start = marked
        .windows(18)
        .position(|it| it == b"descriptionDigest=")
        .unwrap();
    assert!(start <= digest);
    let mut edited = marked.clone();
    edited[start + 19..start + 23].copy_from_slice(b"gone");
    fs::write(&path, &edited).unwrap();
    let record = write("a dog", "ours");
    assert_eq!(record["kept"][0], "xmp");
    assert_eq!(fs::read(&path).unwrap(), edited);
    for (existing, expected) in [
        ("append", "mine a dog"),
        ("prepend", "a dog mine"),
        ("overwrite", "a dog"),
        ("ours", "a dog"),
        ("skip", "a dog"),
    ] {
        write("a dog", existing);
        assert_eq!(description(&path).as_deref(), Some(expected));
    }
    decap_well(&["caption", text(&path), "--undo"]);
    assert_eq!(description(&path).as_deref(), Some("mine"));
}

#[test]
fn wording_is_checked_before_any_work_and_kept_to() {
    for (args, said) in [
        (
            &["--template", "{captoin}"][..],
            "expected one of caption, path",
        ),
        (&["--template", "{caption"], "expected `}`"),
        (
            &["--template", "{evidence}", "--evidence", "0"],
            "--evidence of at least 1",
        ),
        (&["--max-chars", "0"], "expected a whole number"),
        (
            &["--write", "sidecar", "--extension", "jpg"],
            "an ending for text files",
        ),
        (
            &["--write", "sidecar", "--extension", "../x"],
            "letters and digits",
        ),
        (&["--alt-text"], "--write"),
        (&["--dry-run"], "--write"),
        (&["--keep-times"], "--undo"),
        (&["--undo", "--write", "xmp"], "cannot be used with"),
        (
            &["--write", "xmp", "--dry-run", "--json"],
            "cannot be used with",
        ),
        (&["--write", "exif,nowhere"], "nowhere"),
    ] {
        // The model is not there either, which is told after.
        let args = [&["caption", "missing.jpg", "--model", "/missing"], args].concat();
        let output = decap(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said_so = stderr(&output);
        assert!(said_so.contains(said), "{args:?}: {said_so}");
    }
    let cat = photo("cat");
    let worded = |template: &str, most: &str| {
        let args = [
            "caption",
            &cat,
            "--evidence",
            "1",
            "--json",
            "--max-chars",
            most,
        ];
        let record = json(&decap_well(
            &[&args[..], &["--template", template]].concat(),
        ));
        record["caption"].as_str().unwrap().to_owned()
    };
    let caption = worded("{caption}", "999");
    assert_eq!(
        worded("{stem}: {caption}[ on {date}]", "999"),
        format!("cat: {caption}")
    );
    assert_eq!(worded("{path}|{date}|", "999"), format!("{cat}||"));
    assert!(worded("{evidence} {score}", "999").len() > 10);
    let cut = worded("{caption}", "20");
    assert!(
        cut.len() <= 20 && caption.starts_with(&format!("{cut} ")),
        "{cut}"
    );
}

#[test]
fn one_photo_that_cannot_be_written_stops_no_other() {
    let folder = folder_of_photos();
    let path = |name: &str| folder.path().join(name);
    let mut permissions = fs::metadata(path("grey.png")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path("grey.png"), permissions).unwrap();
    let jpeg = fs::read(path("photo.jpg")).unwrap();
    let broken = b"\xff\xe1\0\x20http://ns.adobe.com/xap/1.0/\0<";
    fs::write(path("photo.jpg"), [&jpeg[..2], broken, &jpeg[2..]].concat()).unwrap();
    // A link leads to a photo that this run has written already.
    std::os::unix::fs::symlink("cat.webp", path("dog.webp")).unwrap();
    let before = content(folder.path());
    let all = text(folder.path());
    let output = decap(&["caption", all, "--write", "xmp", "--keep-times", "--json"]);
    let said = failed(&output);
    assert!(said.contains("grey.png: the file is read-only"), "{said}");
    assert!(
        said.contains("photo.jpg: expected well-formed XMP"),
        "{said}"
    );
    assert!(
        said.contains("wrote captions of 3 photos; 1 photo had theirs already"),
        "{said}"
    );
    let printed = stdout(&output);
    let errors = printed
        .lines()
        .map(json)
        .filter(|it| it.get("error").is_some());
    assert_eq!(errors.count(), 2, "{printed}");
    for name in ["cat.webp", "rgb.tif"] {
        assert!(description(&path(name)).is_some());
    }
    for name in ["grey.png", "photo.jpg"] {
        assert_eq!(fs::read(path(name)).unwrap(), before[&path(name)]);
    }
    assert!(fs::symlink_metadata(path("dog.webp")).unwrap().is_symlink());
}

#[test]
fn two_photos_do_not_share_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(photo("cat"), path("a.webp")).unwrap();
    fs::copy(photo("bear"), path("a.WEBP")).unwrap();
    let all = text(folder.path());
    let output = decap(&[
        "caption",
        all,
        "--write",
        "sidecar",
        "--extension",
        "caption",
    ]);
    let said = failed(&output);
    assert!(
        said.contains("a.caption holds the caption of a.WEBP already"),
        "{said}"
    );
    let bear = fs::read_to_string(path("a.caption")).unwrap();
    assert!(bear.contains("bear"), "{bear}");
}
