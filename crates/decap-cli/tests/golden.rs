//! Golden words: what the program prints, kept in `tests/snapshots`, so that a review shows each
//! caption, help text, key and message that has changed.
//!
//! After a change that was wanted: `INSTA_UPDATE=always cargo test -p decap-cli --test golden`, and
//! read `git diff`.
//!
//! Captions are computed in f32, where every set of kernels writes the same words. Weights and
//! scores differ in their last digits from one processor to the next, so they are left out.

#![cfg(all(unix, feature = "bundled"))]
#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{file, json, markdown, photo, root, stderr, stdout};
use serde_json::Value;

/// Runs the program in `folder`, as one line of words.
fn run(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command
        .args(words(line))
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .env("RAYON_NUM_THREADS", "2")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HF_HOME", folder.join("hub"))
        .env("HF_HUB_OFFLINE", "1");
    for name in [
        "DECAP_METEOR",
        "DECAP_KERNELS",
        "HF_ENDPOINT",
        "HF_HUB_CACHE",
    ] {
        command.env_remove(name);
    }
    if line.starts_with("bench") {
        // It says which kernels it timed.
        command.env("DECAP_KERNELS", "scalar");
    }
    command.output().unwrap()
}

/// Words of a command line; quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

fn snapshot(name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, content));
}

/// Every command and every command of a command.
#[test]
fn help_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    let mut next = vec![String::new()];
    while let Some(command) = next.pop() {
        let output = run(folder.path(), &format!("{command} --help"));
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = stdout(&output);
        let commands = help.split("Commands:\n").nth(1).unwrap_or("");
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().unwrap();
            // Descriptions go on below, further in.
            if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
                next.push(format!("{command} {name}"));
            }
        }
        let name = format!("help{command}").replace(' ', "_");
        snapshot(&name, &help);
        seen += 1;
    }
    assert!(seen >= 18, "{seen} commands were found");
}

#[test]
fn captions_of_the_nine_examples_by_each_method() {
    for method in ["projection", "visual", "nearest", "retrieval", "consensus"] {
        let line = format!("caption examples/photos --precision f32 --method {method}");
        let output = run(&root(), &line);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let printed = stdout(&output);
        assert_eq!(printed.lines().count(), 9, "{printed}");
        let mut shown = String::new();
        for line in printed.lines() {
            let mut fields = line.split('\t');
            let (path, caption) = (fields.next().unwrap(), fields.next().unwrap());
            shown += &format!("{path}\n    {caption}\n");
            for evidence in fields {
                let (weight, sentence) = evidence.split_once(' ').unwrap();
                if weight == "confidence" {
                    // Its last digits are the processor's.
                    assert!((0.0..=1.0).contains(&sentence.parse::<f32>().unwrap()));
                    continue;
                }
                assert!((0.0..=1.0).contains(&weight.parse::<f32>().unwrap()));
                shown += &format!("        from: {sentence}\n");
            }
        }
        snapshot(&format!("captions_{method}"), &shown);
    }
}

/// The ways of writing that a person can ask for, on one photo.
#[test]
fn captions_as_they_were_asked_for() {
    let mut shown = String::new();
    for asked in [
        "",
        "--beam 5",
        "--temperature 0.7 --top-p 0.9 --seed 3",
        "--min-length 12",
        "--max-length 4",
        "--repetition-penalty 1.3 --no-repeat-ngram 2",
        "--ban bear --ban water",
        "--repeated-words allow",
        "--rerank none",
        "--rerank consensus",
        "--rerank consensus --written-only",
        "--rerank encoder",
        "--sentence-case",
        "--tau 0.2",
    ] {
        let line =
            format!("caption examples/photos/bear.webp --precision f32 --evidence 0 {asked}");
        let output = run(&root(), &line);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let printed = stdout(&output);
        let (_, caption) = printed.trim_end().split_once('\t').unwrap();
        shown += &format!("{asked}\n    {caption}\n");
    }
    snapshot("captions_as_asked", &shown);
}

/// Keys in their order and what kind of value each has.
#[test]
fn shapes_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lay_out(folder);
    for (name, line) in [
        (
            "caption",
            "caption cat.webp notes.txt missing.jpg --precision f32 --json",
        ),
        (
            "memory_search",
            "memory search 'a dog on a beach' --precision f32 --top 2 --json",
        ),
        (
            "search",
            "search 'a boat on the water' . --precision f32 --top 2 --json",
        ),
        ("memory_info", "memory info --json"),
        ("model_info", "model info --json"),
        (
            "score",
            "score --references references.json --predictions predictions.json --json",
        ),
        (
            "eval",
            "eval set.jsonl --precision f32 --methods projection,retrieval --sweep tau=0.02,0.1 --draws 20 --json",
        ),
        ("bench", "bench --json --work project_2k_q3 --seconds 0.01"),
    ] {
        let output = run(folder, line);
        let mut shown = String::new();
        for line in stdout(&output).lines() {
            assert!(json(line).is_object(), "{line}");
            shown += &shape(line);
        }
        assert!(!shown.is_empty(), "{line}: {}", stderr(&output));
        snapshot(&format!("json_{name}"), &shown);
    }
    for (name, line) in [
        (
            "embed_photos",
            "embed cat.webp missing.jpg --output out.jsonl",
        ),
        ("embed_text", "embed --text captions.txt --output out.jsonl"),
    ] {
        run(folder, line);
        let lines = fs::read_to_string(folder.join("out.jsonl")).unwrap();
        let shown: String = lines.lines().take(2).map(shape).collect();
        snapshot(&format!("json_{name}"), &shown);
        fs::remove_file(folder.join("out.jsonl")).unwrap();
    }
    let line = "eval set.jsonl --precision f32 --report report --draws 20 --sweep tau=0.02,0.1";
    assert_eq!(run(folder, line).status.code(), Some(0));
    for name in ["scores.json", "predictions.json"] {
        let value = fs::read_to_string(folder.join("report").join(name)).unwrap();
        let value: Value = serde_json::from_str(&value).unwrap();
        let name = name.trim_end_matches(".json");
        snapshot(&format!("json_report_{name}"), &shape(&value.to_string()));
    }
}

/// What a person mistypes or lacks, and what is then said.
#[test]
fn messages_of_typical_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lay_out(folder);
    let mut shown = String::new();
    for line in [
        // Inputs.
        "caption missing.jpg",
        "caption notes.txt",
        "caption empty",
        "caption 'nothing*.jpg'",
        "caption cut.webp",
        "caption cat.webp --max-megapixels 0.01",
        // Words that are no option's.
        "captoin cat.webp",
        "caption cat.webp --method magic",
        "caption cat.webp --bean 5",
        "caption cat.webp --beam 0",
        "caption cat.webp --tau -1",
        "caption cat.webp --resume",
        "caption cat.webp --beam 5 --temperature 1",
        "caption cat.webp --precision f64",
        "caption cat.webp --template '{captoin}'",
        "caption cat.webp --alt-text",
        "caption cat.webp --undo --write xmp",
        "caption",
        // Models and encoders.
        "caption cat.webp --model my-model",
        "caption cat.webp --model models/my-model",
        "caption cat.webp --model empty",
        "caption cat.webp --model openai/clip-vit-base-patch32",
        "caption cat.webp --memory missing.txt",
        "model info notes.txt",
        // Caption files.
        "train missing.txt --out model",
        "train broken.json --out model",
        "train nothing.txt --out model",
        "train captions.txt --split train --out model",
        "train captions.txt --out full",
        "train captions.txt --out model --weights-dtype f8",
        "memory build captions.txt --out memory --memory-dtype f64",
        "memory search missing-photo.jpg",
        "embed cat.webp --output out.pdf",
        // Scores.
        "score --references references.json --predictions fewer.json",
        "score --references broken.json --predictions predictions.json",
        "eval captions.txt",
        "eval set.jsonl --split val",
        "eval set.jsonl --resume",
        "eval set.jsonl --sweep beams=3",
        "eval set.jsonl --meteor missing.bin",
        "search 'a boat' missing.jpg",
        "search 'a boat' empty",
        // The rest.
        "import missing.pt --captions captions.txt --encoder tiny --out model",
        "import notes.txt --captions captions.txt --encoder tiny --out model",
        "align missing.jsonl --image-tower i.json --text-tower t.json --out encoder",
        "bench --work nonsense",
        "model pull clip-vit-base-patch32",
    ] {
        let output = run(folder, line);
        let code = output.status.code().unwrap();
        assert!(code == 1 || code == 2, "{line}: {code}");
        let said = stderr(&output);
        assert!(!said.is_empty(), "{line}");
        // Full paths are those of a new folder each time.
        let said = said.replace(folder.canonicalize().unwrap().to_str().unwrap(), "<folder>");
        let said = said.replace(folder.to_str().unwrap(), "<folder>");
        shown += &format!("$ decap {line}\n[{code}]\n{said}\n");
    }
    snapshot("mistakes", &shown);
}

/// Files that commands can be given, good ones and bad ones.
fn lay_out(folder: &Path) {
    let cat = fs::read(photo("cat")).unwrap();
    file(folder, "cut.webp", &cat[..cat.len() / 3]);
    file(folder, "cat.webp", &cat);
    fs::copy(photo("boat"), folder.join("boat.webp")).unwrap();
    file(folder, "notes.txt", "no photo\n");
    file(
        folder,
        "captions.txt",
        "a cat sleeps\na boat on the water\n",
    );
    file(folder, "nothing.txt", "");
    file(folder, "broken.json", "{\"images\": [");
    fs::create_dir(folder.join("empty")).unwrap();
    fs::create_dir(folder.join("full")).unwrap();
    file(&folder.join("full"), "letter.txt", "dear");
    let references = r#"{"1": ["a dog runs", "the dog is running"], "2": ["two cats sleep"]}"#;
    file(folder, "references.json", references);
    file(
        folder,
        "predictions.json",
        r#"{"1": "a dog runs", "2": "a cat"}"#,
    );
    file(folder, "fewer.json", r#"{"1": "a dog runs", "7": "a cat"}"#);
    let set = [("cat", "a cat sleeps"), ("boat", "a boat on the water")].map(|(name, caption)| {
        format!(
            r#"{{"image": "{name}.webp", "image_id": "{name}", "captions": ["{caption}"], "split": "test"}}"#
        )
    });
    file(folder, "set.jsonl", set.join("\n"));
}

/// JSON on lines of its own, with fractions replaced by `0.5`: they are times, scores and
/// embeddings. Arrays show three of their numbers at most.
fn shape(line: &str) -> String {
    let mut shown = String::new();
    let mut depth = 0;
    let mut rest = line;
    // How many numbers have stood in a row.
    let mut numbers = 0;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string_end(rest),
            '-' | '0'..='9' => rest.find([',', ']', '}']).unwrap_or(rest.len()),
            _ => 1,
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        let is_number = token.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        if is_number {
            numbers += 1;
        } else if token != "," && token != " " {
            numbers = 0;
        }
        match token {
            " " => {}
            "{" | "[" => {
                depth += 1;
                shown += &format!("{token}\n{}", "  ".repeat(depth));
            }
            "}" | "]" => {
                depth -= 1;
                shown += &format!("\n{}{token}", "  ".repeat(depth));
            }
            "," if numbers > 3 => {}
            "," => shown += &format!(",\n{}", "  ".repeat(depth)),
            ":" => shown += ": ",
            _ if is_number && numbers > 4 => {}
            _ if is_number && numbers == 4 => shown += "...",
            _ if is_number && token.contains(['.', 'e']) => shown += "0.5",
            _ if token.trim_matches('"') == PROGRAM => shown += "\"decap <version>\"",
            // A run's key depends on the kernels.
            _ if is_run_key(token) => shown += "\"<run key>\"",
            _ => shown += token,
        }
    }
    shown + "\n"
}

/// As reports name it.
const PROGRAM: &str = concat!("decap ", env!("CARGO_PKG_VERSION"));

/// Whether a token is a string of 32 hexadecimal digits.
fn is_run_key(token: &str) -> bool {
    let digits = token.trim_matches('"');
    token.len() == 34 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the string that `text` begins with ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return place + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[test]
fn shapes_keep_words_and_drop_fractions() {
    let line = r#"{"a":-1.5e3,"b":[1,"x, \"1.5\""],"c":[0.1,0.2,0.3,0.4,0.5]}"#;
    let expected = "{\n  \"a\": 0.5,\n  \"b\": [\n    1,\n    \"x, \\\"1.5\\\"\"\n  ],\n  \
        \"c\": [\n    0.5,\n    0.5,\n    0.5,\n    ...\n  ]\n}\n";
    assert_eq!(shape(line), expected);
}

/// Blocks marked `console`: each `$ decap ...` prints what stands below it.
#[test]
fn pages_show_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path());
    // README's commands are typed in the repository.
    let (repository, folder) = (root(), folder.path());
    for (page, folder) in [
        ("README.md", &*repository),
        ("docs/output.md", folder),
        ("docs/write.md", folder),
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let blocks = markdown::blocks(&text, "console");
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            for command in block.split("$ decap ").skip(1) {
                let (line, expected) = command.split_once('\n').unwrap();
                let printed = stdout(&run(folder, line));
                compare(&printed, expected, &format!("{page}: decap {line}"));
            }
        }
    }
}

/// A weight's and a score's last digits are the processor's.
const TOLERANCE: f64 = 0.002;

/// Compares word by word: a terminal shows evidence on lines of its own, a pipe behind tabs.
fn compare(printed: &str, expected: &str, of: &str) {
    if expected.starts_with('{') {
        let (printed, expected) = (printed.lines(), expected.lines());
        assert_eq!(printed.clone().count(), expected.clone().count(), "{of}");
        for (printed, expected) in printed.zip(expected) {
            compare_json(&json(printed), &json(expected), of);
        }
        return;
    }
    let (found, shown) = (printed.split_whitespace(), expected.split_whitespace());
    assert_eq!(
        found.clone().count(),
        shown.clone().count(),
        "{of}\n{printed}"
    );
    for (found, shown) in found.zip(shown) {
        match (found.parse::<f64>(), shown.parse::<f64>()) {
            (Ok(a), Ok(b)) => assert!((a - b).abs() <= TOLERANCE, "{of}: {a} for {b}\n{printed}"),
            _ => assert_eq!(found, shown, "{of}\n{printed}"),
        }
    }
}

fn compare_json(found: &Value, shown: &Value, of: &str) {
    match (found, shown) {
        (Value::Object(found), Value::Object(shown)) => {
            assert!(
                found.keys().eq(shown.keys()),
                "{of}: {found:?} for {shown:?}"
            );
            for (key, found) in found {
                // Times are different each time, run keys on other processors.
                if key != "ms" && key != "run" {
                    compare_json(found, &shown[key], of);
                }
            }
        }
        (Value::Array(found), Value::Array(shown)) => {
            assert_eq!(found.len(), shown.len(), "{of}");
            for (found, shown) in found.iter().zip(shown) {
                compare_json(found, shown, of);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE, "{of}: {a} for {b}");
        }
        _ => assert_eq!(found, shown, "{of}"),
    }
}
