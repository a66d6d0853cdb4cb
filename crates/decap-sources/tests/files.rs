//! Photos' files and the files beside them: whole or as before, and whose words they hold.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod photos;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use decap_sources::metadata::{CaptionToWrite, Field, Outcome, read_caption};
use decap_sources::sidecar::{JOURNAL_NAME, TextSidecars, TextToWrite, XmpName};
use decap_sources::{Effect, Existing, FileStamp, PlaceOptions, Times, undo_at, write_to};
use photos::media;

fn caption(existing: Existing) -> CaptionToWrite<'static> {
    CaptionToWrite {
        text: "a dog",
        alt_text: "a dog",
        fields: &[Field::Description],
        existing,
        model: "tiny",
        run: "run",
        by_hand: false,
    }
}

fn text(words: &str, existing: Existing) -> TextToWrite<'_> {
    TextToWrite {
        text: words,
        extension: "txt",
        existing,
        model: "tiny",
        run: "run",
        by_hand: false,
    }
}

/// Every file of a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn photos_without_a_place_get_a_file_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.gif", media("media/animated.gif")),
        ("b.bmp", media("media/rgb.bmp")),
        (
            "c.tif",
            b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
        ("d.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()),
        ("e.cr2", b"II*\0\x10\0\0\0CR\x02\0".to_vec()),
    ] {
        let photo = folder.path().join(name);
        fs::write(&photo, &bytes).unwrap();
        for xmp_name in XmpName::ALL {
            let options = PlaceOptions {
                xmp_name,
                ..PlaceOptions::default()
            };
            let before = content(folder.path());
            let pretended = PlaceOptions {
                effect: Effect::Pretend,
                ..options.clone()
            };
            let told = write_to(&photo, None, &caption(Existing::Ours), &pretended).unwrap();
            assert!(told.has_changed);
            assert_eq!(content(folder.path()), before);
            let done = write_to(&photo, None, &caption(Existing::Ours), &options).unwrap();
            assert_eq!(done, told);
            assert_eq!(done.path, xmp_name.beside(&photo));
            assert_eq!(fs::read(&photo).unwrap(), bytes);
            let again = write_to(&photo, None, &caption(Existing::Ours), &options).unwrap();
            assert!(!again.has_changed);
            let undone = undo_at(&photo, &options).unwrap();
            assert_eq!(undone.len(), 1);
            assert_eq!(content(folder.path()), before, "{name}");
        }
    }
}

#[test]
fn a_persons_file_beside_a_photo_is_edited_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("a.gif");
    fs::write(&photo, media("media/animated.gif")).unwrap();
    let xmp = folder.path().join("a.gif.xmp");
    let mine = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>\n <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n  \
        <rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' dc:description='mine'/>\n \
        </rdf:RDF>\n</x:xmpmeta>\n";
    fs::write(&xmp, mine).unwrap();
    let options = PlaceOptions::default();
    let kept = write_to(&photo, None, &caption(Existing::Ours), &options).unwrap();
    assert_eq!(kept.fields, [(Field::Description, Outcome::Kept)]);
    write_to(&photo, None, &caption(Existing::Prepend), &options).unwrap();
    let after = fs::read_to_string(&xmp).unwrap();
    assert!(after.contains("dc:description='a dog mine'"), "{after}");
    undo_at(&photo, &options).unwrap();
    assert_eq!(fs::read_to_string(&xmp).unwrap(), mine);
    assert!(undo_at(&photo, &options).unwrap().is_empty());
    // One that is broken, and none of decap's, is no obstacle.
    fs::write(&xmp, "<broken").unwrap();
    assert!(undo_at(&photo, &options).unwrap().is_empty());
    assert!(write_to(&photo, None, &caption(Existing::Ours), &options).is_err());
}

#[test]
fn a_photo_is_replaced_whole_with_its_mode_its_link_and_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("a.jpg");
    fs::write(&photo, media("media/photo.jpg")).unwrap();
    let stamp = FileStamp::of(&photo).unwrap();
    let options = PlaceOptions {
        times: Times::Kept,
        ..PlaceOptions::default()
    };
    let modified = fs::metadata(&photo).unwrap().modified().unwrap();
    #[cfg(unix)]
    let named = {
        use std::os::unix::fs::{PermissionsExt, symlink};
        fs::set_permissions(&photo, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.jpg", folder.path().join("link.jpg")).unwrap();
        folder.path().join("link.jpg")
    };
    #[cfg(not(unix))]
    let named = photo.clone();
    write_to(&named, Some(&stamp), &caption(Existing::Ours), &options).unwrap();
    let found = read_caption(&fs::read(&photo).unwrap()).unwrap();
    assert_eq!(found.description.as_deref(), Some("a dog"));
    assert_eq!(fs::metadata(&photo).unwrap().modified().unwrap(), modified);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert!(fs::symlink_metadata(&named).unwrap().is_symlink());
        let mode = fs::metadata(&photo).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
    // It has another length now than when it was captioned.
    let before = content(folder.path());
    let late = write_to(
        &named,
        Some(&stamp),
        &caption(Existing::Overwrite),
        &options,
    );
    assert!(late.unwrap_err().to_string().contains("was changed"));
    let mut permissions = fs::metadata(&photo).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&photo, permissions).unwrap();
    let refused = undo_at(&photo, &options).unwrap_err();
    assert_eq!(refused.kind(), "permission_denied");
    assert_eq!(content(folder.path()), before, "and no leftovers");
}

/// `/dev/full` takes nothing; the photo on it is none, so this writes beside one, through a link.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("a.gif");
    fs::write(&photo, media("media/animated.gif")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("a.gif.xmp")).unwrap();
    let options = PlaceOptions::default();
    assert!(write_to(&photo, None, &caption(Existing::Ours), &options).is_err());
    std::os::unix::fs::symlink("/dev/full", folder.path().join("a.txt")).unwrap();
    let mut texts = TextSidecars::default();
    let write = texts.write(&photo, &text("a dog", Existing::Ours), Effect::Write);
    assert!(write.is_err());
    assert_eq!(fs::read(&photo).unwrap(), media("media/animated.gif"));
}

#[test]
fn a_device_or_a_folder_named_like_a_photo_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("a.jpg");
    fs::create_dir(&photo).unwrap();
    let options = PlaceOptions::default();
    assert!(write_to(&photo, None, &caption(Existing::Ours), &options).is_err());
    assert!(undo_at(&photo, &options).is_err());
    #[cfg(unix)]
    assert!(undo_at(Path::new("/dev/null"), &options).is_err());
}

#[test]
fn texts_beside_photos_know_whose_words_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.jpg", "b.jpg"] {
        fs::write(path(name), b"photo").unwrap();
    }
    fs::write(path("b.txt"), "mine\r\n").unwrap();
    let before = content(folder.path());
    let mut texts = TextSidecars::default();
    let told = texts.write(
        &path("a.jpg"),
        &text("a dog", Existing::Ours),
        Effect::Pretend,
    );
    assert!(told.unwrap().has_changed);
    assert_eq!(content(folder.path()), before);
    let mut write = |name: &str, words: &str, existing| {
        let told = texts.write(&path(name), &text(words, existing), Effect::Write);
        told.unwrap().outcome
    };
    assert_eq!(write("a.jpg", "a dog", Existing::Ours), Outcome::Written);
    assert_eq!(write("b.jpg", "a dog", Existing::Ours), Outcome::Kept);
    assert_eq!(write("a.jpg", "a cat", Existing::Skip), Outcome::Kept);
    assert_eq!(write("a.jpg", "a cat", Existing::Ours), Outcome::Written);
    assert_eq!(fs::read(path("a.txt")).unwrap(), b"a cat\n");
    assert_eq!(write("b.jpg", "a dog", Existing::Append), Outcome::Written);
    assert_eq!(fs::read(path("b.txt")).unwrap(), b"mine a dog\n");
    assert_eq!(write("b.jpg", "a cat", Existing::Ours), Outcome::Written);
    assert_eq!(fs::read(path("b.txt")).unwrap(), b"mine a cat\n");

    // Another process knows the same, and a line that was cut short hurts nobody.
    let journal = path(JOURNAL_NAME);
    let cut = [&fs::read(&journal).unwrap()[..], b"{\"name\":\"a.t"].concat();
    fs::write(&journal, cut).unwrap();
    let mut texts = TextSidecars::default();
    let told = texts.write(
        &path("a.jpg"),
        &text("a cow", Existing::Ours),
        Effect::Write,
    );
    assert_eq!(told.unwrap().outcome, Outcome::Written);
    for name in ["a.jpg", "b.jpg"] {
        let told = texts.undo(&path(name), Effect::Write).unwrap();
        assert_eq!(told[0].outcome, Outcome::Undone, "{name}");
    }
    texts.finish().unwrap();
    let mut after = content(folder.path());
    let journal = after.remove(&journal).unwrap_or_default();
    assert_eq!(after, before);
    assert_eq!(
        journal, b"{\"name\":\"a.t\n",
        "a line that nobody understands stays"
    );
}

#[test]
fn edited_texts_stay_and_two_photos_do_not_share_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.jpg", "a.png"] {
        fs::write(path(name), b"photo").unwrap();
    }
    let mut texts = TextSidecars::default();
    let ours = text("a dog", Existing::Ours);
    texts.write(&path("a.jpg"), &ours, Effect::Write).unwrap();
    let error = texts
        .write(&path("a.png"), &ours, Effect::Write)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a.txt holds the caption of a.jpg"),
        "{error}"
    );
    let own = TextToWrite {
        extension: "jpg",
        ..ours.clone()
    };
    let error = texts
        .write(&path("a.jpg"), &own, Effect::Write)
        .unwrap_err();
    assert_eq!(error.kind(), "usage");
    fs::write(path("a.txt"), "my dog\n").unwrap();
    let told = texts.write(&path("a.jpg"), &ours, Effect::Write).unwrap();
    assert_eq!(told.outcome, Outcome::Kept);
    let told = texts.undo(&path("a.jpg"), Effect::Write).unwrap();
    assert_eq!(told[0].outcome, Outcome::Edited);
    assert_eq!(fs::read(path("a.txt")).unwrap(), b"my dog\n");
    fs::write(path("a.txt"), b"\xff\xfe").unwrap();
    let over = text("a dog", Existing::Overwrite);
    let error = texts
        .write(&path("a.jpg"), &over, Effect::Write)
        .unwrap_err();
    assert_eq!(error.kind(), "invalid_text");
    assert_eq!(fs::read(path("a.txt")).unwrap(), b"\xff\xfe");
}
