//! The program as people run it: the bundled model, real photos, bad input.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn decap(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn photos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos")
}

fn photo(name: &str) -> String {
    photos().join(name).to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A few invented captions, enough to train a toy on.
fn captions_file(folder: &Path) -> PathBuf {
    let path = folder.join("captions.txt");
    let mut lines = String::new();
    for animal in ["dog", "cat", "bear", "horse", "bird"] {
        for place in ["grass", "sand", "snow", "road"] {
            for verb in ["runs", "sits", "sleeps"] {
                lines += &format!("a brown {animal} {verb} on the {place}\n");
            }
        }
    }
    fs::write(&path, lines).unwrap();
    path
}

/// Arguments that train a toy in seconds.
fn train_args<'a>(captions: &'a str, out: &'a str, cache: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", captions, "--out", out, "--cache", cache];
    args.extend([
        "--width", "32", "--layers", "1", "--heads", "2", "--batch", "8",
    ]);
    args.extend(["--epochs", "4", "--checkpoint-every", "3"]);
    args
}

/// A word of each photo's caption; `golden.rs` has the whole captions.
const SEEN: [(&str, &str); 9] = [
    ("airplane", "airplane"),
    ("bear", "bear"),
    ("bench", "bench"),
    ("bicycle", "bicycle"),
    ("boat", "boat"),
    ("cat", "cat"),
    ("laptop", "laptop"),
    ("taxis", "cars"),
    ("tram", "train"),
];

#[test]
fn every_example_photo_gets_a_caption_that_names_what_is_in_it() {
    let output = decap(&["caption", text(&photos()), "--json", "--evidence", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let records = json_lines(&stdout(&output));
    assert_eq!(records.len(), SEEN.len());
    for (record, (name, seen)) in records.iter().zip(SEEN) {
        assert_eq!(record["path"], photo(&format!("{name}.webp")).as_str());
        let caption = record["caption"].as_str().unwrap();
        assert!(words(caption).any(|word| word == seen), "{record}");
        assert!(record["score"].as_f64().unwrap() < 0.0, "{record}");
        assert_eq!(record["model"], "tiny");
        assert!(record["ms"]["encode"].as_f64().unwrap() > 0.0);
        let evidence = record["evidence"].as_array().unwrap().iter();
        let weights: Vec<f64> = evidence
            .map(|evidence| evidence["weight"].as_f64().unwrap())
            .collect();
        assert_eq!(weights.len(), 3);
        assert!(
            weights.is_sorted_by(|a, b| a >= b) && weights[0] <= 1.0,
            "{record}"
        );
    }
}

/// The words of a caption, without its full stop.
fn words(caption: &str) -> impl Iterator<Item = &str> {
    caption.split(' ').map(|word| word.trim_end_matches('.'))
}

#[test]
fn text_output_is_a_line_a_photo_and_the_same_each_time() {
    let args = ["caption", &photo("cat.webp"), &photo("bear.webp")];
    let output = decap(&args);
    let lines = stdout(&output);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for (line, name) in lines.lines().zip(["cat", "bear"]) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], photo(&format!("{name}.webp")));
        assert!(words(fields[1]).any(|word| word == name), "{line}");
        // Evidence: a weight and a sentence; behind it the confidence.
        assert_eq!(fields.len(), 2 + 3 + 1, "{line}");
        assert!(fields[5].starts_with("confidence 0."), "{line}");
        for field in &fields[2..5] {
            let (weight, sentence) = field.split_once(' ').unwrap();
            assert!(weight.parse::<f32>().unwrap() > 0.0 && !sentence.is_empty());
        }
    }
    assert_eq!(stdout(&decap(&args)), lines);
    let none = decap(&[&args[..], &["--evidence", "0"]].concat());
    let fields = |line: &str| line.split('\t').count();
    assert!(stdout(&none).lines().all(|line| fields(line) == 2));
}

/// The caption of the bear, with these options, and its score.
fn bear(options: &[&str]) -> (String, f64) {
    let bear = photo("bear.webp");
    let output = decap(&[&["caption", &bear, "--json"], options].concat());
    let code = output.status.code();
    assert_eq!(code, Some(0), "{options:?}: {}", stderr(&output));
    let record = &json_lines(&stdout(&output))[0];
    let caption = record["caption"].as_str().unwrap().to_owned();
    (caption, record["score"].as_f64().unwrap())
}

#[test]
fn three_methods_write_and_two_quote() {
    let memory = include_str!("../../../models/tiny/captions.txt");
    let is_quoted = |caption: &str| memory.lines().any(|line| line == caption);
    for method in ["projection", "visual", "nearest"] {
        let (caption, score) = bear(&["--method", method]);
        assert!(
            words(&caption).any(|word| word == "bear"),
            "{method}: {caption}"
        );
        assert!(score < 0.0, "{method}: a mean log-probability, got {score}");
    }
    for method in ["retrieval", "consensus"] {
        let (caption, score) = bear(&["--method", method]);
        assert!(is_quoted(&caption), "{caption}");
        assert!((0.0..=1.0).contains(&score), "a cosine, got {score}");
    }
}

#[test]
fn a_choice_says_where_the_caption_comes_from() {
    let bear = |arguments: &[&str]| {
        let output = decap(&[&["caption", &photo("bear.webp"), "--json"][..], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let record = json_lines(&stdout(&output)).remove(0);
        (
            record["chosen_from"].as_str().unwrap().to_owned(),
            stderr(&output),
        )
    };
    for (arguments, from) in [
        (&["--rerank", "none"][..], "written"),
        (&["--rerank", "consensus", "--written-only"], "written"),
        (&["--rerank", "encoder", "--written-only"], "written"),
        (&["--method", "retrieval"], "memory"),
        (&["--method", "consensus"], "memory"),
        (&["--temperature", "0.5"], "written"),
    ] {
        let (found, told) = bear(arguments);
        assert_eq!(found, from, "{arguments:?}");
        assert!(!told.contains("changes nothing"), "{told}");
    }
    let (_, told) = bear(&["--method", "visual", "--rerank", "consensus"]);
    assert!(
        told.contains("--rerank changes nothing without --method projection"),
        "{told}"
    );
    let (_, told) = bear(&["--rerank", "none", "--written-only"]);
    assert!(
        told.contains("change nothing without --rerank consensus"),
        "{told}"
    );
    for senseless in [
        &["--method", "consensus", "--written-only"][..],
        &["--rerank", "most"],
        &["--rerank", "consensus", "--consensus-tau", "0"],
        &["--rerank", "consensus", "--consensus-voters", "0"],
        &["--rerank", "consensus", "--consensus-penalty", "x"],
    ] {
        let output = decap(&[&["caption", &photo("bear.webp")][..], senseless].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{senseless:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn writing_is_as_asked() {
    // What the decoder writes, not what is chosen among it and the memory.
    let bear = |options: &[&str]| bear(&[options, &["--rerank", "none"]].concat());
    let (greedy, greedy_score) = bear(&[]);
    let is_short = words(&greedy).count() < 14;
    assert!(is_short, "{greedy}");
    let (long, _) = bear(&["--min-length", "16"]);
    assert!(
        long.split(' ').count() > greedy.split(' ').count(),
        "{long}"
    );
    let (short, _) = bear(&["--max-length", "3"]);
    assert!(words(&short).count() <= 3, "{short}");
    let (_, beam_score) = bear(&["--beam", "5", "--length-penalty", "1"]);
    // What a wider search finds is not less likely; sums are taken in another order.
    let least = greedy_score - 1e-3;
    assert!(beam_score >= least, "{beam_score} {greedy_score}");
    let warm = ["--temperature", "0.9", "--top-p", "0.95", "--seed"];
    let sampled = |seed| bear(&[&warm[..], &[seed]].concat()).0;
    assert_eq!(sampled("3"), sampled("3"));
    assert!(
        ["4", "5", "6"]
            .iter()
            .any(|seed| sampled(seed) != sampled("3"))
    );
    let (banned, _) = bear(&["--ban", "bear"]);
    assert!(!words(&banned).any(|word| word == "bear"), "{banned}");
    let (plain, _) = bear(&["--no-repeat-ngram", "1"]);
    let mut seen: Vec<&str> = words(&plain).collect();
    seen.sort_unstable();
    let all = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), all, "{plain}");
    let snowman = decap(&["caption", &photo("bear.webp"), "--ban", "\u{2603}"]);
    assert_eq!(snowman.status.code(), Some(0));
    let message = "this model never writes `\u{2603}`";
    assert!(stderr(&snowman).contains(message), "{}", stderr(&snowman));
}

#[test]
fn paths_come_from_globs_and_standard_input_too() {
    let pattern = photo("b*.webp");
    let output = decap(&["caption", &pattern]);
    assert_eq!(
        stdout(&output).lines().count(),
        4,
        "bear, bench, bicycle, boat"
    );
    let mut child = command(&["caption", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list = format!("{}\n\n{}\n", photo("cat.webp"), photo("missing.webp"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(list.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let records = json_lines(&stdout(&output));
    assert!(records[0]["caption"].is_string());
    assert_eq!(records[1]["error"]["kind"], "not_found");
}

#[test]
fn a_photo_is_captioned_while_the_list_still_grows() {
    let mut child = command(&["caption", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut list = child.stdin.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let captions = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in captions.lines().map_while(Result::ok) {
            // The test may have failed by then.
            let _sent = sender.send(line);
        }
    });
    for name in ["cat.webp", "boat.webp"] {
        writeln!(list, "{}", photo(name)).unwrap();
        let line = lines.recv_timeout(std::time::Duration::from_secs(120));
        assert!(
            line.as_ref().is_ok_and(|line| line.contains(name)),
            "{name}: {line:?}"
        );
    }
    drop(list);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn bad_photos_are_named_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(photos().join("cat.webp")).unwrap();
    fs::write(path("a_empty.jpg"), b"").unwrap();
    fs::write(path("b_text.jpg"), b"this is no picture").unwrap();
    fs::write(path("c_cut.webp"), &whole[..whole.len() / 3]).unwrap();
    fs::write(path("d_huge.png"), huge_png_header()).unwrap();
    fs::write(path("e_good.webp"), &whole).unwrap();
    let output = decap(&["caption", text(folder.path()), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let records = json_lines(&stdout(&output));
    assert_eq!(records.len(), 5, "{records:?}");
    let kind = |index: usize| records[index]["error"]["kind"].as_str();
    assert_eq!(kind(0), Some("empty"));
    assert_eq!(kind(1), Some("unsupported"));
    assert_eq!(kind(2), Some("damaged"));
    assert_eq!(kind(3), Some("too_large"));
    assert!(records[4]["caption"].is_string());
    for (record, name) in records.iter().zip(["a_empty", "b_text", "c_cut", "d_huge"]) {
        let message = record["error"]["message"].as_str().unwrap();
        assert!(message.contains(name), "{message}");
    }
    assert!(
        stderr(&output).contains("--max-megapixels"),
        "the remedy: {}",
        stderr(&output)
    );
}

/// The header of a PNG of 60,000 by 60,000 pixels, and nothing else.
fn huge_png_header() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(60_000u32.to_be_bytes());
    png.extend(60_000u32.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    let checksum = crc32(&png[12..]);
    png.extend(checksum.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(unix)]
#[test]
fn a_photo_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let permit = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.webp");
    fs::copy(photos().join("cat.webp"), &path).unwrap();
    permit(&path, 0o000);
    let mut command = if fs::File::open(&path).is_err() {
        command(&["caption", text(&path), "--json"])
    } else {
        // Root may read everything, so the program runs as nobody, from where nobody may go.
        let program = folder.path().join("decap");
        fs::copy(env!("CARGO_BIN_EXE_decap"), &program).unwrap();
        permit(folder.path(), 0o755);
        permit(&program, 0o755);
        let mut command = Command::new(program);
        command.args(["caption", text(&path), "--json"]);
        command.current_dir(folder.path()).uid(NOBODY);
        command
    };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let record = &json_lines(&stdout(&output))[0];
    assert_eq!(record["error"]["kind"], "permission_denied", "{record}");
    assert!(
        record["error"]["message"]
            .as_str()
            .unwrap()
            .contains("secret.webp")
    );
}

#[test]
fn a_folder_without_photos_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = decap(&["caption", text(folder.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no photo or video in this folder; --recursive"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_usage_ends_with_code_two() {
    for args in [
        &["caption"][..],
        &["caption", "x.jpg", "--method", "magic"],
        &["caption", "x.jpg", "--resume"],
        &["caption", "x.jpg", "--beam", "0"],
        &["embed", "x.jpg", "--output", "x.pdf"],
        &["nonsense"],
    ] {
        assert_eq!(decap(args).status.code(), Some(2), "{args:?}");
    }
    let output = decap(&["caption", &photo("cat.webp"), "--tau", "-1"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_file_appears_when_it_is_whole_and_resume_does_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("captions.jsonl");
    let partial = folder.path().join("captions.jsonl.partial");
    let (cat, bear) = (photo("cat.webp"), photo("bear.webp"));
    // Work is kept that the same model did with the same options.
    let done = decap(&["caption", &cat, "--json"]);
    let run = &json_lines(&stdout(&done))[0]["run"];
    let kept = format!("{{\"path\":{cat:?},\"caption\":\"kept\",\"run\":{run}}}\n");
    fs::write(&partial, format!("{kept}{{\"path\":")).unwrap();
    let args = [
        "caption",
        &cat,
        &bear,
        "--json",
        "--output",
        text(&out),
        "--resume",
    ];
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let records = json_lines(&fs::read_to_string(&out).unwrap());
    assert_eq!(records[0]["caption"], "kept");
    assert_eq!(records[1]["path"].as_str().unwrap(), bear);
    assert_eq!(records.len(), 2);
    assert!(!partial.exists());
}

#[test]
fn embeddings_are_unit_rows_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let npy = folder.path().join("photos.npy");
    let output = decap(&[
        "embed",
        &photo("cat.webp"),
        "missing.jpg",
        "--output",
        text(&npy),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let array = decap::read_npy(&npy).unwrap();
    assert_eq!(array.shape[0], 2);
    let (cat, missing) = array.values.split_at(array.shape[1]);
    assert!((cat.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(
        missing.iter().all(|value| value.is_nan()),
        "row n stays input n"
    );

    let sentences = folder.path().join("sentences.txt");
    fs::write(&sentences, "a cat\na dog\n").unwrap();
    let jsonl = folder.path().join("sentences.jsonl");
    let output = decap(&[
        "embed",
        "--text",
        text(&sentences),
        "--output",
        text(&jsonl),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let records = json_lines(&fs::read_to_string(&jsonl).unwrap());
    assert_eq!(records[1]["text"], "a dog");
    assert_eq!(
        records[1]["embedding"].as_array().unwrap().len(),
        array.shape[1]
    );
}

#[test]
fn a_memory_is_built_searched_grown_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let captions = captions_file(folder.path());
    let memory = folder.path().join("memory");
    let output = decap(&["memory", "build", text(&captions), "--out", text(&memory)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let search = |query: &str| {
        let output = decap(&[
            "memory",
            "search",
            query,
            "--memory",
            text(&memory),
            "--encoder",
            "tiny",
            "--top",
            "3",
            "--json",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        json_lines(&stdout(&output))
    };
    let found = search("a brown bear sleeps on the snow");
    assert_eq!(found[0]["text"], "a brown bear sleeps on the snow");
    assert!(found[0]["cosine"].as_f64().unwrap() > 0.99);
    assert_eq!(search(&photo("bear.webp")).len(), 3);

    let more = folder.path().join("more.txt");
    fs::write(
        &more,
        "a green parrot in a tree\na brown dog runs on the grass\n",
    )
    .unwrap();
    let cache = folder.path().join("cache");
    for added in ["added 1 sentence: 61 now", "added 0 sentences: 61 now"] {
        let add = ["memory", "add", text(&memory), text(&more)];
        let output = decap(&[&add[..], &["--cache", text(&cache)]].concat());
        assert!(stderr(&output).contains(added), "{}", stderr(&output));
    }
    assert!(cache.exists(), "embeddings are kept");
    let info = decap(&["memory", "info", text(&memory), "--json"]);
    assert_eq!(json_lines(&stdout(&info))[0]["rows"], 61);

    let bear = photo("bear.webp");
    for memory in [text(&memory), text(&captions)] {
        let output = decap(&[
            "caption",
            &bear,
            "--memory",
            memory,
            "--method",
            "retrieval",
        ]);
        assert!(
            stdout(&output).contains("a brown"),
            "{}{}",
            stdout(&output),
            stderr(&output)
        );
    }
}

#[test]
fn captions_that_cannot_be_used_are_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let long = [b"fine\n".to_vec(), vec![b'a'; (1 << 20) + 1]].concat();
    for (name, content, expected) in [
        ("empty.txt", &b""[..], "got none"),
        ("nul.txt", b"fine\nbad\0line\n", "line 2"),
        ("latin1.txt", b"fine\nfine\ncaf\xe9\n", "line 3"),
        ("long.txt", &long, "line 2"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let out = folder.path().join("out");
        for args in [&["memory", "build"][..], &["train"]] {
            let output = decap(&[args, &[text(&path), "--out", text(&out)]].concat());
            assert_eq!(output.status.code(), Some(1), "{name}");
            let message = stderr(&output);
            assert!(
                message.contains(name) && message.contains(expected),
                "{message}"
            );
            assert!(!out.join("model.json").exists());
        }
    }
}

#[test]
fn a_full_disk_leaves_nothing_that_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let captions = captions_file(folder.path());
    let out = folder.path().join("memory");
    // Files may grow to 8 blocks of 512 bytes, and the signal that would end the program is off:
    // writes fail as they do on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} memory build {} --out {} --memory-dtype f32",
        env!("CARGO_BIN_EXE_decap"),
        text(&captions),
        text(&out)
    );
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["captions.txt"], "no folder, no leftovers");
}

/// A model folder's files can each be broken; the message names the file.
#[test]
fn a_trained_model_captions_and_a_broken_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let captions = captions_file(folder.path());
    let (model, cache) = (folder.path().join("model"), folder.path().join("cache"));
    let output = decap(&train_args(text(&captions), text(&model), text(&cache)));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bear = photo("bear.webp");
    let caption = || decap(&["caption", &bear, "--model", text(&model)]);
    assert_eq!(caption().status.code(), Some(0), "{}", stderr(&caption()));
    for name in [
        "metrics.jsonl",
        "loss.svg",
        "README.md",
        "captions.txt",
        "tokenizer.json",
    ] {
        assert!(model.join(name).exists(), "{name}");
    }
    let again = decap(&train_args(text(&captions), text(&model), text(&cache)));
    assert_eq!(
        again.status.code(),
        Some(2),
        "a finished model is not trained over"
    );

    let weights = fs::read(model.join("decoder.safetensors")).unwrap();
    let json = fs::read(model.join("model.json")).unwrap();
    let future = String::from_utf8(json).unwrap().replacen(
        "\"format_version\": 1",
        "\"format_version\": 7",
        1,
    );
    let mut nan = weights.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let renamed = replace(&weights, b"transformer.ln_f.bias", b"transformer.ln_f.bile");
    let reshaped = replace(&weights, b"[32]", b"[23]");
    for (name, content, expected) in [
        ("model.json", future.as_bytes(), "newer decap"),
        ("model.json", b"{", "model.json"),
        (
            "decoder.safetensors",
            &weights[..weights.len() / 2],
            "decoder.safetensors",
        ),
        ("decoder.safetensors", &weights[..5], "decoder.safetensors"),
        ("decoder.safetensors", &nan, "decoder.safetensors"),
        ("decoder.safetensors", &renamed, "ln_f.b"),
        ("decoder.safetensors", &reshaped, "decoder.safetensors"),
        ("decoder.json", b"{}", "decoder.json"),
        ("tokenizer.json", b"{}", "tokenizer.json"),
        ("memory.safetensors", b"", "memory.safetensors"),
    ] {
        let path = model.join(name);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        let output = caption();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(expected),
            "{name}: {}",
            stderr(&output)
        );
        fs::remove_file(&path).unwrap();
        fs::write(&path, whole).unwrap();
    }
    let file = model.join("memory.safetensors");
    let memory = fs::read(&file).unwrap();
    let fingerprint = b"encoder_fingerprint\\\":\\\"";
    let at = memory
        .windows(fingerprint.len())
        .position(|window| window == fingerprint)
        .unwrap();
    let mut other = memory;
    other[at + fingerprint.len()..][..4].copy_from_slice(b"beef");
    fs::write(&file, other).unwrap();
    assert!(
        stderr(&caption()).contains("built by encoder"),
        "{}",
        stderr(&caption())
    );
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    let mut replaced = bytes.to_vec();
    replaced[at..at + to.len()].copy_from_slice(to);
    replaced
}

/// Ctrl-C writes a checkpoint; `--resume` ends where an undisturbed run ends, byte for byte.
#[cfg(unix)]
#[test]
fn an_interrupted_training_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let captions = captions_file(folder.path());
    let cache = folder.path().join("cache");
    let (straight, stopped) = (
        folder.path().join("straight"),
        folder.path().join("stopped"),
    );
    let run = |out: &Path, extra: &[&str]| {
        let args = [
            &["train"][..],
            &[text(&captions), "--out", text(out), "--cache", text(&cache)],
            &[
                "--width", "32", "--layers", "1", "--heads", "2", "--batch", "8",
            ],
            &["--epochs", "60", "--checkpoint-every", "3"],
            extra,
        ]
        .concat();
        command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    assert!(run(&straight, &[]).wait().unwrap().success());
    let mut child = run(&stopped, &[]);
    // The first checkpoint shows that training has begun.
    while !stopped.join("checkpoint.safetensors").exists() {
        std::thread::yield_now();
        assert!(
            child.try_wait().unwrap().is_none(),
            "training ended before it could be stopped"
        );
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        !stopped.join("model.json").exists(),
        "half a model has no name"
    );
    assert!(run(&stopped, &["--resume"]).wait().unwrap().success());
    for name in [
        "decoder.safetensors",
        "decoder.json",
        "memory.safetensors",
        "captions.txt",
    ] {
        let read = |model: &Path| fs::read(model.join(name)).unwrap();
        assert!(read(&straight) == read(&stopped), "{name} differs");
    }
}

#[test]
fn scores_are_the_fields_and_missing_ids_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (references, predictions) = (folder.path().join("r.json"), folder.path().join("p.json"));
    fs::write(
        &references,
        r#"{"1": ["a dog runs", "the dog is running"], "2": ["two cats sleep"]}"#,
    )
    .unwrap();
    fs::write(
        &predictions,
        r#"{"1": "a dog runs", "2": "two cats sleep"}"#,
    )
    .unwrap();
    let args = [
        "score",
        "--references",
        text(&references),
        "--predictions",
        text(&predictions),
        "--json",
    ];
    let output = decap(&args);
    let record = &json_lines(&stdout(&output))[0];
    assert!(
        (record["Bleu_1"].as_f64().unwrap() - 1.0).abs() < 1e-6,
        "{record}"
    );
    for key in ["Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"] {
        assert!(record[key].is_f64(), "{key}: {record}");
    }
    fs::write(
        &predictions,
        r#"{"1": "a dog runs", "7": "two cats sleep"}"#,
    )
    .unwrap();
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains('7') && stderr(&output).contains("--allow-missing"));
    let output = decap(&[&args[..], &["--allow-missing"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_model_says_what_it_is() {
    let output = decap(&["model", "info", "--json"]);
    let record = &json_lines(&stdout(&output))[0];
    assert_eq!(record["model"]["name"], "tiny");
    assert!(record["memory"]["rows"].as_u64().unwrap() > 1000);
    assert_eq!(record["model"]["tau"].to_string(), "0.03");
    let parameters = |name: &str| record[name]["parameters"].as_u64().unwrap();
    assert!(parameters("encoder") > 50_000_000 && parameters("decoder") > 5_000_000);
    let shown = stdout(&decap(&["model", "info"]));
    for line in [
        "form         ONNX towers",
        "rows         20,000",
        "made with    encoder tiny",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn a_clip_and_a_model_made_with_it_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data");
    // A file is named relative to here, and found again from elsewhere.
    let here = folder.path().join("here");
    fs::create_dir(&here).unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "vocab.json",
        "merges.txt",
    ] {
        fs::copy(data.join("clip/hugging_face").join(name), here.join(name)).unwrap();
    }
    let import = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-train/tests/data/import");
    let (checkpoint, captions) = (import.join("decap.pt"), import.join("captions.json"));
    let args = [
        "import",
        text(&checkpoint),
        "--captions",
        text(&captions),
        "--encoder",
        "model.safetensors",
        "--out",
        "../model",
        "--cache",
        "../cache",
    ];
    let output = command(&args).current_dir(&here).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let model = folder.path().join("model");
    let shown = stdout(&decap(&["model", "info", text(&model)]));
    let clip = [
        "form         Hugging Face (safetensors)",
        "embedding    24 wide, logit scale",
        "image tower  2 layers of 32 (2 heads, hidden 64, quick_gelu), 18 px in patches of 8",
    ];
    let of_model = [
        "recipe       imported from decap.pt, 0 steps",
        "rows         30, 24 wide",
        "vocabulary   520 tokens",
    ];
    for line in clip.iter().chain(&of_model) {
        assert!(shown.contains(line), "{shown} lacks {line}");
    }
    let file = here.join("model.safetensors");
    let shown = stdout(&decap(&["model", "info", text(&file)]));
    assert!(clip.iter().all(|line| shown.contains(line)), "{shown}");
    // Without its encoder, the model still says which one that was.
    fs::remove_file(&file).unwrap();
    let output = decap(&["model", "info", text(&model)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("made with    encoder "),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("model.safetensors"),
        "{}",
        stderr(&output)
    );
    // A kind that is not read names the way, and no other remedy.
    fs::write(here.join("config.json"), r#"{"model_type": "siglip"}"#).unwrap();
    fs::copy(data.join("clip/hugging_face/model.safetensors"), &file).unwrap();
    let output = decap(&["model", "info", text(&here)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).ends_with("use an ONNX export of other encoders\n"),
        "{}",
        stderr(&output)
    );
}

/// The tiny CLIP of the library's tests, in the form of Hugging Face.
fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data/clip/hugging_face")
}

#[test]
fn splits_of_a_file_are_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let karpathy = folder.path().join("dataset_coco.json");
    let json = r#"{"images": [
        {"cocoid": 1, "filename": "a", "split": "train", "sentences": [{"raw": "a dog"}]},
        {"cocoid": 2, "filename": "b", "split": "test", "sentences": [{"raw": "a cat"}]},
        {"cocoid": 3, "filename": "c", "split": "restval", "sentences": [{"raw": "a bus"}]}]}"#;
    fs::write(&karpathy, json).unwrap();
    let cache = folder.path().join("cache");
    let clip = clip();
    let out = |split: &str| folder.path().join(format!("memory of {split}"));
    let build = |split: &str| {
        let out = out(split);
        let args = [
            "memory",
            "build",
            text(&karpathy),
            "--split",
            split,
            "--encoder",
            text(&clip),
            "--out",
            text(&out),
            "--cache",
            text(&cache),
        ];
        decap(&args)
    };
    let output = build("train,restval");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        fs::read_to_string(out("train,restval").join("captions.txt")).unwrap(),
        "a dog\na bus\n"
    );
    let output = build("val");
    assert_eq!(output.status.code(), Some(2));
    let message = "expected captions of split val, got captions of train, test, restval";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    let plain = captions_file(folder.path());
    let model = folder.path().join("model");
    let args = [
        "train",
        text(&plain),
        "--split",
        "train",
        "--out",
        text(&model),
    ];
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(2));
    let message = "got a file (plain text) that names no splits";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
}

#[test]
fn training_and_memories_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let captions = captions_file(folder.path());
    let (out, cache) = (folder.path().join("model"), folder.path().join("cache"));
    let clip = clip();
    let mut args = train_args(text(&captions), text(&out), text(&cache));
    args.extend(["--encoder", text(&clip), "--max-steps", "2"]);
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = || fs::read_dir(&cache).unwrap().count();
    let before = files();
    assert!(before > 0);
    let memory = folder.path().join("memory");
    let args = [
        "memory",
        "build",
        text(&captions),
        "--encoder",
        text(&clip),
        "--out",
        text(&memory),
        "--cache",
        text(&cache),
    ];
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(files(), before, "nothing was embedded again");
    // The same sentences, the same rows.
    for name in ["captions.txt", "memory.safetensors"] {
        let (a, b) = (fs::read(out.join(name)), fs::read(memory.join(name)));
        assert_eq!(a.unwrap(), b.unwrap(), "{name}");
    }
}

#[test]
fn a_checkpoint_of_the_reference_is_imported_used_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-encoder/tests/data");
    let (out, cache) = (folder.path().join("model"), folder.path().join("cache"));
    let import = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-train/tests/data/import");
    let (checkpoint, captions) = (import.join("decap.pt"), import.join("captions.json"));
    let clip = clip();
    let import = [
        "import",
        text(&checkpoint),
        "--captions",
        text(&captions),
        "--encoder",
        text(&clip),
        "--out",
        text(&out),
        "--cache",
        text(&cache),
        "--memory-dtype",
        "f32",
    ];
    let output = decap(&import);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let photo = data.join("../../../decap-media/tests/data/media/photo.jpg");
    let caption = [
        "caption",
        text(&photo),
        "--model",
        text(&out),
        "--json",
        "--evidence",
        "1",
    ];
    let output = decap(&caption);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record = &json_lines(&stdout(&output))[0];
    assert!(
        record["evidence"][0]["weight"].as_f64().unwrap() > 0.1,
        "{record}"
    );
    let exported = folder.path().join("again.pt");
    let export = [
        "export",
        "--model",
        text(&out),
        "--to",
        "decap-pt",
        "--output",
        text(&exported),
    ];
    let output = decap(&export);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let again = folder.path().join("again");
    let import = [
        "import",
        text(&exported),
        "--captions",
        text(&captions),
        "--encoder",
        text(&clip),
        "--out",
        text(&again),
        "--cache",
        text(&cache),
        "--memory-dtype",
        "f32",
    ];
    let output = decap(&import);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let weights = |folder: &Path| fs::read(folder.join("decoder.safetensors")).unwrap();
    assert_eq!(weights(&out), weights(&again));
    // An encoder with another vocabulary is refused.
    let (openai, wrong) = (
        data.join("../../../decap-encoder/tests/data/clip/openai/model.pt"),
        folder.path().join("wrong"),
    );
    let import = [
        "import",
        text(&checkpoint),
        "--captions",
        text(&captions),
        "--encoder",
        text(&openai),
        "--out",
        text(&wrong),
        "--cache",
        text(&cache),
    ];
    let output = decap(&import);
    assert_ne!(output.status.code(), Some(0));
    let message = "`start_token`: expected an id below 520, got 49406";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
}
