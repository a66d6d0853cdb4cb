//! Outputs: never over an input or another's file, in the form that their name says, and told at the end.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{decap, decap_well, file, json, photo, score, stderr, stdout, text};

/// Wrong usage, before anything was written.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let output = decap(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    said
}

#[test]
fn scores_are_written_over_no_file_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let content = r#"{"1": ["a dog runs"], "2": ["a cat"]}"#;
    let references = file(folder.path(), "r.json", content);
    let predictions = file(folder.path(), "p.json", r#"{"1": "a dog", "2": "a cat"}"#);
    let letter = file(folder.path(), "letter.csv", "dear,you\n");
    let score = score(&references, &predictions);
    let (references, predictions) = (text(&references), text(&predictions));
    for option in ["--per-image", "--write-df"] {
        for over in [references, predictions, text(&letter)] {
            refused(&[&score[..], &[option, over]].concat());
        }
        // Its own are replaced.
        let own = folder.path().join(option.trim_start_matches('-'));
        for _ in 0..2 {
            decap_well(&[&score[..], &[option, text(&own)]].concat());
        }
    }
    assert_eq!(fs::read_to_string(references).unwrap(), content);
    assert_eq!(fs::read_to_string(&letter).unwrap(), "dear,you\n");
    if cfg!(unix) {
        decap_well(&[&score[..], &["--write-df", "/dev/null"]].concat());
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}

#[test]
fn embeddings_and_exports_are_written_over_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let sentences = file(folder.path(), "s.jsonl", "\"a dog\"\n\"a cat\"\n");
    let notes = file(folder.path(), "notes.jsonl", "{\"note\": 1}\n");
    for over in [&sentences, &notes] {
        let before = fs::read(over).unwrap();
        refused(&["embed", "--text", text(&sentences), "-o", text(over)]);
        assert_eq!(fs::read(over).unwrap(), before);
    }
    let own = folder.path().join("own.jsonl");
    for _ in 0..2 {
        decap_well(&["embed", "--text", text(&sentences), "-o", text(&own)]);
    }
    let letter = file(folder.path(), "letter.pt", "dear");
    refused(&["export", "--to", "decap-pt", "-o", text(&letter)]);
    assert_eq!(fs::read(&letter).unwrap(), b"dear");
}

#[test]
fn a_report_fills_no_folder_of_photos_and_replaces_no_other_models() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for name in ["cat", "bear"] {
        fs::copy(photo(name), photos.join(format!("{name}.webp"))).unwrap();
    }
    let lines = "{\"image\":\"cat.webp\",\"captions\":[\"a cat\"]}\n\
        {\"image\":\"bear.webp\",\"captions\":[\"a bear\"]}\n";
    let set = file(&photos, "set.jsonl", lines);
    let said = refused(&["eval", text(&set), "--report", text(&photos)]);
    assert!(said.contains("that of a report"), "{said}");
    assert_eq!(fs::read_dir(&photos).unwrap().count(), 3);

    let report = folder.path().join("report");
    let eval = ["eval", text(&set), "--report", text(&report)];
    decap_well(&eval);
    decap_well(&eval);
    // The same parts under another name are another model.
    let scores = report.join("scores.json");
    let own = fs::read_to_string(&scores).unwrap();
    let mut other = json(&own);
    other["model"]["name"] = "coco".into();
    let other = other.to_string();
    fs::write(&scores, &other).unwrap();
    let said = refused(&eval);
    assert!(
        said.contains("another model, `coco`") && said.contains("--fresh"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&scores).unwrap(), other);
    decap_well(&[&eval[..], &["--fresh"]].concat());
    assert_eq!(
        json(&fs::read_to_string(&scores).unwrap())["model"]["name"],
        "tiny"
    );
}

fn rows(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_told_before_anything_is_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let captions = file(folder.path(), "c.txt", "a dog\n");
    let cache = folder.path().join("cache");
    let build = ["memory", "build", text(&captions), "--cache", text(&cache)];
    let embed = ["embed", "--text", text(&captions)];
    for args in [
        [&build[..], &["--out", "/proc/no/memory"]].concat(),
        [&embed[..], &["-o", "/proc/no/x.npy"]].concat(),
    ] {
        let output = decap(&args);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(stderr(&output).contains("/proc/no"), "{}", stderr(&output));
    }
    assert!(!cache.exists(), "no sentence was embedded");
}

#[test]
fn the_name_of_an_output_decides_its_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (cat, boat) = (photo("cat"), photo("boat"));
    let caption = |out: &Path, more: &[&str]| {
        let typed = ["caption", &cat, &boat, "--evidence", "1", "-o", text(out)];
        decap(&[&typed[..], more].concat())
    };
    let output = caption(&path("x.csv"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = rows(&path("x.csv"));
    assert_eq!(
        lines[0],
        "path,caption,score,evidence_1,weight_1,confidence"
    );
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with(&format!("{cat},")), "{}", lines[1]);
    assert!(!lines[1].contains('\t'));

    let output = caption(&path("x.tsv"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = rows(&path("x.tsv"));
    assert!(lines[0].starts_with("path\tcaption\tscore\t"));
    assert!(lines.iter().all(|line| line.split('\t').count() == 6));

    let output = caption(&path("x.jsonl"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for line in rows(&path("x.jsonl")) {
        assert_eq!(json(&line)["evidence"].as_array().unwrap().len(), 1);
    }
    let output = caption(&path("x.txt"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(rows(&path("x.txt"))[0].contains('\t'));

    for (name, more) in [("x.tar.gz", &[][..]), ("y.csv", &["--json"])] {
        let output = caption(&path(name), more);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(!path(name).exists());
    }
}

#[test]
fn a_parquet_file_has_what_the_lines_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.parquet");
    let bad = folder.path().join("cut.jpg");
    fs::write(&bad, b"\xff\xd8\xff\xe0").unwrap();
    let args = [
        "caption",
        text(&bad),
        &photo("cat"),
        "--output",
        text(&path),
    ];
    assert_eq!(decap(&args).status.code(), Some(1));
    let column = |name| {
        let mut values = Vec::new();
        caption_data::for_each_value(&path, &[name], &mut |value| {
            values.push(value.map(|value| String::from_utf8(value.to_vec()).unwrap()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        values
    };
    let line = json(decap_well(&["caption", &photo("cat"), "--json"]).trim());
    let captions = column("caption");
    assert_eq!(captions[0], None);
    assert_eq!(captions[1].as_deref(), line["caption"].as_str());
    assert_eq!(column("run")[1].as_deref(), line["run"].as_str());
    assert_eq!(column("error_kind")[0].as_deref(), Some("damaged"));
}

/// The names and contents of an archive's members.
fn members(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let members = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    members.collect()
}

#[test]
fn a_tar_archive_has_the_photos_with_their_captions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.tar");
    let partial = folder.path().join("c.tar.partial");
    let bad = folder.path().join("cut.jpg");
    fs::write(&bad, b"\xff\xd8\xff\xe0").unwrap();
    let photos = ["cat", "boat", "bench"].map(photo);
    let mut args = vec!["caption", text(&bad)];
    args.extend(photos.iter().map(String::as_str));
    args.extend(["--output", text(&path)]);
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let whole = members(&path);
    let names: Vec<_> = whole.iter().map(|(name, _)| name.as_str()).collect();
    let endings = ["webp", "txt", "json"];
    let expected = (0..photos.len()).flat_map(|at| endings.map(|end| format!("{at:09}.{end}")));
    assert_eq!(names, expected.collect::<Vec<_>>());
    assert_eq!(whole[0].1, fs::read(&photos[0]).unwrap());
    let line = json(decap_well(&["caption", &photos[0], "--json"]).trim());
    assert_eq!(std::str::from_utf8(&whole[1].1).unwrap(), line["caption"]);
    let packed = json(std::str::from_utf8(&whole[2].1).unwrap());
    for key in ["path", "caption", "evidence", "run"] {
        assert_eq!(packed[key], line[key]);
    }

    // Cut short, as by a power failure, it goes on; another run is not mixed in.
    let bytes = fs::read(&path).unwrap();
    let begun = &bytes[..bytes.len() * 3 / 4];
    fs::rename(&path, &partial).unwrap();
    fs::write(&partial, begun).unwrap();
    assert_eq!(decap(&args).status.code(), Some(2));
    args.push("--resume");
    let mut other = args.clone();
    other.extend(["--beam", "2"]);
    assert_eq!(decap(&other).status.code(), Some(1));
    assert!(fs::read(&partial).unwrap() == begun, "nothing is lost");
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("resuming: "),
        "{}",
        stderr(&output)
    );
    let again = members(&path);
    assert_eq!(again.len(), whole.len());
    for ((name, content), (name_before, before)) in again.iter().zip(&whole) {
        assert_eq!(name, name_before);
        assert!(name.ends_with(".json") || content == before, "{name}");
    }
    // A finished archive is extended.
    let mut more = args.clone();
    let copy = folder.path().join("copy.webp");
    fs::copy(&photos[0], &copy).unwrap();
    more.insert(1, text(&copy));
    assert_eq!(decap(&more).status.code(), Some(1));
    assert_eq!(members(&path).len(), whole.len() + 3);
    assert!(!partial.exists());

    // A person's archive is left alone.
    let foreign = folder.path().join("mine.tar");
    let mut tar = tar::Builder::new(fs::File::create(&foreign).unwrap());
    tar.append_path_with_name(&copy, "copy.webp").unwrap();
    tar.finish().unwrap();
    let before = fs::read(&foreign).unwrap();
    let said = refused(&["caption", &photos[0], "--output", text(&foreign)]);
    assert!(said.contains("did not write"), "{said}");
    assert!(fs::read(&foreign).unwrap() == before);
}

#[test]
fn what_the_cache_knows_has_the_same_caption() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let copy = folder.path().join("other name.webp");
    fs::copy(photo("cat"), &copy).unwrap();
    let caption = |path: &Path| {
        let args = ["caption", text(path), "--json", "--cache", text(&cache)];
        let output = decap(&args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut line = json(String::from_utf8(output.stdout.clone()).unwrap().trim());
        let line = line.as_object_mut().unwrap();
        let encode = line["ms"]["encode"].as_f64().unwrap();
        line.remove("ms");
        line.remove("path");
        (line.clone(), encode, stderr(&output))
    };
    let (first, encode, said) = caption(Path::new(&photo("cat")));
    assert!(encode > 0.0 && !said.contains("seen before"), "{said}");
    let (again, encode, said) = caption(&copy);
    assert_eq!(again, first);
    assert_eq!(encode, 0.0);
    assert!(said.contains("seen before, from the cache: 1"), "{said}");
}

#[test]
fn photos_that_look_the_same_share_a_caption_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("1.webp", "cat"), ("2.webp", "boat"), ("3.webp", "cat")];
    let photos = photos_in(folder.path(), &names);
    let lines = |more: &[&str]| {
        let output = decap(&[&["caption", text(&photos), "--json"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let lines: Vec<Value> = lines.lines().map(json).collect();
        (lines, stderr(&output))
    };
    let (own, _) = lines(&[]);
    let (shared, said) = lines(&["--near-duplicates"]);
    assert!(said.contains("1 look nearly like one before"), "{said}");
    for (line, own) in shared.iter().zip(&own) {
        assert_eq!(line["caption"], own["caption"]);
        assert_ne!(line["run"], own["run"]);
        assert!(own.get("same_as").is_none());
    }
    assert!(shared[0].get("same_as").is_none() && shared[1].get("same_as").is_none());
    assert_eq!(shared[2]["same_as"], shared[0]["path"]);
    // The cosine of a photo with itself is no more than 1.
    let (none, _) = lines(&["--near-duplicates=1.1"]);
    assert!(none.iter().all(|line| line.get("same_as").is_none()));
}

#[test]
fn shards_share_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for name in ["a.webp", "b.webp", "c.webp"] {
        fs::copy(photo("cat"), photos.join(name)).unwrap();
    }
    let names = |shard: &str| -> Vec<String> {
        let printed = decap_well(&["caption", text(&photos), "--shard", shard, "--json"]);
        let path = |line: &str| json(line)["path"].as_str().unwrap().to_owned();
        printed
            .lines()
            .map(|line| path(line).rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("1/2"), ["a.webp", "c.webp"]);
    assert_eq!(names("2/2"), ["b.webp"]);
    let said = refused(&["caption", text(&photos), "--shard", "3/2"]);
    assert!(said.contains("such as 1/4"), "{said}");
}

#[test]
fn captions_of_little_confidence_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (cat, boat) = (photo("cat"), photo("boat"));
    let sure = |least: &str| {
        let out = folder.path().join(format!("{least}.jsonl"));
        let typed = ["caption", &cat, &boat, "--min-confidence", least];
        let output = decap(&[&typed[..], &["-o", text(&out)]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines: Vec<_> = rows(&out).iter().map(|line| json(line)).collect();
        (lines, stderr(&output))
    };
    let (lines, said) = sure("0");
    assert!(lines.iter().all(|line| line["caption"].is_string()));
    assert!(!said.contains("left out"), "{said}");
    let confidence = lines[0]["confidence"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&confidence), "{confidence}");
    let (lines, said) = sure("1");
    assert!(
        lines
            .iter()
            .all(|line| line["caption"].is_null() && line["confidence"].is_f64())
    );
    assert!(
        said.contains("captioned 0 of 2; 2 left out, their confidence is below 1.00"),
        "{said}"
    );
    // Finished lines are not done again.
    let out = folder.path().join("1.jsonl");
    let typed = ["caption", &cat, &boat, "--min-confidence", "1", "--resume"];
    let output = decap(&[&typed[..], &["-o", text(&out)]].concat());
    assert!(
        stderr(&output).contains("2 done, 0 to do"),
        "{}",
        stderr(&output)
    );

    refused(&["caption", &cat, "--min-confidence", "2"]);
    let sentences = file(folder.path(), "s.txt", "a cat\na dog\n");
    let memory = ["--memory", text(&sentences)];
    let typed = ["caption", &cat, "--min-confidence", "auto"];
    let said = refused(&[&typed[..], &memory].concat());
    assert!(said.contains("does not know how sure"), "{said}");
}

#[test]
fn a_finished_file_is_told_in_one_line_unless_asked_not_to() {
    let folder = tempfile::tempdir().unwrap();
    let (loud, quiet) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
    let cat = photo("cat");
    let output = decap(&["caption", &cat, "-o", text(&loud)]);
    assert_eq!(stderr(&output), format!("wrote {}\n", loud.display()));
    let output = decap(&["caption", &cat, "-o", text(&quiet), "--quiet"]);
    assert_eq!(
        (stderr(&output).as_str(), stdout(&output).as_str()),
        ("", "")
    );
    assert!(quiet.exists());
}

#[test]
fn evidence_is_what_a_caption_comes_from() {
    let evidence = |method: &str| {
        let (cat, more) = (
            photo("cat"),
            ["--method", method, "--evidence", "3", "--json"],
        );
        let printed = decap_well(&[&["caption", &cat], &more[..]].concat());
        json(&printed)
    };
    assert_eq!(
        evidence("projection")["evidence"].as_array().unwrap().len(),
        3
    );
    let nearest = evidence("nearest");
    assert_eq!(nearest["evidence"].as_array().unwrap().len(), 1);
    assert_eq!(nearest["evidence"][0]["weight"], 1.0);
    let retrieved = evidence("retrieval");
    assert_eq!(
        retrieved["evidence"][0]["text"],
        nearest["evidence"][0]["text"]
    );
    assert_eq!(evidence("visual")["evidence"].as_array().unwrap().len(), 0);
}

#[test]
fn milliseconds_are_each_photos_share() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("{number}.webp")).collect();
    for name in &names {
        fs::copy(photo("cat"), folder.path().join(name)).unwrap();
    }
    let began = std::time::Instant::now();
    let printed = decap_well(&["caption", text(folder.path()), "--json"]);
    let whole_ms = began.elapsed().as_secs_f64() * 1e3;
    let records: Vec<_> = printed.lines().map(json).collect();
    assert_eq!(records.len(), 8);
    for part in ["encode", "project", "generate"] {
        let all: f64 = records
            .iter()
            .map(|one| one["ms"][part].as_f64().unwrap())
            .sum();
        assert!(all < whole_ms, "{part}: {all} of {whole_ms}");
    }
}

#[test]
fn an_exported_part_of_a_vocabulary_is_not_imported_as_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let captions = file(folder.path(), "c.txt", "a dog\na cat\n");
    let output = decap(&["export", "--to", "decap-pt", "-o", text(&path("tiny.pt"))]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("`decap import` takes no such file"),
        "{}",
        stderr(&output)
    );
    let (checkpoint, out) = (path("tiny.pt"), path("again"));
    let import = ["import", text(&checkpoint), "--captions", text(&captions)];
    let more = ["--encoder", "tiny", "--out", text(&out)];
    let output = decap(&[&import[..], &more].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("expected a decoder of at least"),
        "{}",
        stderr(&output)
    );
    assert!(!out.exists());
}

#[test]
fn what_a_reader_decided_is_told_by_eval_too() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cat", "boat"] {
        fs::copy(photo(name), folder.path().join(format!("{name}.webp"))).unwrap();
    }
    let table = "image,caption,mood\ncat.webp,a cat,calm\nboat.webp,a boat,calm\n";
    let table = file(folder.path(), "set.csv", table);
    let output = decap(&["eval", text(&table)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("set.csv: column `caption` of 3"), "{said}");
}

#[test]
fn clip_scores_of_another_encoder_say_so_in_one_unit() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cat", "boat"] {
        fs::copy(photo(name), folder.path().join(format!("{name}.webp"))).unwrap();
    }
    let lines = "{\"image\":\"cat.webp\",\"captions\":[\"a cat\"]}\n\
        {\"image\":\"boat.webp\",\"captions\":[\"a boat\"]}\n";
    let set = file(folder.path(), "set.jsonl", lines);
    let output = decap(&["eval", text(&set), "--clip-score"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("CLIPScore is by the encoder"),
        "{}",
        stderr(&output)
    );
    let table = stdout(&output);
    let shown = table
        .split("CLIPScore ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(
        shown.parse::<f64>().unwrap() > 2.0,
        "times 100, as the other scores: {table}"
    );
    let predictions = "{\"cat.webp\": \"a cat\", \"boat.webp\": \"a boat\"}";
    let predictions = file(folder.path(), "p.json", predictions);
    let mut score = vec![
        "score",
        "--references",
        text(&set),
        "--predictions",
        text(&predictions),
    ];
    score.extend([
        "--photos",
        text(folder.path()),
        "--encoder",
        "tiny",
        "--json",
    ]);
    let output = decap(&score);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let notes = json(&stdout(&output))["notes"].to_string();
    assert!(notes.contains("CLIPScore is by the encoder"), "{notes}");
}

#[cfg(target_os = "linux")]
#[test]
fn two_names_that_are_no_text_are_two_rows() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    for name in [&b"caf\xe9.webp"[..], b"caf\xe8.webp", b"a\tb\nc.webp"] {
        fs::copy(photo("cat"), folder.path().join(OsStr::from_bytes(name))).unwrap();
    }
    let out = folder.path().join("x.jsonl");
    decap_well(&["embed", text(folder.path()), "-o", text(&out)]);
    let mut names: Vec<String> = rows(&out)
        .iter()
        .map(|line| json(line)["path"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");

    // Nor is one photo taken for the other.
    let other = folder.path().join(OsStr::from_bytes(b"caf\xe8.webp"));
    fs::copy(photo("boat"), other).unwrap();
    let cache = folder.path().join("cache");
    let search = [
        "search",
        "a boat",
        text(folder.path()),
        "--top",
        "3",
        "--json",
    ];
    let found = decap_well(&[&search[..], &["--cache", text(&cache)]].concat());
    let found: Vec<_> = found.lines().map(json).collect();
    assert!(
        found[0]["path"].as_str().unwrap().contains(r"caf\xe8"),
        "{found:?}"
    );
    assert_ne!(found[0]["score"], found[1]["score"]);
}

/// A reader that goes away is the end, quietly; a disk that is full and a stream that is closed are told.
#[cfg(target_os = "linux")]
#[test]
fn a_lost_standard_output_is_no_panic() {
    use std::process::{Command, Stdio};

    let cat = photo("cat");
    let commands: [&[&str]; 5] = [
        &["memory", "search", "a dog", "--top", "500"],
        &["memory", "info"],
        &["model", "info"],
        &["bench", "--list"],
        &["caption", &cat],
    ];
    for args in commands {
        let start = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
            command.args(args).stdin(Stdio::null());
            command
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = start(Stdio::piped());
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(stderr(&output), "", "{args:?}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");

        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = start(full.into()).wait_with_output().unwrap();
        assert!(
            stderr(&output).contains("cannot write"),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(output.status.code(), Some(1), "{args:?}");

        let line = format!("exec \"$0\" {} >&-", args.join(" ").replace("a dog", "dog"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_decap")]);
        let output = shell.output().unwrap();
        assert!(
            stderr(&output).contains("closed"),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
}

/// Photos in a folder called `photos`.
fn photos_in(folder: &Path, names: &[(&str, &str)]) -> std::path::PathBuf {
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    for (name, of) in names {
        fs::copy(photo(of), photos.join(name)).unwrap();
    }
    photos
}

#[test]
fn finished_forms_are_coco_results_and_metadata_of_an_image_folder() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos_in(
        folder.path(),
        &[
            ("COCO_val2014_000000000042.webp", "cat"),
            ("boat.webp", "boat"),
        ],
    );
    fs::write(photos.join("cut.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    let results = folder.path().join("results.json");
    let output = decap(&["caption", text(&photos), "-o", text(&results)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("not in the file: 1"), "{said}");
    let list = json(&fs::read_to_string(&results).unwrap());
    assert_eq!(list[0]["image_id"], 42);
    assert_eq!(list[1]["image_id"], "boat.webp");
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!(!folder.path().join("results.json.partial").exists());
    // It may be another program's: nothing in it says otherwise.
    refused(&["caption", text(&photos), "-o", text(&results)]);

    fs::remove_file(photos.join("cut.jpg")).unwrap();
    let metadata = photos.join("metadata.jsonl");
    decap_well(&["caption", text(&photos), "-o", text(&metadata)]);
    let lines = rows(&metadata);
    assert_eq!(lines.len(), 2);
    assert_eq!(json(&lines[1])["file_name"], "boat.webp");
    assert_eq!(json(&lines[1])["text"], list[1]["caption"]);
}

#[test]
fn a_gallery_is_a_page_beside_its_captions() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos_in(folder.path(), &[("cat.webp", "cat"), ("<b>.webp", "boat")]);
    fs::write(photos.join("cut.jpg"), b"\xff\xd8\xff\xe0").unwrap();
    let gallery = folder.path().join("gallery");
    let run = ["caption", text(&photos), "--gallery", text(&gallery)];
    for _ in 0..2 {
        let output = decap(&run);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
        assert!(
            stderr(&output).contains("index.html"),
            "{}",
            stderr(&output)
        );
    }
    let page = fs::read_to_string(gallery.join("index.html")).unwrap();
    assert!(!page.contains("<b>.webp"), "names are no markup");
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data = json(data.split_once("</script>").unwrap().0);
    assert_eq!(data["title"], "Captions of photos");
    let shown = data["photos"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    for one in shown {
        let is_cut = one["path"].as_str().unwrap().ends_with("cut.jpg");
        assert_eq!(one["error"].is_string(), is_cut);
        assert_eq!(one["caption"].is_string(), !is_cut);
        match one["small"].as_str() {
            Some(small) => {
                let small = fs::read(gallery.join(small)).unwrap();
                assert!(small.starts_with(b"\xff\xd8\xff"));
            }
            None => assert!(is_cut),
        }
    }
    let said = refused(&["caption", text(&photos), "--gallery", text(&photos)]);
    assert!(said.contains("choose another"), "{said}");
    refused(&["caption", text(&photos), "--gallery", "g", "-o", "x.csv"]);
}

#[test]
fn an_edited_table_goes_back_into_the_photos() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos_in(
        folder.path(),
        &[("a.webp", "cat"), ("b.webp", "boat"), ("c.webp", "bear")],
    );
    let table = folder.path().join("captions.csv");
    decap_well(&[
        "caption",
        text(&photos),
        "--write",
        "xmp",
        "-o",
        text(&table),
    ]);
    let edited: Vec<String> = rows(&table)
        .into_iter()
        .enumerate()
        .map(|(place, row)| {
            let path = row.split(',').next().unwrap().to_owned();
            match place {
                1 => format!("{path},\"Our cat, Molly\",0"),
                2 => format!("{path},,0"),
                _ => row,
            }
        })
        .chain([format!("{},a ghost,0", text(&photos.join("gone.webp")))])
        .collect();
    let table = file(folder.path(), "edited.csv", edited.join("\r\n"));

    let written = |of: &str| fs::read(photos.join(of)).unwrap();
    let before = written("a.webp");
    let plan = decap(&["write", text(&table), "--write", "xmp", "--dry-run"]);
    assert_eq!(plan.status.code(), Some(1), "a photo is missing");
    assert!(stdout(&plan).contains("would write xmp\tOur cat, Molly"));
    assert_eq!(written("a.webp"), before);

    let output = decap(&["write", text(&table), "--write", "xmp"]);
    let said = stderr(&output);
    assert!(
        said.contains("wrote captions of 1 photo; 1 photo had theirs"),
        "{said}"
    );
    assert!(said.contains("rows without a caption: 1"), "{said}");
    assert!(said.contains("gone.webp"), "{said}");
    let has_words = |of: &str| String::from_utf8_lossy(&written(of)).contains("Our cat, Molly");
    assert!(has_words("a.webp"));

    // They are a person's now, until they are taken back.
    let output = decap(&["caption", text(&photos), "--write", "xmp"]);
    assert!(stderr(&output).contains("left 1 photo with other captions alone"));
    assert!(has_words("a.webp"));
    decap_well(&["caption", text(&photos), "--undo"]);
    assert_eq!(written("a.webp"), fs::read(photo("cat")).unwrap());

    let said = refused(&["write", text(&table)]);
    assert!(said.contains("--write xmp"), "{said}");
    let other = file(folder.path(), "other.csv", "path,words\na.webp,a cat\n");
    let output = decap(&["write", text(&other), "--write", "xmp"]);
    assert!(
        stderr(&output).contains("a column of captions"),
        "{}",
        stderr(&output)
    );
}
