//! Captions added to the samples of an archive that is there.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use decap::{Error, InputFault, Result};
use serde_json::Value;

use super::pack::{BLOCK, append};
use crate::name;
use crate::record;
use crate::source::{damaged, label, open_tar};

/// Texts beside photos that are looked at: whether an earlier run wrote them.
const LONGEST_TEXT: u64 = 1 << 20;

/// A member of the archive.
struct Member {
    name: String,
    /// Where the next one begins.
    end: u64,
    /// Whether an earlier run wrote it, and nobody has changed it.
    is_own: bool,
}

impl Member {
    /// Which sample it belongs to: its name up to the first dot.
    fn sample(&self) -> &str {
        let start = self.name.rfind('/').map_or(0, |slash| slash + 1);
        let dot = self.name[start..].find('.');
        dot.map_or(&self.name, |dot| &self.name[..start + dot])
    }
}

/// Copies the archive at `input` to `output`, byte for byte, and adds to each sample the captions of its photos:
/// `KEY.txt`, and `KEY.json` with the line of `lines`. Where a file of that name is there, it stays, and these are
/// called `KEY.decap.txt` and `KEY.decap.json`. What an earlier run added is left out.
///
/// # Errors
/// Where `input` cannot be read, has sparse members or has changed since `lines` were made; where `output` cannot be
/// written, told as an error of `place`.
pub(crate) fn add_captions(
    input: &Path,
    lines: impl BufRead,
    place: &Path,
    output: &mut dyn Write,
) -> Result<()> {
    let members = members(input)?;
    let mut records = records(lines).map_err(|error| Error::io(place, error))?;
    let changed = || {
        damaged(
            input,
            "expected an archive that stays as it is while it is read",
        )
    };
    let mut left = 0;
    let mut from = open_tar(input, &mut left)?;
    let mut tar = tar::Builder::new(output);
    let mut position = 0;
    for sample in members.chunk_by(|a, b| a.sample() == b.sample()) {
        for member in sample {
            let length = member.end - position;
            let mut content = from.by_ref().take(length);
            let copied = match member.is_own {
                true => io::copy(&mut content, &mut io::sink()),
                false => io::copy(&mut content, tar.get_mut()),
            };
            if copied.map_err(|error| Error::io(place, error))? != length {
                return Err(changed());
            }
            position = member.end;
        }
        let mut taken: Vec<&str> = Vec::new();
        let kept = sample.iter().filter(|member| !member.is_own);
        taken.extend(kept.map(|member| member.name.as_str()));
        let mut added = Vec::new();
        for member in sample {
            let photo = name::of(&label(input, &member.name));
            let Some(line) = records.get_mut(&photo).and_then(VecDeque::pop_front) else {
                continue;
            };
            let is_free = |stem: &str| {
                let names = ["txt", "json"].map(|ending| format!("{stem}.{ending}"));
                let is_new =
                    |name: &String| !taken.contains(&name.as_str()) && !added.contains(name);
                names.iter().all(is_new)
            };
            // A second photo of a sample is called by its whole name.
            let stem = match added.is_empty() {
                true => member.sample(),
                false => &member.name,
            };
            let stems = [stem.to_owned(), format!("{stem}.decap")];
            let Some(stem) = stems.iter().find(|stem| is_free(stem)) else {
                let message = format!("{}: no name is free for its caption", member.name);
                return Err(Error::input(input, InputFault::Unsupported(message)));
            };
            let (text, json) = (format!("{stem}.txt"), format!("{stem}.json"));
            let caption = caption_of(&line);
            let written = caption
                .map_or(Ok(()), |caption| {
                    append(&mut tar, &text, caption.len() as u64, caption.as_bytes())
                })
                .and_then(|()| append(&mut tar, &json, line.len() as u64, line.as_bytes()));
            written.map_err(|error| Error::io(place, error))?;
            added.extend([text, json]);
        }
    }
    if records.values().any(|lines| !lines.is_empty()) {
        return Err(changed());
    }
    tar.finish().map_err(|error| Error::io(place, error))
}

/// The lines of each photo, by its printed name. An archive may have several members of one name.
fn records(lines: impl BufRead) -> io::Result<HashMap<String, VecDeque<String>>> {
    let mut records: HashMap<String, VecDeque<String>> = HashMap::new();
    for line in lines.lines() {
        let line = line?;
        let record: Value = serde_json::from_str(&line)?;
        let path = record.get("path").and_then(Value::as_str);
        let of_photo = records.entry(path.unwrap_or_default().to_owned());
        of_photo.or_default().push_back(line);
    }
    Ok(records)
}

fn caption_of(line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    Some(record.get("caption")?.as_str()?.to_owned())
}

/// All members, in order.
fn members(path: &Path) -> Result<Vec<Member>> {
    let broken = |error| damaged(path, format!("expected a whole tar archive: {error}"));
    let mut left = 0;
    let mut archive = tar::Archive::new(open_tar(path, &mut left)?);
    let mut members: Vec<Member> = Vec::new();
    let mut texts: HashMap<String, (usize, String)> = HashMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type().is_gnu_sparse() {
            let message = "expected plain members to copy, got a sparse one: pack the archive anew";
            return Err(Error::input(
                path,
                InputFault::Unsupported(message.to_owned()),
            ));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        let is_text = name.ends_with(".txt") || name.ends_with(".json");
        if is_text && entry.header().entry_type().is_file() && size <= LONGEST_TEXT {
            let mut text = String::new();
            if entry.read_to_string(&mut text).is_ok() {
                texts.insert(name.clone(), (members.len(), text));
            }
        }
        members.push(Member {
            name,
            end: entry.raw_file_position() + size.next_multiple_of(BLOCK),
            is_own: false,
        });
    }
    for (name, (place, record)) in &texts {
        let Some(stem) = name.strip_suffix(".json") else {
            continue;
        };
        if !record::is_own(record.trim_end()) || record::run_of(record).is_none() {
            continue;
        }
        let text = texts.get(&format!("{stem}.txt"));
        match (text, caption_of(record)) {
            (Some((text_place, text)), Some(caption)) if *text == caption => {
                members[*text_place].is_own = true;
                members[*place].is_own = true;
            }
            (None, None) => members[*place].is_own = true,
            // A person's words stand there now.
            _ => {}
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in members {
            append(&mut tar, name, content.len() as u64, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn listed(bytes: &[u8]) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(bytes);
        let members = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (name, content)
        });
        members.collect()
    }

    fn line(archive: &Path, member: &str, caption: &str) -> String {
        let path = name::of(&label(archive, member));
        format!(r#"{{"path":"{path}","caption":"{caption}","model":"m","run":"r"}}"#)
    }

    fn add(path: &Path, lines: &[String]) -> Result<Vec<u8>> {
        let mut output = Vec::new();
        add_captions(
            path,
            lines.join("\n").as_bytes(),
            Path::new("out.tar"),
            &mut output,
        )?;
        Ok(output)
    }

    #[test]
    fn captions_stand_beside_their_photos_and_a_persons_words_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let long = format!("{}/b.jpg", "deep/".repeat(40));
        let members = [
            ("d/a.jpg", "A"),
            ("d/a.cls", "7"),
            ("d/b.jpg", "B"),
            ("d/b.txt", "a person's words"),
            ("d/c.left.png", "C"),
            ("d/c.right.png", "C"),
            (&long, "L"),
            ("notes", "n"),
        ];
        let before = archive(&members);
        std::fs::write(&path, &before).unwrap();
        let captioned = ["d/a.jpg", "d/b.jpg", "d/c.left.png", "d/c.right.png", &long];
        let lines = captioned.map(|member| line(&path, member, "a dog"));
        let after = add(&path, &lines).unwrap();
        let names: Vec<_> = listed(&after).into_iter().map(|(name, _)| name).collect();
        let stem = long.trim_end_matches(".jpg");
        let expected = [
            "d/a.jpg",
            "d/a.cls",
            "d/a.txt",
            "d/a.json",
            "d/b.jpg",
            "d/b.txt",
            "d/b.decap.txt",
            "d/b.decap.json",
            "d/c.left.png",
            "d/c.right.png",
            "d/c.txt",
            "d/c.json",
            "d/c.right.png.txt",
            "d/c.right.png.json",
            &long,
            &format!("{stem}.txt"),
            &format!("{stem}.json"),
            "notes",
        ];
        assert_eq!(names, expected);
        // A second run finds its own captions, and leaves what a person has corrected.
        let path = folder.path().join("t.tar");
        let mut again = listed(&after);
        again[2].1 = "corrected".to_owned();
        let again: Vec<_> = again
            .iter()
            .map(|(n, c)| (n.as_str(), c.as_str()))
            .collect();
        std::fs::write(&path, archive(&again)).unwrap();
        let lines = captioned.map(|member| line(&path, member, "a cat"));
        let texts = listed(&add(&path, &lines).unwrap());
        let text = |name: &str| {
            let (_, text) = texts.iter().find(|(found, _)| found == name).unwrap();
            text.as_str()
        };
        assert_eq!(text("d/a.txt"), "corrected");
        assert_eq!(text("d/a.decap.txt"), "a cat");
        assert_eq!(text("d/b.txt"), "a person's words");
        assert_eq!(text("d/b.decap.txt"), "a cat");
        assert_eq!(text("d/c.txt"), "a cat");
        assert_eq!(texts.len(), expected.len() + 2);
    }

    #[test]
    fn without_captions_it_is_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let before = archive(&[("a.jpg", "A"), ("b.txt", "B")]);
        std::fs::write(&path, &before).unwrap();
        assert!(add(&path, &[]).unwrap() == before);
        let gone = line(&path, "gone.jpg", "a dog");
        assert!(matches!(add(&path, &[gone]), Err(Error::Input { .. })));
    }
}
