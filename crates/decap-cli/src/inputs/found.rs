//! Photos and videos behind the paths that were typed or listed: in folders and by patterns.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use decap::media::{HEAD_BYTES, PhotoKind, is_named_like_a_photo, is_video, kind_of_head};
use decap::{Error, InputFault};
use decap_sources::fetch::is_url;

use super::{Depth, Input};
use crate::{name, print};

/// Folders that other programs keep small copies and deleted photos in.
const OTHERS_FOLDERS: &[&str] = &["@eaDir", ".@__thumb", ".thumbnails", "__MACOSX"];

/// Pictures that are documents or drawings: in a folder of photos nobody misses them.
const DOCUMENTS: &[&str] = &[
    "PDF",
    "SVG",
    "PostScript",
    "icon",
    "cursor",
    "Windows metafile",
    "DjVu",
];

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) inputs: Vec<Input>,
    pub(super) seen: HashSet<PathBuf>,
    /// The photos in folders that are not read, by their kinds.
    passed_over: BTreeMap<&'static str, PassedOver>,
}

/// Photos of a kind that is not read.
#[derive(Debug, Default, PartialEq, Eq)]
struct PassedOver {
    count: usize,
    /// The first few.
    names: Vec<String>,
}

impl PassedOver {
    const MOST_NAMES: usize = 3;

    fn add(&mut self, path: &Path) {
        self.count += 1;
        if self.names.len() < Self::MOST_NAMES {
            self.names.push(name::of(path));
        }
    }

    /// Such as "5 HEIC (a.heic, b.heic, c.heic and 2 more)".
    fn told(&self, kind: &str) -> String {
        let more = match self.count - self.names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{} {kind} ({}{more})", self.count, self.names.join(", "))
    }
}

impl Found {
    /// Nothing yet, but what is in `seen` is not found again.
    pub(super) fn that_saw(seen: HashSet<PathBuf>) -> Self {
        Self {
            seen,
            ..Self::default()
        }
    }

    /// What was found, less what is wrong, and all that was seen.
    pub(super) fn into_new(self) -> (Vec<PathBuf>, HashSet<PathBuf>) {
        (self.inputs.into_iter().flatten().collect(), self.seen)
    }

    /// Lets `path` be found again.
    pub(super) fn forget(seen: &mut HashSet<PathBuf>, path: &Path) {
        seen.remove(plain(path));
    }

    fn add(&mut self, path: PathBuf) {
        if self.seen.insert(plain(&path).to_path_buf()) {
            self.inputs.push(Ok(path));
        }
    }

    fn fail(&mut self, path: &Path, fault: InputFault) {
        self.inputs.push(Err(Error::input(path, fault)));
    }

    pub(super) fn expand_one(&mut self, path: &Path, depth: Depth) {
        if is_url(path) {
            self.inputs.push(Ok(path.to_path_buf()));
            return;
        }
        // As the shell would have done it, had the name stood without quotes.
        if let Some(paths) = path.to_str().and_then(numbered)
            && fs::symlink_metadata(path).is_err()
        {
            for path in paths {
                self.expand_one(Path::new(&path), depth);
            }
            return;
        }
        if path.is_dir() {
            self.expand_folder(path, depth);
        } else if has_pattern(path) && fs::symlink_metadata(path).is_err() {
            self.expand_glob(path, depth);
        } else {
            self.add(path.to_path_buf());
        }
    }

    fn expand_folder(&mut self, folder: &Path, depth: Depth) {
        let before = (self.inputs.len(), self.passed_over.len());
        let max_depth = match depth {
            Depth::Flat => 1,
            Depth::Recursive => usize::MAX,
        };
        let walk = walkdir::WalkDir::new(folder)
            .max_depth(max_depth)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_others(entry));
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_file() => self.look_at(entry.into_path()),
                Ok(entry) if !entry.file_type().is_dir() && is_named_like_a_photo(entry.path()) => {
                    let message = "expected a file, got a pipe or a device".to_owned();
                    self.fail(entry.path(), InputFault::Unsupported(message));
                }
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_path_buf();
                    let error = error.into_io_error().unwrap_or_else(|| {
                        io::Error::other("this link leads back into a folder above it")
                    });
                    self.inputs.push(Err(Error::io(path, error)));
                }
            }
        }
        if (self.inputs.len(), self.passed_over.len()) == before {
            let hint = match depth {
                Depth::Flat => "; --recursive looks into folders within it",
                Depth::Recursive => "",
            };
            let message = format!("no photo or video in this folder{hint}");
            self.fail(folder, InputFault::Empty(message));
        }
    }

    /// Takes a folder's file where it is a photo or a video: the content says so, or else the ending.
    fn look_at(&mut self, path: PathBuf) {
        if self.seen.contains(plain(&path)) {
            return;
        }
        match head_of(&path).as_deref().and_then(kind_of_head) {
            Some(PhotoKind::Unreadable(kind)) if is_document(kind) => {}
            Some(kind) if !kind.is_readable() => {
                self.passed_over.entry(kind.name()).or_default().add(&path);
            }
            Some(_) => self.add(path),
            None if is_named_like_a_photo(&path) || is_video(&path) => self.add(path),
            None => {}
        }
    }

    fn expand_glob(&mut self, path: &Path, depth: Depth) {
        let (folder, pattern) = existing_part(path);
        // The names of folders that exist are no patterns, whatever they hold.
        let pattern = folder.map_or_else(
            || pattern.to_string_lossy().into_owned(),
            |folder| {
                let folder = glob::Pattern::escape(&folder.to_string_lossy());
                format!(
                    "{}/{}",
                    folder.trim_end_matches('/'),
                    pattern.to_string_lossy()
                )
            },
        );
        let found = match glob::glob(&pattern) {
            Ok(found) => found,
            Err(error) => {
                let message = format!("not a pattern: {error}");
                return self.fail(path, InputFault::Unsupported(message));
            }
        };
        let before = self.inputs.len();
        for entry in found {
            match entry {
                Ok(path) if path.is_dir() => {
                    // As the shell would have named it.
                    self.expand_folder(&path, depth);
                }
                Ok(path) => self.add(path),
                Err(error) => {
                    let path = error.path().to_path_buf();
                    self.inputs.push(Err(Error::io(path, error.into())));
                }
            }
        }
        if self.inputs.len() == before {
            let message = "no file matches this pattern".to_owned();
            self.fail(path, InputFault::Empty(message));
        }
    }

    pub(super) fn tell_passed_over(&self) {
        if self.passed_over.is_empty() {
            return;
        }
        let kinds = self.passed_over.iter();
        let kinds: Vec<String> = kinds.map(|(kind, photos)| photos.told(kind)).collect();
        print::warn(format!(
            "decap: passed over photos that are not read: {}; convert them to JPEG to include them",
            kinds.join(", ")
        ));
    }
}

/// The names that `shard-{000..015}.tar` stands for; nothing where there are no such braces, or where they
/// stand for too many.
fn numbered(pattern: &str) -> Option<Vec<String>> {
    const MOST: u64 = 1_000_000;
    let (before, rest) = pattern.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let number = |text: &str| {
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| text.parse::<u64>().ok())?
    };
    let (from, to) = (number(first)?, number(last)?);
    let width = match first.starts_with('0') || last.starts_with('0') {
        true => first.len().max(last.len()),
        false => 0,
    };
    (to.checked_sub(from)? < MOST).then(|| {
        (from..=to)
            .map(|at| format!("{before}{at:0width$}{after}"))
            .collect()
    })
}

pub(super) fn has_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// `./a.jpg` is `a.jpg`.
fn plain(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

fn is_document(kind: &str) -> bool {
    DOCUMENTS.iter().any(|document| kind.starts_with(document))
}

/// The longest part of `path` that exists, and the rest, which may be a pattern.
fn existing_part(path: &Path) -> (Option<&Path>, &Path) {
    let existing = path.ancestors().skip(1).find(|part| part.is_dir());
    match existing.and_then(|part| Some((part, path.strip_prefix(part).ok()?))) {
        Some((part, rest)) => (Some(part), rest),
        None => (None, path),
    }
}

/// Whether an entry of a folder is another program's own: macOS's `._` files, small copies, the bin.
fn is_others(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    match entry.file_type().is_dir() {
        true => OTHERS_FOLDERS.contains(&&*name) || name.starts_with(".Trash"),
        false => name.starts_with("._"),
    }
}

/// The first bytes of a regular file; nothing where they cannot be read.
fn head_of(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = File::open(path).ok()?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_braces_are_names() {
        let names = numbered("s-{008..010}.tar").unwrap();
        assert_eq!(names, ["s-008.tar", "s-009.tar", "s-010.tar"]);
        assert_eq!(numbered("{9..10}").unwrap(), ["9", "10"]);
        for other in [
            "a.tar",
            "{a..b}",
            "{3..1}",
            "{0..}",
            "{0..99999999999}",
            "{0..1",
        ] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }

    #[test]
    fn content_decides_and_what_others_keep_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["@eaDir", ".Trash-1000", "Photos [2019]"] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("a.jpg"), b"").unwrap();
        }
        fs::write(path("._b.jpg"), b"attributes").unwrap();
        fs::write(path("no-ending"), b"\xff\xd8\xff\xe0").unwrap();
        fs::write(path("c.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
        fs::write(path("paper.pdf"), b"%PDF-1.7").unwrap();
        let mut found = Found::default();
        found.expand_one(root.path(), Depth::Recursive);
        let names: Vec<_> = found
            .inputs
            .iter()
            .map(|it| it.as_ref().unwrap().clone())
            .collect();
        assert_eq!(names, [path("Photos [2019]/a.jpg"), path("no-ending")]);
        let passed_over: Vec<_> = found.passed_over.iter().collect();
        let [(kind, photos)] = &passed_over[..] else {
            panic!("{passed_over:?}");
        };
        let told = format!("1 HEIC ({})", name::of(&path("c.heic")));
        assert_eq!(photos.told(kind), told);
        let mut photos = PassedOver::default();
        for file in ["a", "b", "c", "d", "e"] {
            photos.add(Path::new(file));
        }
        assert_eq!(photos.told("HEIC"), "5 HEIC (a, b, c and 2 more)");

        let mut found = Found::default();
        found.expand_one(&path("Photos [2019]/*.jpg"), Depth::Flat);
        assert_eq!(found.inputs.len(), 1);
        assert!(found.inputs[0].is_ok());
    }
}
