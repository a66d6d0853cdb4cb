//! How a test says that it could not run: it must not pass quietly.
#![allow(dead_code)] // each file of tests takes a part

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;
use std::path::PathBuf;

/// Notes that the calling test cannot run: a line `CRATE::TEST: needs WHAT` in the file that
/// `DECAP_SKIPPED` names. `tools/check.sh` counts and prints those lines.
#[track_caller]
pub(crate) fn skip(needs: &str) {
    let thread = std::thread::current();
    // One thread for all tests has no test's name.
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => Location::caller().to_string(),
    };
    let line = format!("{}::{test}: needs {needs}\n", env!("CARGO_PKG_NAME"));
    #[allow(
        clippy::print_stderr,
        reason = "this is for the reader of a test's output"
    )]
    {
        eprint!("skipped: {line}");
    }
    if let Some(path) = std::env::var_os("DECAP_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file that DECAP_SKIPPED names");
    }
}

/// `name` in the folder that `DECAP_GOLDEN` names; without it the test is skipped.
#[track_caller]
pub(crate) fn golden(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DECAP_GOLDEN").map(PathBuf::from);
    let path = folder
        .map(|folder| folder.join(name))
        .filter(|it| it.exists());
    if path.is_none() {
        skip(&format!("{name} in the folder that DECAP_GOLDEN names"));
    }
    path
}

/// `name` in the folder of shared data: what `DECAP_SHARED` names, or the one beside the
/// repository. Without it the test is skipped.
#[track_caller]
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("DECAP_SHARED").map_or(PathBuf::from(beside), PathBuf::from);
    let path = Some(root.join(name)).filter(|path| path.exists());
    if path.is_none() {
        skip(&format!("{name} in the folder that DECAP_SHARED names"));
    }
    path
}
