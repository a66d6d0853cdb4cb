//! What a source is, by its name.

use std::path::Path;

/// What a file that holds or lists photos is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// A tar archive, such as a shard of WebDataset, packed with gzip or not.
    Tar,
    /// A zip archive.
    Zip,
    /// A table with a header and this between its columns.
    Delimited(u8),
    /// An object a line.
    JsonLines,
    /// A Parquet file with a column of photos or of paths.
    Parquet,
}

impl SourceKind {
    /// The kind that the name of `path` says; nothing for a photo, a folder and everything else.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let has = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if has(&[".tar", ".tar.gz", ".tgz"]) {
            Some(Self::Tar)
        } else if has(&[".zip"]) {
            Some(Self::Zip)
        } else if has(&[".csv"]) {
            Some(Self::Delimited(b','))
        } else if has(&[".tsv"]) {
            Some(Self::Delimited(b'\t'))
        } else if has(&[".jsonl", ".ndjson"]) {
            Some(Self::JsonLines)
        } else if has(&[".parquet"]) {
            Some(Self::Parquet)
        } else {
            None
        }
    }

    /// Whether it lists photos that lie elsewhere.
    pub fn is_table(self) -> bool {
        matches!(self, Self::Delimited(_) | Self::JsonLines)
    }
}
