//! The paths that were typed, as a list of photos and videos.

mod found;
mod list;
mod watch;

use std::collections::VecDeque;
use std::io::{self, BufReader, Stdin};
use std::path::{Path, PathBuf};

use decap::{Error, Input as Photo};
use decap_sources::fetch::is_url;
use decap_sources::source::{Source, SourceKind, SourceOptions};

use crate::failure::Failure;
use crate::stop::Stop;
use found::{Found, has_pattern};
use list::{LONGEST_PATH, PathList};
use watch::Watch;

/// Whether to look into folders within folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The folder's own files.
    Flat,
    /// All files below it.
    Recursive,
}

/// One thing to caption, or why there is none at a path that was typed.
pub type Input = Result<PathBuf, Error>;

/// Lists the inputs behind `paths`: files as they are, the photos and videos of folders in name order,
/// globs where no such file exists, and for `-` the paths that standard input lists. Each file once.
/// Photos of folders that cannot be read are counted and told.
///
/// # Errors
/// Where standard input cannot be read, or holds no list. What is wrong with a single path stands in its
/// place.
pub fn expand(paths: &[PathBuf], depth: Depth) -> Result<Vec<Input>, Failure> {
    let mut finder = Finder::new(paths, depth);
    let mut inputs = Vec::new();
    while let Some(few) = finder.next_few()? {
        inputs.extend(few);
    }
    Ok(inputs)
}

/// Finds inputs as [`Finder`] does, and opens archives and tables among them.
pub struct Opener<'p> {
    finder: Finder<'p>,
    options: SourceOptions,
    /// Found, and not given yet.
    waiting: VecDeque<Input>,
    open: Option<Source>,
    watch: Option<Watch<'p>>,
}

/// A photo, or why there is none; from an archive it has no path that could be written to.
pub type Opened = Result<Photo, Error>;

/// Photos of an archive that are held at a time: so many, and so many bytes.
const HELD_PHOTOS: usize = 256;
const HELD_BYTES: usize = 64 << 20;

impl<'p> Opener<'p> {
    /// Looks for nothing yet.
    pub fn new(paths: &'p [PathBuf], depth: Depth, options: SourceOptions) -> Self {
        Self {
            finder: Finder::new(paths, depth),
            options,
            waiting: VecDeque::new(),
            open: None,
            watch: None,
        }
    }

    /// Behind the last input, waits for new files in the folders and behind the globs of `paths`, until `stop`.
    pub fn watching(mut self, paths: &'p [PathBuf], depth: Depth, stop: Stop) -> Self {
        self.watch = Some(Watch::new(paths, depth, stop));
        self
    }

    /// Whether it is known how many there are: nothing is read that holds or lists others.
    pub fn is_counted(&self) -> bool {
        let is_source = |input: &Input| {
            let path = input.as_ref().ok();
            path.is_some_and(|path| is_url(path) || source_at(path).is_some())
        };
        self.open.is_none() && !self.waiting.iter().any(is_source)
    }

    /// The next photos, in order, and at least one. Nothing behind the last.
    ///
    /// # Errors
    /// As [`Finder::next_few`].
    pub fn next_few(&mut self) -> Result<Option<Vec<Opened>>, Failure> {
        loop {
            let few = self.few_of_open();
            if !few.is_empty() {
                return Ok(Some(few));
            }
            if self.waiting.is_empty() {
                match (self.finder.next_few()?, &mut self.watch) {
                    (Some(found), None) => self.waiting.extend(found),
                    (Some(found), Some(_)) => {
                        // A folder that is empty is about to be filled.
                        let is_there =
                            |input: &Input| !matches!(input, Err(error) if error.kind() == "empty");
                        self.waiting.extend(found.into_iter().filter(is_there));
                    }
                    (None, None) => return Ok(None),
                    (None, Some(watch)) => {
                        let new = watch.next_few(&mut self.finder.found.seen);
                        if new.is_empty() {
                            return Ok(None);
                        }
                        self.waiting.extend(new.into_iter().map(Ok));
                    }
                }
            }
            let mut few = Vec::new();
            while let Some(input) = self.waiting.pop_front() {
                match input {
                    Ok(path) if is_url(&path) => {
                        self.waiting.push_front(Ok(path));
                        if few.is_empty() {
                            self.open = Some(Source::fetch(self.addresses(), self.options.clone()));
                        }
                        break;
                    }
                    Ok(path) => match source_at(&path) {
                        Some(_) if !few.is_empty() => {
                            self.waiting.push_front(Ok(path));
                            return Ok(Some(few));
                        }
                        Some(kind) => {
                            self.open = Some(Source::open(path, kind, self.options.clone()));
                            break;
                        }
                        None => few.push(Ok(Photo::from(path))),
                    },
                    Err(error) => few.push(Err(error)),
                }
            }
            if !few.is_empty() {
                return Ok(Some(few));
            }
        }
    }

    /// The addresses of the web that come next.
    fn addresses(&mut self) -> Vec<PathBuf> {
        let mut addresses = Vec::new();
        while let Some(Ok(path)) = self.waiting.front()
            && is_url(path)
        {
            addresses.push(path.clone());
            self.waiting.pop_front();
        }
        addresses
    }

    /// Photos of the source that is open; it is closed at its end.
    fn few_of_open(&mut self) -> Vec<Opened> {
        let mut few = Vec::new();
        let mut bytes = 0;
        while let Some(source) = &mut self.open {
            match source.next() {
                Some(photo) => {
                    if let Ok(Photo::Bytes { bytes: content, .. }) = &photo {
                        bytes += content.len();
                    }
                    few.push(photo);
                }
                None => {
                    few.extend(source.end().error().map(Err));
                    self.open = None;
                }
            }
            if few.len() >= HELD_PHOTOS || bytes >= HELD_BYTES {
                break;
            }
        }
        few
    }
}

/// Whether new files can come behind a path that was typed.
pub fn is_folder_or_glob(path: &Path) -> bool {
    path.is_dir() || (has_pattern(path) && !path.exists())
}

/// What a path that was typed or listed holds or lists, where that is photos: its name says so, and that
/// it is no folder.
fn source_at(path: &Path) -> Option<SourceKind> {
    SourceKind::of(path).filter(|_| !path.is_dir())
}

/// Finds inputs as [`expand`] does, a few at a time: what was typed at once, and what standard input lists
/// as it comes.
pub struct Finder<'p> {
    typed: std::slice::Iter<'p, PathBuf>,
    list: Option<PathList<Stdin>>,
    found: Found,
    depth: Depth,
}

impl<'p> Finder<'p> {
    /// Looks for nothing yet.
    pub fn new(paths: &'p [PathBuf], depth: Depth) -> Self {
        Self {
            typed: paths.iter(),
            list: None,
            found: Found::default(),
            depth,
        }
    }

    /// The next inputs; for a list those that are there, and at least one. Nothing behind the last.
    ///
    /// # Errors
    /// As [`expand`].
    pub fn next_few(&mut self) -> Result<Option<Vec<Input>>, Failure> {
        while self.list.is_some() || self.typed.len() > 0 {
            match &mut self.list {
                Some(list) => {
                    let few = list.next_few()?;
                    if few.is_empty() {
                        self.list = None;
                    }
                    for path in few {
                        self.found.expand_one(&path, self.depth);
                    }
                }
                None => {
                    for path in self.typed.by_ref() {
                        if path.as_os_str() == "-" {
                            let reader = BufReader::with_capacity(LONGEST_PATH, io::stdin());
                            self.list = Some(PathList::of(reader));
                            break;
                        }
                        self.found.expand_one(path, self.depth);
                    }
                }
            }
            if self.list.is_none() && self.typed.len() == 0 {
                self.found.tell_passed_over();
            }
            if !self.found.inputs.is_empty() {
                return Ok(Some(std::mem::take(&mut self.found.inputs)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_globs_and_files_are_listed_once_in_order() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("deep")).unwrap();
        for name in ["b.JPG", "a.png", "notes.txt", "clip.mp4", "deep/c.webp"] {
            fs::write(path(name), b"").unwrap();
        }
        let list = |typed: &[PathBuf], depth| -> Vec<String> {
            let inputs = expand(typed, depth).unwrap();
            let name = |path: PathBuf| {
                path.strip_prefix(root.path())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            };
            inputs
                .into_iter()
                .map(|input| input.map_or_else(|e| e.kind().into(), name))
                .collect()
        };
        let folder = [root.path().to_path_buf()];
        assert_eq!(list(&folder, Depth::Flat), ["a.png", "b.JPG", "clip.mp4"]);
        assert_eq!(
            list(&folder, Depth::Recursive),
            ["a.png", "b.JPG", "clip.mp4", "deep/c.webp"]
        );
        assert_eq!(
            list(&[path("*.png"), path("a.png")], Depth::Flat),
            ["a.png"]
        );
        assert_eq!(list(&[path("*.gif")], Depth::Flat), ["empty"]);
        assert_eq!(list(&[path("deep")], Depth::Flat), ["deep/c.webp"]);
        fs::remove_file(path("deep/c.webp")).unwrap();
        assert_eq!(list(&[path("deep")], Depth::Flat), ["empty"]);
    }
}
