//! Photo-caption pairs from JSON lines.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use decap::{Error, InputFault, Result};

/// A photo and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The photo.
    pub image: PathBuf,
    /// Its captions; at least one.
    pub captions: Vec<String>,
    /// What it is for.
    pub split: Split,
}

/// What a pair is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Learned from.
    Train,
    /// Measured on while training, to keep the best heads.
    Dev,
    /// Measured on once, at the end.
    Test,
    /// A class photo with its label for a caption; learned from.
    Class,
}

/// One line of the file; other keys are ignored.
#[derive(Deserialize)]
struct Line {
    image: PathBuf,
    #[serde(default)]
    captions: Vec<String>,
    split: Option<String>,
    label: Option<String>,
}

/// Reads pairs: a JSON object a line, with `image` (relative to the file), `captions`, and
/// `split` (`train`, `val` or `dev`, `test`; default `train`).
///
/// A line with a `label` is a class photo: its captions, or where it has none the sentence
/// "a photo of a LABEL", are its prototypes. Lines without caption and label are left out.
///
/// # Errors
/// [`Error::Io`], or [`Error::Input`] with the number of a line that is no such object.
pub fn read_pairs(path: &Path) -> Result<Vec<Pair>> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut pairs = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let refuse = |what: String| {
            Error::input(
                path,
                InputFault::Text(format!("line {}: {what}", index + 1)),
            )
        };
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| refuse(format!("expected a photo and its captions: {error}")))?;
        let split = match (&line.label, line.split.as_deref()) {
            (_, Some("test")) => Split::Test,
            (_, Some("val" | "dev")) => Split::Dev,
            (_, Some("class")) | (Some(_), _) => Split::Class,
            (None, Some("train") | None) => Split::Train,
            (None, Some(other)) => {
                return Err(refuse(format!(
                    "expected the split train, val, test or class, got `{other}`"
                )));
            }
        };
        let said = |caption: &String| !caption.trim().is_empty();
        let mut captions: Vec<String> = line.captions.into_iter().filter(said).collect();
        if let (true, Some(label)) = (captions.is_empty(), line.label) {
            captions.push(format!("a photo of a {}", label.trim()));
        }
        if !captions.is_empty() {
            pairs.push(Pair {
                image: folder.join(line.image),
                captions,
                split,
            });
        }
    }
    if pairs.is_empty() {
        let message = "expected photos with captions, got none".to_owned();
        return Err(Error::input(path, InputFault::Empty(message)));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Pair>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.jsonl");
        fs::write(&path, text).unwrap();
        let mut pairs = read_pairs(&path)?;
        for pair in &mut pairs {
            pair.image = pair.image.strip_prefix(folder.path()).unwrap().to_owned();
        }
        Ok(pairs)
    }

    #[test]
    fn lines_become_pairs() {
        let pairs = read(
            r#"
            {"image": "a/1.jpg", "captions": ["a dog", " "], "split": "test", "source": {"x": 1}}
            {"image": "2.jpg", "captions": ["two"]}
            {"image": "3.jpg", "captions": ["three"], "split": "val"}
            {"image": "4.jpg", "captions": [], "label": "tench"}
            {"image": "5.jpg", "captions": ["the fish"], "label": "tench", "split": "class"}
            {"image": "6.jpg", "captions": []}
            "#,
        )
        .unwrap();
        let found: Vec<_> = pairs
            .iter()
            .map(|pair| {
                (
                    pair.image.to_str().unwrap(),
                    pair.captions.join("|"),
                    pair.split,
                )
            })
            .collect();
        let expected = [
            ("a/1.jpg", "a dog", Split::Test),
            ("2.jpg", "two", Split::Train),
            ("3.jpg", "three", Split::Dev),
            ("4.jpg", "a photo of a tench", Split::Class),
            ("5.jpg", "the fish", Split::Class),
        ]
        .map(|(image, captions, split)| (image, captions.to_owned(), split));
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            (
                "{\"image\": \"1.jpg\", \"captions\": [\"a\"]}\nnot json",
                "line 2",
            ),
            ("\n{\"captions\": [\"a\"]}", "line 2"),
            (
                "{\"image\": \"1.jpg\", \"captions\": [\"a\"], \"split\": \"trian\"}",
                "`trian`",
            ),
            ("", "got none"),
            ("\u{0}", "line 1"),
        ];
        for (text, says) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin1.jsonl");
        fs::write(
            &path,
            b"{\"image\": \"1.jpg\", \"captions\": [\"caf\xe9\"]}",
        )
        .unwrap();
        assert!(
            read_pairs(&path)
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
    }
}
