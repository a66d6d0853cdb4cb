//! What the tests of single commands share.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests may unwrap; each test file uses some of these"
)]

pub mod hub_server;
pub mod markdown;
#[path = "../../../decap-kernels/src/skipped.rs"]
pub mod skipped;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program.
pub fn decap(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command.args(args).stdin(Stdio::null());
    command.env("NO_COLOR", "1").env_remove("DECAP_METEOR");
    command.output().unwrap()
}

/// Runs the program and makes sure that all went well; what it printed.
pub fn decap_well(args: &[&str]) -> String {
    let output = decap(args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        stderr(&output)
    );
    stdout(&output)
}

/// `decap score` of these two files.
pub fn score<'a>(references: &'a Path, predictions: &'a Path) -> [&'a str; 5] {
    let (references, predictions) = (text(references), text(predictions));
    [
        "score",
        "--references",
        references,
        "--predictions",
        predictions,
    ]
}

/// The path of one of the nine example photos.
pub fn photo(name: &str) -> String {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos");
    let path = photos.canonicalize().unwrap().join(format!("{name}.webp"));
    path.to_str().unwrap().to_owned()
}

/// The repository's root.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Writes a file and returns its path.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}
