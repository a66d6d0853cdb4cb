//! Whether the bundled model lies where `src/bundled` takes it from: it does in the repository, and
//! does not in a package of this crate, which a registry would find too large. Some of its files are compressed.

#![allow(
    clippy::print_stdout,
    reason = "this is how a build script speaks to Cargo"
)]

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Large files of the model that a caption of one photo does not wait for, or hardly, compressed.
const COMPRESSED: [&str; 2] = ["captions.txt", "encoder/text_tower.onnx"];

fn main() -> io::Result<()> {
    println!("cargo::rustc-check-cfg=cfg(tiny_is_here)");
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let tiny = folder.unwrap_or_default().join("../../models/tiny");
    println!("cargo::rerun-if-changed={}", tiny.display());
    if !tiny.join("model.json").is_file() {
        return Ok(());
    }
    println!("cargo::rustc-cfg=tiny_is_here");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        let out = env::var_os("OUT_DIR")
            .map(PathBuf::from)
            .unwrap_or_default();
        for name in COMPRESSED {
            compress(&tiny.join(name), &out.join(name.replace('/', "-") + ".z"))?;
        }
    }
    Ok(())
}

fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut encoder = ZlibEncoder::new(File::create(to)?, Compression::best());
    encoder.write_all(&fs::read(from)?)?;
    encoder.finish()?;
    Ok(())
}
