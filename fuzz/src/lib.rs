//! What fuzz targets share: files for parsers that read files, and inputs of several parts.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder for the files of one fuzzing process, in `TMPDIR`. `tools/fuzz.sh` points that at memory.
pub struct Scratch(PathBuf);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes an empty folder.
    ///
    /// # Panics
    /// Where it cannot be made: without it, nothing is tested.
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("decap-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("TMPDIR can be written");
        Self(folder)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Writes `bytes` to the file `name`, which may lie in folders of its own; returns its path.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        if name.contains('/')
            && let Some(parent) = path.parent()
        {
            fs::create_dir_all(parent).expect("TMPDIR can be written");
        }
        fs::write(&path, bytes).expect("TMPDIR can be written");
        path
    }

    /// Writes the `parts` to files of these names; names without a part get no file.
    ///
    /// # Panics
    /// Where one cannot be written.
    pub fn write_parts(&self, names: &[&str], parts: &[&[u8]]) {
        for (index, name) in names.iter().enumerate() {
            match parts.get(index) {
                Some(part) => drop(self.write(name, part)),
                // It may be left from the input before.
                None => drop(fs::remove_file(self.0.join(name))),
            }
        }
    }
}

/// The line between the parts of an input.
pub const PART_LINE: &[u8] = b"\n%%%%\n";

/// The parts of an input, which [`PART_LINE`] separates.
pub fn parts(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = input
        .windows(PART_LINE.len())
        .position(|window| window == PART_LINE)
    {
        parts.push(&input[..at]);
        input = &input[at + PART_LINE.len()..];
    }
    parts.push(input);
    parts
}

/// An input's first byte, below `count`, and the rest; `None` for an empty input. Seeds begin with a
/// digit, so that people can read them.
pub fn choice(input: &[u8], count: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((first.wrapping_sub(b'0') % count, rest))
}
