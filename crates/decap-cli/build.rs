//! Whether the bundled model lies where `src/bundled.rs` takes it from: it does in the repository, and
//! does not in a package of this crate, which a registry would find too large.

#![allow(
    clippy::print_stdout,
    reason = "this is how a build script speaks to Cargo"
)]

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tiny_is_here)");
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let model = folder
        .unwrap_or_default()
        .join("../../models/tiny/model.json");
    println!("cargo::rerun-if-changed={}", model.display());
    if model.is_file() {
        println!("cargo::rustc-cfg=tiny_is_here");
    }
}
