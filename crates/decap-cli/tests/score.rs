//! `decap score` as people run it, bad input above all.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{decap, decap_well, file, json, stderr, stdout, text};
use serde_json::Value;

const REFERENCES: &str = r#"{"1": ["a dog runs", "the dog is running"], "2": ["two cats sleep"],
    "3": ["a red bus on the road"], "4": ["people at a table"]}"#;
const GOOD: &str = r#"{"1": "a dog runs", "2": "two cats sleep", "3": "a red bus on the road",
    "4": "people at a table"}"#;

fn score(folder: &Path, predictions: &str, more: &[&str]) -> Output {
    let references = file(folder, "r.json", REFERENCES);
    let predictions = file(folder, "p.json", predictions);
    let args = [
        "score",
        "--references",
        text(&references),
        "--predictions",
        text(&predictions),
    ];
    decap(&[&args[..], more].concat())
}

/// Runs with `--json`; the record, and what was said on standard error.
fn record(folder: &Path, predictions: &str, more: &[&str]) -> (Value, String) {
    let output = score(folder, predictions, &[more, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (json(&stdout(&output)), stderr(&output))
}

#[test]
fn scores_stand_with_intervals_diversity_and_what_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let poor = r#"{"1": "a dog", "2": "two cats", "3": "a dog", "4": "people"}"#;
    let (found, _) = record(folder.path(), poor, &[]);
    for metric in ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"] {
        let value = found[metric].as_f64().unwrap();
        let interval = &found["intervals"][metric];
        assert!(interval[0].as_f64().unwrap() <= value, "{metric}: {found}");
        assert!(value <= interval[1].as_f64().unwrap(), "{metric}: {found}");
    }
    assert_eq!(found["absent"], serde_json::json!(["METEOR", "SPICE"]));
    assert_eq!(found["diversity"]["vocabulary"], 5);
    assert_eq!(found["diversity"]["distinct_captions"], 3);
    assert_eq!(found["diversity"]["distinct_1"], 5.0 / 7.0);
    assert_eq!(found["diversity"]["distinct_2"], 2.0 / 3.0);
    assert_eq!(found["diversity"]["distinct_4"], 0.0);
    let table = stdout(&score(folder.path(), poor, &[]));
    for word in [
        "CIDEr",
        " to ",
        "METEOR       absent",
        "SPICE        absent",
        "distinct-2",
        "distinct-4",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let (found, _) = record(folder.path(), poor, &["--draws", "0"]);
    assert!(found.get("intervals").is_none());
}

#[test]
fn two_systems_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let poor = r#"{"1": "a dog", "2": "a dog", "3": "a dog", "4": "a dog"}"#;
    let good = file(folder.path(), "good.json", GOOD);
    let (found, _) = record(folder.path(), poor, &["--compare", text(&good)]);
    let cider = &found["comparison"]["CIDEr"];
    let difference = cider["second"].as_f64().unwrap() - cider["first"].as_f64().unwrap();
    assert!((cider["difference"].as_f64().unwrap() - difference).abs() < 1e-12);
    assert!(
        difference > 0.0 && cider["low"].as_f64().unwrap() > 0.0,
        "{cider}"
    );
    assert!(cider["p_value"].as_f64().unwrap() < 0.05, "{cider}");
    let table = stdout(&score(folder.path(), poor, &["--compare", text(&good)]));
    assert!(
        table.contains("difference") && table.contains("second"),
        "{table}"
    );
    let other = file(folder.path(), "other.json", r#"{"1": "a dog"}"#);
    let output = score(folder.path(), poor, &["--compare", text(&other)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no prediction for 3 ids: 2, 3, 4"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn document_frequencies_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let df = folder.path().join("df.txt");
    let (own, _) = record(folder.path(), GOOD, &["--write-df", text(&df)]);
    let (given, _) = record(folder.path(), GOOD, &["--df", text(&df)]);
    assert_eq!(own["CIDEr"], given["CIDEr"]);
    file(folder.path(), "df.txt", "images 100000\n90000\ta\n5\tdog\n");
    let (other, _) = record(folder.path(), GOOD, &["--df", text(&df)]);
    assert_ne!(own["CIDEr"], other["CIDEr"]);
    file(folder.path(), "df.txt", "no frequencies");
    let output = score(folder.path(), GOOD, &["--df", text(&df)]);
    assert!(
        stderr(&output).contains("df.txt: line 1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn novelty_and_self_cider_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let training = file(folder.path(), "t.txt", "A dog runs.\nTwo cats sleep\n");
    let several =
        r#"{"1": ["a dog", "a dog"], "2": ["two cats sleep quietly", "a red bus on the road"]}"#;
    let several = file(folder.path(), "several.json", several);
    let more = [
        "--training-text",
        text(&training),
        "--several",
        text(&several),
    ];
    let (found, _) = record(folder.path(), GOOD, &more);
    assert_eq!(found["diversity"]["novel"], 0.5);
    let self_cider = found["diversity"]["self_cider"].as_f64().unwrap();
    assert!(
        (self_cider - 0.5).abs() < 1e-6,
        "one image of equal captions, one of unlike: {found}"
    );
}

#[test]
fn missing_ids_are_listed_or_counted_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let some = r#"{"1": "a dog runs", "2": "two cats sleep", "8": "x", "9": "y"}"#;
    let output = score(folder.path(), some, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("no prediction for 2 ids: 3, 4"), "{said}");
    assert!(said.contains("no references for 2 ids: 8, 9"), "{said}");
    assert!(said.contains("--allow-missing"), "{said}");
    let (found, said) = record(folder.path(), some, &["--allow-missing"]);
    assert_eq!(
        (&found["images"], &found["missing"]),
        (&Value::from(2), &Value::from(4))
    );
    assert!(
        said.contains("left out 4 ids") && said.contains("8, 9"),
        "{said}"
    );
    let output = score(folder.path(), r#"{"8": "x"}"#, &["--allow-missing"]);
    assert_eq!(output.status.code(), Some(1), "nothing is left to score");
}

#[test]
fn odd_predictions_are_scored_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let empty = r#"{"1": "", "2": "...", "3": "a red bus on the road", "4": "people at a table"}"#;
    let (found, said) = record(folder.path(), empty, &[]);
    assert!(said.contains("2 predictions are empty"), "{said}");
    assert_eq!(found["notes"][0], "2 predictions are empty");
    let per_image = folder.path().join("each.csv");
    record(folder.path(), empty, &["--per-image", text(&per_image)]);
    let rows = fs::read_to_string(&per_image).unwrap();
    let first = rows.lines().nth(1).unwrap();
    assert!(first.starts_with("1,,0,"), "{rows}");

    let long = format!(
        r#"{{"1": "{}", "2": "a", "3": "b", "4": "c"}}"#,
        "dog ".repeat(100_000)
    );
    let (found, _) = record(folder.path(), &long, &["--draws", "10"]);
    assert!(found["Bleu_1"].as_f64().unwrap() < 0.01, "{found}");

    let (found, _) = record(
        folder.path(),
        &GOOD.replace("a dog runs", "a\\u0000dog \\u0000 runs"),
        &[],
    );
    assert!(
        found["CIDEr"].as_f64().unwrap() > 1.0,
        "NUL parts words as any unknown sign does"
    );
}

#[test]
fn one_image_has_no_cider_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (found, said) = record(
        folder.path(),
        r#"{"1": "a dog runs"}"#,
        &["--allow-missing"],
    );
    assert_eq!(found["CIDEr"], 0.0);
    assert!(said.contains("CIDEr of a single image is 0"), "{said}");
}

#[test]
fn broken_files_are_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.json", GOOD);
    let references = file(folder.path(), "refs.json", REFERENCES);
    let cases: [(&str, &[u8], bool, &str); 9] = [
        (
            "twice.json",
            br#"{"1": "a", "1": "b"}"#,
            false,
            "several for 1 id: 1",
        ),
        (
            "twice.json",
            br#"{"1": ["a"], "1": ["b"]}"#,
            true,
            "several entries for 1 id: 1",
        ),
        (
            "none.json",
            br#"{"1": [], "2": ["a"]}"#,
            true,
            "none for 1 id: 1",
        ),
        ("empty.json", b"", false, "expected JSON"),
        ("empty.json", b"{}", true, "no references for 4 ids"),
        (
            "latin.txt",
            b"a dog\ncaf\xe9\n",
            false,
            "line 2: expected UTF-8, got the byte 0xe9",
        ),
        ("wide.txt", b"\xff\xfea\0", false, "got UTF-16"),
        (
            "mixed.jsonl",
            b"{\"id\": 1, \"caption\": \"a\"}\n{\"id\": 2, \"caption\": \"\xff\"}\n",
            false,
            "line 2: expected UTF-8",
        ),
        ("cut.json", br#"{"1": "a do"#, false, "expected JSON"),
    ];
    for (name, content, is_references, message) in cases {
        let broken = file(folder.path(), name, content);
        let (references, predictions) = match is_references {
            true => (&broken, &good),
            false => (&references, &broken),
        };
        let output = decap(&[
            "score",
            "--references",
            text(references),
            "--predictions",
            text(predictions),
        ]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            stderr(&output).contains(message),
            "{name}: {}",
            stderr(&output)
        );
        assert!(stdout(&output).is_empty());
    }
    let missing = decap(&[
        "score",
        "--references",
        "/no/such/file",
        "--predictions",
        text(&good),
    ]);
    assert!(stderr(&missing).contains("/no/such/file"));
}

#[test]
fn meteor_and_spice_are_absent_where_their_data_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = score(
        folder.path(),
        GOOD,
        &["--spice", text(folder.path()), "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no SPICE here"),
        "{}",
        stderr(&output)
    );
    let found = json(&stdout(&output));
    assert!(
        found.get("METEOR").is_none() && found.get("SPICE").is_none(),
        "{found}"
    );
    let none = file(folder.path(), "none.bin", "no resources");
    let output = score(folder.path(), GOOD, &["--meteor", text(&none)]);
    assert_eq!(output.status.code(), Some(1), "never approximated");
    decap_well(&["score", "--help"]);
}

#[test]
fn meteor_data_can_be_made_alone_and_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let package = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../caption-metrics/tests/data/meteor"
    );
    let data = folder.path().join("meteor.bin");
    let args = [
        "score",
        "--prepare-meteor",
        package,
        "--meteor",
        text(&data),
    ];
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    assert!(
        stderr(&output).contains("words with synonyms"),
        "{}",
        stderr(&output)
    );
    let (found, _) = record(folder.path(), GOOD, &["--meteor", text(&data)]);
    assert!(found["METEOR"].as_f64().unwrap() > 0.9, "{found}");
    assert_eq!(found["absent"], serde_json::json!(["SPICE"]));

    // Half a pair of files is wrong usage, and so is no file at all.
    for args in [
        &["score", "--references", text(&data)][..],
        &["score"],
        &["score", "--prepare-meteor", package],
    ] {
        assert_eq!(decap(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn files_are_blamed_by_name_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let twice = r#"{"1": "a", "1": "b", "2": "c", "3": "d", "4": "e"}"#;
    let output = score(folder.path(), twice, &[]);
    let said = stderr(&output);
    assert!(
        said.contains("p.json") && said.contains("keep one entry"),
        "{said}"
    );
    let references = file(folder.path(), "refs.json", r#"{"1": [], "2": ["a"]}"#);
    let predictions = file(folder.path(), "p.json", GOOD);
    let args = [
        "score",
        "--references",
        text(&references),
        "--predictions",
        text(&predictions),
    ];
    let said = stderr(&decap(&args));
    assert!(
        said.contains("refs.json") && said.contains("add references"),
        "{said}"
    );
    let output = score(folder.path(), r#"{"8": "x"}"#, &["--allow-missing"]);
    assert!(
        stderr(&output).contains("letter by letter"),
        "{}",
        stderr(&output)
    );
    let good = file(folder.path(), "good.json", GOOD);
    let output = score(
        folder.path(),
        GOOD,
        &["--compare", text(&good), "--draws", "0"],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn every_missing_id_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let ids = 5..305;
    let more: Vec<String> = ids
        .clone()
        .map(|id| format!("\"{id}\": \"a dog\""))
        .collect();
    let predictions = GOOD.replace('}', &format!(", {}}}", more.join(", ")));
    let said = stderr(&score(folder.path(), &predictions, &[]));
    assert!(
        said.contains("300 ids") && said.contains("--json"),
        "{said}"
    );
    let (record, _) = record(folder.path(), &predictions, &["--allow-missing"]);
    let listed: Vec<String> = ids.map(|id| id.to_string()).collect();
    assert_eq!(
        record["missing_ids"]["references"],
        serde_json::json!(listed)
    );
}

#[test]
fn diversity_is_of_the_captions_that_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let more = GOOD.replace('}', r#", "9": "many other words stand here"}"#);
    let (all, _) = record(folder.path(), GOOD, &[]);
    let (found, _) = record(folder.path(), &more, &["--allow-missing"]);
    assert_eq!(found["diversity"], all["diversity"]);
}

/// A program in place of Java that answers as SPICE does, with an F-score of a half.
#[cfg(unix)]
#[test]
fn spice_is_called_where_java_and_its_jars_are() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("spice");
    fs::create_dir_all(package.join("lib")).unwrap();
    for jar in [
        "spice-1.0.jar",
        "lib/stanford-corenlp-3.6.0.jar",
        "lib/stanford-corenlp-3.6.0-models.jar",
    ] {
        fs::write(package.join(jar), "").unwrap();
    }
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let java = file(
        &bin,
        "java",
        r#"#!/bin/sh
[ "$1" = -version ] && exit 0
while [ $# -gt 0 ]; do [ "$1" = -out ] && out="$2"; shift; done
[ -f spice-1.0.jar ] || exit 1
printf '[' > "$out"
for i in 3 2 1; do printf '{"image_id": %s, "scores": {"All": {"f": 0.5}}}, ' $i >> "$out"; done
printf '{"image_id": 0, "scores": {"All": {"f": 0.1}}}]' >> "$out"
"#,
    );
    fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).unwrap();
    let references = file(folder.path(), "r.json", REFERENCES);
    let predictions = file(folder.path(), "p.json", GOOD);
    let path = format!("{}:{}", text(&bin), std::env::var("PATH").unwrap());
    let run = |java_works: bool| {
        if !java_works {
            fs::write(
                &java,
                "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\necho broken >&2; exit 1\n",
            )
            .unwrap();
        }
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_decap"));
        command.args(["score", "--json", "--references", text(&references)]);
        command.args([
            "--predictions",
            text(&predictions),
            "--spice",
            text(folder.path()),
        ]);
        command
            .env("PATH", &path)
            .env_remove("DECAP_METEOR")
            .output()
            .unwrap()
    };
    let output = run(true);
    let found = json(&stdout(&output));
    assert!(
        (found["SPICE"].as_f64().unwrap() - 0.4).abs() < 1e-12,
        "{found}"
    );
    assert_eq!(found["absent"], serde_json::json!(["METEOR"]));
    let failed = run(false);
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("broken"), "{}", stderr(&failed));
}
