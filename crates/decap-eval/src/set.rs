//! What is evaluated: photos or videos, each with its reference captions.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use caption_data::{CaptionFormat, CaptionedImage, Captions};
use caption_metrics::References;

use super::published::Benchmark;
use super::{data_error, metrics_error};
use decap::{Error, InputFault, Result};

/// What a data set's folder is searched for, where no caption file is named.
const MANIFEST: &str = "manifest.jsonl";

/// Endings that are tried where a data set names a photo or video by its id alone.
const ENDINGS: &[&str] = &[
    "", ".jpg", ".jpeg", ".png", ".webp", ".mp4", ".webm", ".mkv", ".avi", ".mov",
];

/// Photos or videos with references, in the data set's order.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalSet {
    /// A name for people: the files and the part that was taken.
    pub name: String,
    /// What is captioned.
    pub items: Vec<EvalItem>,
    /// What the reader of caption files had to decide by itself, each with its file, for people.
    pub notes: Vec<String>,
    /// How many photos of the chosen part were left out because they have no reference.
    pub without_references: usize,
    /// The published benchmark that this is, where it is one.
    pub benchmark: Option<Benchmark>,
}

/// One photo or video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalItem {
    /// Its id in the data set, as text.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
    /// What people wrote about it, at least one caption.
    pub references: Vec<String>,
}

/// Which part of a data set, and where its photos are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetOptions {
    /// The folder that photo paths are relative to; default: the caption file's.
    pub photos: Option<PathBuf>,
    /// The part that is evaluated.
    pub part: Part,
}

/// A part of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Part {
    /// The split `test` where the file has one, else everything.
    #[default]
    TestOrAll,
    /// Everything.
    All,
    /// One split, or one of nocaps' domains.
    Named(String),
}

impl EvalSet {
    /// A set of `items`.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is none, an id occurs twice or an item has no reference.
    pub fn new(name: impl Into<String>, items: Vec<EvalItem>) -> Result<Self> {
        let set = Self {
            name: name.into(),
            items,
            notes: Vec::new(),
            without_references: 0,
            benchmark: None,
        };
        set.references_of(0..set.items.len())?;
        match set.items.is_empty() {
            true => Err(Error::Usage("expected photos to evaluate, got none".into())),
            false => Ok(set),
        }
    }

    /// Reads caption files (every shape that [`caption_data::read_captions`] knows and that names
    /// photos), one after the other; for a folder, its `manifest.jsonl`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] where a file cannot be read, names no photos, lacks the
    /// part or has the same id as a file before it.
    pub fn read(paths: &[PathBuf], options: &SetOptions) -> Result<Self> {
        let mut set = Self {
            name: String::new(),
            items: Vec::new(),
            notes: Vec::new(),
            without_references: 0,
            benchmark: None,
        };
        let mut ids = HashSet::new();
        for path in paths {
            let format = set.add(path, options, &mut ids)?;
            if let [_] = paths {
                let photos: Vec<&Path> = set.items.iter().map(|item| &*item.path).collect();
                let part = match &options.part {
                    Part::Named(name) => Some(name.as_str()),
                    Part::TestOrAll | Part::All => None,
                };
                set.benchmark = Benchmark::recognise(&photos, format, part);
            }
        }
        if set.items.is_empty() {
            let path = paths.first().map_or(Path::new(""), PathBuf::as_path);
            return Err(Error::input(
                path,
                InputFault::Empty("expected photos with references, got none".to_owned()),
            ));
        }
        Ok(set)
    }

    /// The references of `items`, for scoring.
    pub(super) fn references_of(
        &self,
        items: impl IntoIterator<Item = usize>,
    ) -> Result<References> {
        let images = items.into_iter().map(|item| {
            let item = &self.items[item];
            (item.id.clone(), item.references.clone())
        });
        References::new(images).map_err(metrics_error)
    }

    /// Keeps the first `count` photos.
    pub fn limit(&mut self, count: usize) {
        if count < self.items.len() {
            self.items.truncate(count);
            self.name = format!("{}, the first {count}", self.name);
            self.benchmark = None;
        }
    }

    fn add(
        &mut self,
        path: &Path,
        options: &SetOptions,
        ids: &mut HashSet<String>,
    ) -> Result<CaptionFormat> {
        let file = match path.is_dir() {
            true => manifest_of(path)?,
            false => path.to_path_buf(),
        };
        let captions = caption_data::read_captions(&file).map_err(data_error)?;
        let format = captions.format();
        let note = captions.note();
        self.notes
            .extend(note.map(|note| format!("{}: {note}", file.display())));
        if captions.images().is_empty() {
            return Err(Error::unsupported(
                file,
                format!(
                    "expected a caption file that names its photos, got {format}, which has captions \
                     alone; give COCO or Karpathy JSON, JSON lines with `image` and `captions`, or a \
                     table of file names and captions"
                ),
            ));
        }
        let (captions, part) = match &options.part {
            Part::TestOrAll if captions.splits().contains(&"test") => {
                (captions.in_splits(&["test"]), Some("test"))
            }
            Part::TestOrAll | Part::All => (captions, None),
            Part::Named(part) => {
                let of_split = captions.in_splits(&[part]);
                let of_domain = captions.in_domain(part);
                if of_split.images().is_empty() && of_domain.images().is_empty() {
                    return Err(Error::input(file, no_such_part(part, &captions)));
                }
                let chosen = match of_split.images().is_empty() {
                    true => of_domain,
                    false => of_split,
                };
                (chosen, Some(part.as_str()))
            }
        };
        let own_folder = file.parent().unwrap_or(Path::new(""));
        let folder = options.photos.as_deref().unwrap_or(own_folder);
        for (image, references) in captions.by_image() {
            if references.is_empty() {
                self.without_references += 1;
                continue;
            }
            if !ids.insert(image.id.clone()) {
                let message = format!("the id {:?} is in an earlier file already", image.id);
                return Err(Error::input(file, InputFault::Text(message)));
            }
            self.items.push(EvalItem {
                id: image.id.clone(),
                path: file_of(image, folder),
                references: references.into_iter().map(str::to_owned).collect(),
            });
        }
        if !self.name.is_empty() {
            self.name += " + ";
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.name += &name.to_string_lossy();
        if let Some(part) = part {
            self.name += &format!(" ({part})");
        }
        Ok(format)
    }
}

fn manifest_of(folder: &Path) -> Result<PathBuf> {
    let manifest = folder.join(MANIFEST);
    if manifest.is_file() {
        return Ok(manifest);
    }
    let message = format!(
        "expected a caption file, or a folder with a {MANIFEST}; photos alone have no references"
    );
    Err(Error::unsupported(folder, message))
}

fn no_such_part(part: &str, captions: &Captions) -> InputFault {
    let mut parts = captions.splits();
    for domain in captions.images().iter().filter_map(|i| i.domain.as_deref()) {
        if !parts.contains(&domain) {
            parts.push(domain);
        }
    }
    let parts = match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    };
    InputFault::Empty(format!("expected a split {part:?}, got {parts}"))
}

/// The file of `image`: its path in `folder`, or its bare name there, or its id with an ending.
/// Where none exists, the path that was expected.
fn file_of(image: &CaptionedImage, folder: &Path) -> PathBuf {
    let Some(path) = &image.path else {
        return find_photo(folder, &image.id);
    };
    let expected = folder.join(path);
    if expected.is_file() {
        return expected;
    }
    let bare = Path::new(path).file_name().map(|name| folder.join(name));
    bare.filter(|bare| bare.is_file()).unwrap_or(expected)
}

/// The photo or video in `folder` that is called `id`, as it is or with a usual ending; where
/// there is none, the path without an ending.
pub fn find_photo(folder: &Path, id: &str) -> PathBuf {
    let mut candidates = ENDINGS
        .iter()
        .map(|ending| folder.join(format!("{id}{ending}")));
    let found = candidates.find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| folder.join(id))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(name: &str, content: &str, files: &[&str], part: Part) -> Result<EvalSet> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let options = SetOptions { photos: None, part };
        let mut set = EvalSet::read(&[path], &options)?;
        for item in &mut set.items {
            item.path = item.path.strip_prefix(folder.path()).unwrap().to_path_buf();
        }
        Ok(set)
    }

    fn files(set: &EvalSet) -> Vec<&str> {
        let paths = set.items.iter().map(|item| item.path.to_str().unwrap());
        paths.collect()
    }

    const PAIRS: &str = r#"{"image": "images/a.jpg", "captions": ["one", "two"], "split": "test"}
        {"image": "images/b.jpg", "captions": ["three"], "split": "train"}
        {"image": "images/c.jpg", "captions": [], "split": "test"}"#;

    #[test]
    fn the_test_split_is_taken_unless_another_part_is_named() {
        let set = read("pairs.jsonl", PAIRS, &[], Part::TestOrAll).unwrap();
        assert_eq!(files(&set), ["images/a.jpg"]);
        assert_eq!(set.items[0].references, ["one", "two"]);
        assert_eq!(
            (set.name.as_str(), set.without_references),
            ("pairs.jsonl (test)", 1)
        );
        let set = read("pairs.jsonl", PAIRS, &[], Part::Named("train".into())).unwrap();
        assert_eq!(files(&set), ["images/b.jpg"]);
        assert_eq!(
            read("pairs.jsonl", PAIRS, &[], Part::All)
                .unwrap()
                .items
                .len(),
            2
        );
        let error = read("pairs.jsonl", PAIRS, &[], Part::Named("val".into())).unwrap_err();
        assert!(
            error.to_string().contains("\"val\", got test, train"),
            "{error}"
        );
    }

    #[test]
    fn photos_are_found_by_path_by_bare_name_and_by_id() {
        let karpathy = r#"{"images": [
            {"filepath": "val2014", "filename": "a.jpg", "cocoid": 1, "sentences": [{"raw": "x"}]},
            {"filepath": "val2014", "filename": "b.jpg", "cocoid": 2, "sentences": [{"raw": "y"}]}]}"#;
        let set = read(
            "dataset.json",
            karpathy,
            &["val2014/a.jpg", "b.jpg"],
            Part::All,
        );
        assert_eq!(files(&set.unwrap()), ["val2014/a.jpg", "b.jpg"]);
        let map = r#"{"7": ["x"], "video8": ["y"], "9": ["z"]}"#;
        let set = read("refs.json", map, &["7.png", "video8.mp4"], Part::All).unwrap();
        assert_eq!(files(&set), ["7.png", "video8.mp4", "9"]);
    }

    #[test]
    fn nocaps_domains_are_parts() {
        let nocaps = r#"{"images": [{"id": 0, "file_name": "a.jpg", "domain": "in-domain"},
                                    {"id": 1, "file_name": "b.jpg", "domain": "out-domain"}],
            "annotations": [{"image_id": 0, "caption": "x"}, {"image_id": 1, "caption": "y"}]}"#;
        let set = read("nocaps.json", nocaps, &[], Part::Named("out-domain".into())).unwrap();
        assert_eq!(files(&set), ["b.jpg"]);
    }

    #[test]
    fn captions_without_photos_are_refused() {
        let error = read("captions.txt", "a dog\n", &[], Part::All).unwrap_err();
        assert!(error.to_string().contains("plain text"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().to_path_buf()];
        let error = EvalSet::read(&paths, &SetOptions::default()).unwrap_err();
        assert!(error.to_string().contains("manifest.jsonl"), "{error}");
    }

    #[test]
    fn several_files_come_together_and_an_id_that_is_in_two_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, image: &str| {
            let path = folder.path().join(name);
            let line = format!("{{\"image\": \"{image}\", \"captions\": [\"x\"]}}\n");
            fs::write(&path, line).unwrap();
            path
        };
        let (a, b, c) = (
            write("a.jsonl", "a.jpg"),
            write("b.jsonl", "b.jpg"),
            write("c.jsonl", "a.jpg"),
        );
        let options = SetOptions::default();
        let set = EvalSet::read(&[a.clone(), b], &options).unwrap();
        assert_eq!(set.name, "a.jsonl + b.jsonl");
        assert_eq!(set.items.len(), 2);
        let error = EvalSet::read(&[a, c], &options).unwrap_err();
        assert!(error.to_string().contains("earlier file"), "{error}");
    }
}
