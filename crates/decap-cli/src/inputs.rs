//! The paths that were typed, as a list of photos and videos.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::path::{Path, PathBuf};

use decap::media::{HEAD_BYTES, PhotoKind, is_video, kind_of_head};
use decap::{Error, Input as Photo, InputFault};
use decap_sources::fetch::is_url;
use decap_sources::source::{Source, SourceKind, SourceOptions};

use crate::failure::Failure;
use crate::name;
use crate::print;

/// Endings of photos: what has one is a photo, though a damaged one.
const PHOTO_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
];

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
        }
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
                match self.finder.next_few()? {
                    Some(found) => self.waiting.extend(found),
                    None => return Ok(None),
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

/// Longest path in a list, in bytes.
const LONGEST_PATH: usize = 1 << 16;

/// Paths in a list: one a line, or with NUL between them, as `find -print0` writes it. Their bytes are
/// taken as they are; a byte order mark is none of them.
struct PathList<R> {
    reader: BufReader<R>,
    /// Known from the first bytes.
    separator: Option<u8>,
}

impl<R: Read> PathList<R> {
    fn of(reader: BufReader<R>) -> Self {
        Self {
            reader,
            separator: None,
        }
    }

    /// The paths that have come, and at least one; none at the end of the list.
    fn next_few(&mut self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        let separator = match self.separator {
            Some(separator) => separator,
            None => self.begin()?,
        };
        loop {
            let mut line = Vec::new();
            self.reader
                .by_ref()
                .take(LONGEST_PATH as u64 + 1)
                .read_until(separator, &mut line)
                .map_err(unreadable)?;
            if line.is_empty() {
                return Ok(paths);
            }
            if line.last() == Some(&separator) {
                line.pop();
            }
            if line.len() > LONGEST_PATH {
                return Err(Failure::Usage(format!(
                    "standard input: expected paths of at most {LONGEST_PATH} bytes, one a line, got more"
                )));
            }
            let path = line.strip_suffix(b"\r").unwrap_or(&line);
            if !path.is_empty() {
                let unusable =
                    || Failure::Usage("standard input: expected paths in UTF-8".to_owned());
                paths.push(name::from_bytes(path).ok_or_else(unusable)?);
            }
            let has_more = self.reader.buffer().contains(&separator);
            if !has_more && !paths.is_empty() {
                return Ok(paths);
            }
        }
    }

    /// Looks at the first bytes; returns what stands between paths.
    fn begin(&mut self) -> Result<u8, Failure> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let head = self.reader.fill_buf().map_err(unreadable)?;
        if let Some(kind) = kind_of_head(&head[..head.len().min(HEAD_BYTES)]) {
            return Err(Failure::Usage(format!(
                "standard input: expected a list of paths, one a line, got a {} photo\n  write it to a \
                 file first, and give its path",
                kind.name()
            )));
        }
        let separator = if head.contains(&0) { 0 } else { b'\n' };
        if head.starts_with(BYTE_ORDER_MARK) {
            self.reader.consume(BYTE_ORDER_MARK.len());
        }
        self.separator = Some(separator);
        Ok(separator)
    }
}

fn unreadable(source: io::Error) -> Failure {
    Failure::Library(Error::io("standard input", source))
}

/// What was found so far.
#[derive(Default)]
struct Found {
    inputs: Vec<Input>,
    seen: HashSet<PathBuf>,
    /// Kinds of photos that are not read, and how many of each the folders hold.
    passed_over: BTreeMap<&'static str, usize>,
}

impl Found {
    fn add(&mut self, path: PathBuf) {
        // `./a.jpg` is `a.jpg`.
        let plain = path.strip_prefix(".").unwrap_or(&path).to_path_buf();
        if self.seen.insert(plain) {
            self.inputs.push(Ok(path));
        }
    }

    fn fail(&mut self, path: &Path, fault: InputFault) {
        self.inputs.push(Err(Error::input(path, fault)));
    }

    fn expand_one(&mut self, path: &Path, depth: Depth) {
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
        let has_pattern = path.to_string_lossy().contains(['*', '?', '[']);
        if path.is_dir() {
            self.expand_folder(path, depth);
        } else if has_pattern && fs::symlink_metadata(path).is_err() {
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
        match head_of(&path).as_deref().and_then(kind_of_head) {
            Some(PhotoKind::Unreadable(kind)) if is_document(kind) => {}
            Some(PhotoKind::Unreadable(kind)) => *self.passed_over.entry(kind).or_default() += 1,
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

    fn tell_passed_over(&self) {
        if self.passed_over.is_empty() {
            return;
        }
        let kinds = self.passed_over.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        print::warn(format!(
            "decap: passed over photos that are not read: {} (convert them to JPEG to include them)",
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

/// Whether `path` ends as photos do.
pub fn is_named_like_a_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        PHOTO_EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
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
    fn lists_are_bytes_with_line_feeds_or_nuls_between_paths() {
        fn list_from(bytes: &[u8]) -> Result<Vec<PathBuf>, Failure> {
            // A small buffer, so that the list comes in parts.
            let mut list = PathList::of(BufReader::with_capacity(16, bytes));
            let mut paths = Vec::new();
            loop {
                match list.next_few()? {
                    few if few.is_empty() => return Ok(paths),
                    few => paths.extend(few),
                }
            }
        }
        let list = |bytes: &[u8]| -> Vec<String> {
            let paths = list_from(bytes).unwrap();
            paths.iter().map(|path| name::of(path)).collect()
        };
        assert_eq!(list(b"a.jpg\r\n\nb c.jpg"), ["a.jpg", "b c.jpg"]);
        assert_eq!(list(b"a\nb.jpg\0c.jpg\0"), [r"$'a\x0ab.jpg'", "c.jpg"]);
        assert_eq!(list(b"\xef\xbb\xbfa.jpg\n"), ["a.jpg"]);
        #[cfg(unix)]
        assert_eq!(list(b"caf\xe9.jpg\n"), [r"$'caf\xe9.jpg'"]);
        let error = list_from(b"\xff\xd8\xff\xe0").unwrap_err();
        assert!(error.to_string().contains("a JPEG photo"), "{error}");
        let error = list_from(&[b'a'; LONGEST_PATH + 1]).unwrap_err();
        assert!(error.to_string().contains("at most 65536 bytes"), "{error}");
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
        assert_eq!(found.passed_over, BTreeMap::from([("HEIC", 1)]));

        let mut found = Found::default();
        found.expand_one(&path("Photos [2019]/*.jpg"), Depth::Flat);
        assert_eq!(found.inputs.len(), 1);
        assert!(found.inputs[0].is_ok());
    }
}
