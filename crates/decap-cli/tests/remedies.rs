//! What went wrong is named by its cause, with what to do about that cause.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{decap, decap_well, file, photo, score, stderr, stdout, text};

/// What the program said that ended with this code.
#[track_caller]
fn said(code: i32, args: &[&str]) -> String {
    let output = decap(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

fn memory(folder: &Path) -> String {
    let captions = file(folder, "captions.txt", "a brown dog runs\na cat sleeps\n");
    let (out, cache) = (folder.join("memory"), folder.join("cache"));
    let build = ["memory", "build", text(&captions), "--out", text(&out)];
    decap_well(&[&build[..], &["--cache", text(&cache)]].concat());
    text(&out).to_owned()
}

#[test]
fn a_limit_names_the_option_that_raises_it_and_no_other() {
    let cat = photo("cat");
    // What an earlier search kept would be found without reading the photo.
    let cache = tempfile::tempdir().unwrap();
    let options = ["--max-file-mib", "--max-megapixels", "--max-video-seconds"];
    for (hit, most) in [("--max-megapixels", "0.01"), ("--max-file-mib", "0.001")] {
        for command in ["caption", "search"] {
            let words: &[&str] = match command {
                "search" => &["a cat", "--cache", text(cache.path())],
                _ => &[],
            };
            let typed = [&[command][..], words, &[&cat, hit, most]].concat();
            let said = said(1, &typed);
            for option in options {
                // `search` tells the fault alone.
                let expected = option == hit && command == "caption";
                assert_eq!(said.contains(option), expected, "{said}");
            }
            assert!(said.contains("expected"), "{said}");
        }
    }
}

#[test]
fn a_memory_given_for_something_else_is_called_a_memory() {
    let folder = tempfile::tempdir().unwrap();
    let memory = memory(folder.path());
    let out = folder.path().join("cat.npy");
    let as_encoder = [
        "embed",
        &photo("cat"),
        "--encoder",
        &memory,
        "-o",
        text(&out),
    ];
    let said_of_encoder = said(1, &as_encoder);
    assert!(
        said_of_encoder.contains("expected an encoder, got a memory")
            && said_of_encoder.contains("give the encoder that it was made with"),
        "{said_of_encoder}"
    );
    let said_of_model = said(1, &["caption", &photo("cat"), "--model", &memory]);
    assert!(
        said_of_model.contains("expected a captioner, got a memory")
            && said_of_model.contains("--memory"),
        "{said_of_model}"
    );
}

#[test]
fn text_given_for_a_photo_is_not_told_to_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(
        folder.path(),
        "captions.txt",
        "a brown dog\nein Fisch, größer\n",
    );
    let out = folder.path().join("x.npy");
    let said_of_text = said(1, &["embed", text(&captions), "-o", text(&out)]);
    assert!(said_of_text.contains("got text"), "{said_of_text}");
    assert!(
        said_of_text.contains("`decap embed --text FILE`"),
        "{said_of_text}"
    );
    assert!(!said_of_text.contains("convert it"), "{said_of_text}");
    let said_of_set = said(1, &["eval", text(&captions)]);
    assert!(said_of_set.contains("names its photos"), "{said_of_set}");
    assert!(!said_of_set.contains("MP4"), "{said_of_set}");
}

#[test]
fn a_cut_photo_is_damaged_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let cat = fs::read(photo("cat")).unwrap();
    let cut = file(folder.path(), "cut.webp", &cat[..cat.len() / 3]);
    let said = said(1, &["caption", text(&cut)]);
    assert!(
        said.contains("the WebP photo is damaged or cut short"),
        "{said}"
    );
    assert!(!said.contains("bitstream"), "{said}");
}

#[test]
fn a_missing_file_of_meteor_says_how_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let references = file(folder.path(), "r.json", r#"{"1": ["a dog"]}"#);
    let predictions = file(folder.path(), "p.json", r#"{"1": "a dog"}"#);
    let score = score(&references, &predictions);
    let said = said(1, &[&score[..], &["--meteor", "missing.bin"]].concat());
    assert!(said.contains("missing.bin"), "{said}");
    assert!(said.contains("--prepare-meteor"), "{said}");
}

#[test]
fn options_say_their_own_range() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", "a dog\na cat\n");
    let out = folder.path().join("model");
    let train = ["train", text(&captions), "--out", text(&out)];
    said(2, &[&train[..], &["--heads", "3"]].concat());
    said(2, &[&train[..], &["--tau", "nan"]].concat());
    assert!(!out.exists());
    let draws = "18446744073709551615";
    let score = [
        "score",
        "--references",
        "r",
        "--predictions",
        "p",
        "--draws",
        draws,
    ];
    said(2, &score);
    for (args, message) in [
        (["--tau", "-1"], "expected a number above 0, got `-1`"),
        (["--beam", "0"], "expected a whole number from 1 to"),
        (
            ["--frames", "5000"],
            "expected a whole number from 1 to 1024, got `5000`",
        ),
        (
            ["--max-megapixels", "0"],
            "expected a number above 0, got `0`",
        ),
    ] {
        let said = said(2, &[&["caption", "a.jpg"], &args[..]].concat());
        assert!(said.contains(message) && said.contains(args[0]), "{said}");
    }
    let build = [
        "memory",
        "build",
        "x.txt",
        "--out",
        "m",
        "--memory-dtype",
        "f64",
    ];
    let said = said(2, &build);
    assert!(
        said.contains("--memory-dtype") && said.contains("got `f64`"),
        "{said}"
    );
}

#[test]
fn nothing_to_search_is_a_failure_of_the_input() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["missing.jpg", text(folder.path())] {
        let output = decap(&["search", "a boat", path]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn ten_thousand_missing_ids_are_counted_and_a_few_named() {
    let folder = tempfile::tempdir().unwrap();
    let ids = (0..10_000).map(|id| format!("\"{id}\": [\"a dog\"]"));
    let references = format!("{{{}}}", ids.collect::<Vec<_>>().join(","));
    let references = file(folder.path(), "r.json", references);
    let predictions = file(folder.path(), "p.json", r#"{"0": "a dog"}"#);
    let score = score(&references, &predictions);
    let said = said(1, &score);
    assert!(said.contains("9999 ids: 1, 2, 3"), "{said}");
    assert!(said.len() < 1000, "{} bytes", said.len());
}

#[test]
fn names_and_sentences_reach_no_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "c.txt", "a \u{1b}[31mred dog\na cat\n");
    let (out, cache) = (folder.path().join("memory"), folder.path().join("cache"));
    let build = ["memory", "build", text(&captions), "--out", text(&out)];
    decap_well(&[&build[..], &["--cache", text(&cache)]].concat());
    let found = decap_well(&["memory", "search", "a red dog", "--memory", text(&out)]);
    assert!(
        found.contains("red dog") && !found.contains('\u{1b}'),
        "{found:?}"
    );
    let info = decap_well(&["memory", "info", text(&out)]);
    assert!(!info.contains('\u{1b}'), "{info:?}");
    for command in ["caption", "search"] {
        let words: &[&str] = if command == "search" { &["a cat"] } else { &[] };
        let typed = [&[command][..], words, &["missing\u{1b}[31m.jpg"]].concat();
        let said = said(1, &typed);
        assert!(
            said.contains("missing") && !said.contains('\u{1b}'),
            "{said:?}"
        );
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// A pipe that nobody writes to is named, whatever it is given for; to wait for it would take for ever.
    #[test]
    fn pipes_with_the_names_of_files_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| text(&folder.path().join(name)).to_owned();
        fs::create_dir(folder.path().join("model")).unwrap();
        for name in ["photo.jpg", "v.mp4", "decap.pt", "model/model.json"] {
            let made = Command::new("mkfifo").arg(path(name)).status().unwrap();
            assert!(made.success());
        }
        let captions = file(folder.path(), "c.txt", "a dog\n");
        let (captions, out) = (text(&captions).to_owned(), path("out"));
        let (checkpoint, model) = (path("decap.pt"), path("model"));
        let cases: [&[&str]; 6] = [
            &["caption", &path("photo.jpg"), &path("v.mp4")],
            &["caption", folder.path().to_str().unwrap()],
            &["memory", "search", &path("photo.jpg")],
            &["caption", &photo("cat"), "--model", &model],
            &[
                "embed",
                &photo("cat"),
                "--encoder",
                &checkpoint,
                "-o",
                &path("x.npy"),
            ],
            &[
                "import",
                &checkpoint,
                "--captions",
                &captions,
                "--encoder",
                "tiny",
                "--out",
                &out,
            ],
        ];
        for args in cases {
            let mut command = Command::new("timeout");
            command.args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_decap")]);
            let output = command.args(args).stdin(Stdio::null()).output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{args:?}: {}",
                stderr(&output)
            );
            assert_eq!(output.status.signal(), None, "{args:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_threads_are_bounded() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
        command.args(["model", "info"]).stdin(Stdio::null());
        command.env("RAYON_NUM_THREADS", "100000");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("1024 threads are the most"),
            "{}",
            stderr(&output)
        );
    }

    /// Where threads cannot be started, that is said. Memory for their stacks is bounded here, since a
    /// superuser may start any number.
    #[test]
    fn too_few_threads_are_told() {
        let line = format!(
            "ulimit -v 4000000; RAYON_NUM_THREADS=1000 RUST_MIN_STACK=100000000 exec {} model info",
            env!("CARGO_BIN_EXE_decap")
        );
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("too few threads"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
