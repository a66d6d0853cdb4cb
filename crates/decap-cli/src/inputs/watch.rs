//! New files in folders, once they are whole.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::Depth;
use super::found::Found;
use crate::print;
use crate::stop::Stop;

/// Between two looks. A file is whole when two of them find the same length and time.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How soon Ctrl-C is noticed.
const BETWEEN_ASKING: Duration = Duration::from_millis(100);

/// Looks for new files until it is told to stop.
pub(super) struct Watch<'p> {
    typed: &'p [PathBuf],
    depth: Depth,
    stop: Stop,
    /// Files that were not whole at the last look, with their length and time then.
    growing: HashMap<PathBuf, (u64, SystemTime)>,
    has_told: bool,
}

impl<'p> Watch<'p> {
    pub(super) fn new(typed: &'p [PathBuf], depth: Depth, stop: Stop) -> Self {
        Self {
            typed,
            depth,
            stop,
            growing: HashMap::new(),
            has_told: false,
        }
    }

    /// Waits for files that are not in `seen`, and adds them to it; nothing where it was told to stop.
    pub(super) fn next_few(&mut self, seen: &mut HashSet<PathBuf>) -> Vec<PathBuf> {
        if !self.has_told {
            print::tell("watching for new photos and videos; Ctrl-C ends".to_owned());
            self.has_told = true;
        }
        loop {
            for _ in 0..BETWEEN_LOOKS.as_millis() / BETWEEN_ASKING.as_millis() {
                if self.stop.requested() {
                    return Vec::new();
                }
                thread::sleep(BETWEEN_ASKING);
            }
            let whole = self.look(seen);
            if !whole.is_empty() {
                return whole;
            }
        }
    }

    /// The files not in `seen` that have not changed since the last look. What is wrong with a folder is told
    /// when the run begins, and not again.
    fn look(&mut self, seen: &mut HashSet<PathBuf>) -> Vec<PathBuf> {
        let mut found = Found::that_saw(std::mem::take(seen));
        for path in self.typed {
            found.expand_one(path, self.depth);
        }
        let (new, now_seen) = found.into_new();
        *seen = now_seen;
        let mut growing = HashMap::new();
        let mut whole = Vec::new();
        for path in new {
            // What is gone or empty may come yet.
            let stamp = stamp_of(&path);
            match stamp {
                Some(stamp) if self.growing.get(&path) == Some(&stamp) => whole.push(path),
                _ => {
                    Found::forget(seen, &path);
                    growing.extend(stamp.map(|stamp| (path, stamp)));
                }
            }
        }
        self.growing = growing;
        whole
    }
}

/// Length and time of a file that is not empty.
fn stamp_of(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(path).ok()?;
    (metadata.len() > 0).then_some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_once_and_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let typed = [folder.path().to_path_buf()];
        let photo = folder.path().join("a.jpg");
        let mut watch = Watch::new(&typed, Depth::Flat, Stop::default());
        let mut seen = HashSet::new();
        assert!(watch.look(&mut seen).is_empty());
        fs::write(&photo, b"").unwrap();
        fs::write(folder.path().join("notes.txt"), b"text").unwrap();
        for _ in 0..3 {
            assert!(
                watch.look(&mut seen).is_empty(),
                "an empty file may come yet"
            );
        }
        for content in ["\u{ff}", "\u{ff}\u{d8}", "\u{ff}\u{d8}\u{ff}"] {
            fs::write(&photo, content).unwrap();
            assert!(watch.look(&mut seen).is_empty(), "it grew since");
        }
        assert_eq!(watch.look(&mut seen), std::slice::from_ref(&photo));
        fs::write(&photo, b"written into").unwrap();
        for _ in 0..3 {
            assert!(watch.look(&mut seen).is_empty(), "it was given");
        }
    }
}
