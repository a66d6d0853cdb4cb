//! Slips of the keyboard, Ctrl-C and full disks: nothing that was there is lost.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::process::{Command, Stdio};

use common::{decap, decap_well, file, json, photo, stderr, stdout, text};

const SENTENCES: &str = "a brown dog runs\na cat sleeps\ntwo birds sit\na man rides a horse\n\
    a red bus\na plate of food\na boy plays\nsnow on a hill\n";

/// Arguments that train a toy in seconds.
fn train<'a>(captions: &'a Path, out: &'a Path, cache: &'a Path) -> Vec<&'a str> {
    let (captions, out, cache) = (text(captions), text(out), text(cache));
    let mut args = vec!["train", captions, "--out", out, "--cache", cache];
    args.extend(["--width", "32", "--layers", "1", "--heads", "2"]);
    args.extend(["--batch", "4", "--epochs", "3", "--held-out", "0"]);
    args
}

#[test]
fn a_folder_with_other_files_is_never_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", SENTENCES);
    let cache = folder.path().join("cache");
    let mine = folder.path().join("mine");
    fs::create_dir(&mine).unwrap();
    // A file of somebody's own that has the name of one of a memory's.
    file(&mine, "captions.txt", "dear");
    let memory = ["memory", "build", text(&captions), "--out", text(&mine)];
    let align = [
        "align",
        "p.jsonl",
        "--image-tower",
        "i.json",
        "--text-tower",
        "t.json",
        "--out",
        text(&mine),
    ];
    for args in [&memory[..], &align, &train(&captions, &mine, &cache)] {
        let output = decap(args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("new or an empty folder"),
            "{}",
            stderr(&output)
        );
    }
    let left: Vec<_> = fs::read_dir(&mine).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(
        fs::read_to_string(mine.join("captions.txt")).unwrap(),
        "dear"
    );

    // Nor is a memory replaced by another.
    let out = folder.path().join("memory");
    let build = [
        "memory",
        "build",
        text(&captions),
        "--out",
        text(&out),
        "--cache",
        text(&cache),
    ];
    decap_well(&build);
    let output = decap(&build);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let message = "there is a memory already";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    let found = decap_well(&[
        "memory",
        "search",
        "a dog",
        "--memory",
        text(&out),
        "--top",
        "1",
    ]);
    assert!(found.contains("a brown dog runs"), "{found}");
}

#[test]
fn a_run_is_neither_lost_nor_in_need_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", SENTENCES);
    let (out, cache) = (folder.path().join("model"), folder.path().join("cache"));
    let args = train(&captions, &out, &cache);
    // An unfinished run: a checkpoint and no model.
    fs::create_dir(&out).unwrap();
    let checkpoint = file(&out, "checkpoint.safetensors", "dear");
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--resume goes on"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&checkpoint).unwrap(), b"dear");
    fs::remove_file(&checkpoint).unwrap();
    // Stopped before its first checkpoint, a run begins anew.
    decap_well(&[&args[..], &["--resume"]].concat());
    assert!(out.join("model.json").exists());
}

/// `until decap train ... --resume; do :; done` ends, wherever the run before was killed.
#[test]
fn a_finished_training_is_resumed_to_a_good_end() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", SENTENCES);
    let (out, cache) = (folder.path().join("model"), folder.path().join("cache"));
    let args = train(&captions, &out, &cache);
    decap_well(&args);
    let model = fs::read(out.join("model.json")).unwrap();
    // Killed after the model was whole and before the checkpoint was removed; then not even that.
    file(&out, "checkpoint.safetensors", "left");
    for _ in 0..2 {
        let output = decap(&[&args[..], &["--resume"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("finished already"), "{said}");
        assert!(!out.join("checkpoint.safetensors").exists());
    }
    // Another run is not taken for it, nor is it begun anew.
    let other = file(folder.path(), "other.txt", SENTENCES);
    let resumed = train(&other, &out, &cache);
    let output = decap(&[&resumed[..], &["--resume"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(decap(&args).status.code(), Some(2));
    assert_eq!(fs::read(out.join("model.json")).unwrap(), model);
}

#[cfg(unix)]
#[test]
fn a_run_that_does_not_fit_its_checkpoint_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", SENTENCES);
    let cache = folder.path().join("cache");
    let kept = folder.path().join("kept");
    let slow = [
        &train(&captions, &kept, &cache)[..],
        &["--max-steps", "400000"],
    ]
    .concat();
    let mut child = start(&[&slow[..], &["--checkpoint-every", "1"]].concat());
    wait_for(&kept.join("checkpoint.safetensors"), &mut child);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        stderr(&output).contains("--resume goes on"),
        "{}",
        stderr(&output)
    );
    // How long it takes was said before it began.
    assert!(
        stderr(&output).contains("on this machine it takes about"),
        "{}",
        stderr(&output)
    );
    let other = [
        &train(&captions, &kept, &cache)[..],
        &["--resume", "--seed", "7"],
    ]
    .concat();
    let output = decap(&other);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("train into a new folder"), "{message}");
}

#[cfg(unix)]
fn start(args: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
/// Waits until `path` is there; the program must still run then.
fn wait_for(path: &Path, child: &mut std::process::Child) {
    while !path.exists() {
        std::thread::yield_now();
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
    }
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(kill.success());
}

/// Ctrl-C keeps what is done in FILE.partial; `--resume` ends where an undisturbed run ends.
#[cfg(unix)]
#[test]
fn an_interrupted_captioning_is_taken_up_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for number in 0..60 {
        let name = ["cat", "bear", "boat"][number % 3];
        fs::copy(photo(name), photos.join(format!("{number:03}.webp"))).unwrap();
    }
    let out = folder.path().join("captions.txt");
    let partial = folder.path().join("captions.txt.partial");
    let mut args = vec!["caption", text(&photos), "--output", text(&out)];
    args.extend(["--batch", "2", "--beam", "1"]);
    let mut child = start(&args);
    let is_begun = || fs::read_to_string(&partial).is_ok_and(|lines| lines.contains('\n'));
    while !is_begun() {
        std::thread::yield_now();
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("to do the rest: ") && stderr(&output).contains(" --resume"),
        "{}",
        stderr(&output)
    );
    assert!(!out.exists(), "half a file has no name");
    let done = fs::read_to_string(&partial).unwrap().lines().count();
    assert!((1..60).contains(&done), "{done}");

    let output = decap(&[&args[..], &["--resume"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = format!("resuming: {done} done, {} to do", 60 - done);
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    let lines = fs::read_to_string(&out).unwrap();
    assert_eq!(lines.lines().count(), 60);
    for (number, line) in lines.lines().enumerate() {
        assert!(line.contains(&format!("{number:03}.webp\t")), "{line}");
    }
    assert!(!partial.exists());
}

/// Files may grow to 8 blocks of 512 bytes, and the signal that would end the program is off:
/// writes fail as they do on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_model_and_no_file_that_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "captions.txt", SENTENCES);
    let (out, cache) = (folder.path().join("model"), folder.path().join("cache"));
    // The embeddings are known before the disk is full.
    let memory = folder.path().join("memory");
    let build = [
        "memory",
        "build",
        text(&captions),
        "--out",
        text(&memory),
        "--cache",
        text(&cache),
    ];
    decap_well(&build);
    let npy = folder.path().join("sentences.npy");
    let embed = ["embed", "--text", text(&captions), "--output", text(&npy)];
    for args in [&train(&captions, &out, &cache)[..], &embed] {
        let line = format!(
            "trap '' XFSZ; ulimit -f 8; exec {} {}",
            env!("CARGO_BIN_EXE_decap"),
            args.join(" ")
        );
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{args:?}: {}",
            stderr(&output)
        );
        let path = if args[0] == "train" { &out } else { &npy };
        assert!(stderr(&output).contains(text(path)), "{}", stderr(&output));
    }
    assert!(!npy.exists());
    assert!(!out.join("model.json").exists());
    let model = decap(&["caption", &photo("cat"), "--model", text(&out)]);
    assert_eq!(model.status.code(), Some(1), "{}", stdout(&model));
    // With room again, the same command goes on.
    decap_well(&[&train(&captions, &out, &cache)[..], &["--resume"]].concat());
    decap_well(&["caption", &photo("cat"), "--model", text(&out)]);
}

#[test]
fn a_photo_that_is_not_there_is_no_sentence_to_search_for() {
    let output = decap(&["memory", "search", "no-such-photo.jpg"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("no-such-photo.jpg"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_input_that_cannot_be_embedded_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, npy) = (
        folder.path().join("empty"),
        folder.path().join("photos.npy"),
    );
    fs::create_dir(&empty).unwrap();
    let output = decap(&["embed", &photo("cat"), text(&empty), "--output", text(&npy)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no photo or video in this folder"),
        "{}",
        stderr(&output)
    );
    assert!(npy.exists(), "the cat is there");
    let nothing = folder.path().join("nothing.npy");
    let output = decap(&["embed", text(&empty), "--output", text(&nothing)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!nothing.exists());
}

#[test]
fn a_line_of_json_has_the_keys_of_the_contract() {
    let printed = decap_well(&["caption", &photo("cat"), "--json", "--evidence", "1"]);
    let places = |line: &str, keys: &[&str]| {
        let place = |key: &&str| line.find(&format!("\"{key}\":")).unwrap();
        let places: Vec<usize> = keys.iter().map(place).collect();
        assert!(places.is_sorted(), "{line}");
    };
    let keys = |value: &serde_json::Value| value.as_object().unwrap().len();
    let order = [
        "path",
        "caption",
        "score",
        "confidence",
        "chosen_from",
        "evidence",
        "text",
        "weight",
        "model",
        "run",
        "ms",
    ];
    places(&printed, &order);
    assert_eq!(keys(&json(&printed)), 9);
    assert_eq!(keys(&json(&printed)["evidence"][0]), 2);

    let output = decap(&["caption", "missing.jpg", "--json"]);
    let printed = stdout(&output);
    places(&printed, &["path", "error", "kind", "message"]);
    assert_eq!(keys(&json(&printed)), 2);
    assert_eq!(keys(&json(&printed)["error"]), 2);
}

#[test]
fn a_banned_word_leaves_words_that_share_its_pieces() {
    let caption = |extra: &[&str]| {
        let bear = photo("bear");
        let printed = decap_well(&[&["caption", &bear, "--json"], extra].concat());
        json(&printed)["caption"].as_str().unwrap().to_owned()
    };
    // Word pieces that the caption's own words do not need: a long word changes nothing.
    assert_eq!(caption(&["--ban", "grizzlyish"]), caption(&[]));
    let plain = caption(&[]);
    let word = plain.split(' ').find(|word| word.len() > 3).unwrap();
    let word = word.trim_end_matches('.');
    let without = caption(&["--ban", word]);
    let mut words = without.split(' ').map(|other| other.trim_end_matches('.'));
    assert!(!words.any(|other| other == word), "{without}");
}

#[test]
fn sentences_and_lengths_are_as_asked() {
    let caption = |extra: &[&str]| {
        let bear = photo("bear");
        let printed = decap_well(&[&["caption", &bear, "--json"], extra].concat());
        json(&printed)["caption"].as_str().unwrap().to_owned()
    };
    let sentence = caption(&["--sentence-case"]);
    assert!(sentence.starts_with(char::is_uppercase), "{sentence}");
    assert!(sentence.ends_with('.'), "{sentence}");
    for power in ["0", "3"] {
        assert!(!caption(&["--length-penalty", power]).is_empty());
    }
    let bear = photo("bear");
    let both = [
        "caption",
        &bear,
        "--length-penalty",
        "1",
        "--temperature",
        "1",
    ];
    assert_eq!(decap(&both).status.code(), Some(2));
}

/// On a terminal, Ctrl-C takes the bar off the screen, with and without a safe point to stop at.
#[cfg(target_os = "linux")]
#[test]
fn no_bar_is_left_after_ctrl_c() {
    use std::io::{Read, Write};

    const CLEARED_LINE: &str = "\u{1b}[2K";
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for number in 0..60 {
        fs::copy(photo("cat"), photos.join(format!("{number}.webp"))).unwrap();
    }
    for (command, out) in [("embed", "x.npy"), ("caption", "x.txt")] {
        let out = folder.path().join(out);
        let program = env!("CARGO_BIN_EXE_decap");
        let line = format!("{program} {command} {} -o {}", text(&photos), text(&out));
        // It gives the program a terminal, which turns the byte of Ctrl-C into the signal.
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &line, "/dev/null"]);
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut terminal) = terminal.spawn() else {
            return common::skipped::skip("the program `script`");
        };
        let mut screen = terminal.stdout.take().unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        let is_drawn = |seen: &[u8]| String::from_utf8_lossy(seen).contains("/60 ");
        while !is_drawn(&seen) {
            let count = screen.read(&mut buffer).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        // It stays open: without a keyboard the terminal would be closed.
        let mut keyboard = terminal.stdin.take().unwrap();
        keyboard.write_all(b"\x03").unwrap();
        screen.read_to_end(&mut seen).unwrap();
        assert_eq!(terminal.wait().unwrap().code(), Some(130));
        let seen = String::from_utf8_lossy(&seen);
        let (_, after) = seen.rsplit_once("/60 ").unwrap();
        assert!(after.contains(CLEARED_LINE), "{command}: {after:?}");
    }
}
