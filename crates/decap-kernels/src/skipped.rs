//! How a test says that it could not run: it must not pass quietly.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;

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
    eprint!("skipped: {line}");
    if let Some(path) = std::env::var_os("DECAP_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file that DECAP_SKIPPED names");
    }
}
