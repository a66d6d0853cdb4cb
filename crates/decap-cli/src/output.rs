//! Where result lines go: standard output, or a file that appears when it is whole.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A sink of lines.
///
/// With a file, lines are appended to `FILE.partial`, one write a line, and the file is renamed to
/// its name by [`Output::finish`]; what an interrupted run wrote is kept there for `--resume`.
pub struct Output {
    sink: Sink,
}

enum Sink {
    Terminal(io::Stdout),
    Partial {
        file: File,
        partial: PathBuf,
        finished: PathBuf,
    },
}

/// Whether to keep what an earlier run wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Begin anew.
    Fresh,
    /// Keep whole lines that are there.
    Resume,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self {
            sink: Sink::Terminal(io::stdout()),
        }
    }

    /// The file at `path`, and the keys of the lines that are kept (`key` reads a line's key;
    /// a line without one is dropped, to be done again).
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn file(
        path: &Path,
        start: Start,
        key: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, HashSet<String>), Failure> {
        let mut name = path.as_os_str().to_owned();
        name.push(OsString::from(".partial"));
        let partial = PathBuf::from(name);
        let mut kept = HashSet::new();
        let mut lines = Vec::new();
        if start == Start::Resume {
            let source = if partial.exists() { &partial } else { path };
            if source.exists() {
                for line in BufReader::new(File::open(source)?).lines() {
                    // A line cut short by a crash has no key, or is no text: it is done again.
                    let Ok(line) = line else { break };
                    if key(&line).is_some_and(|key| kept.insert(key)) {
                        lines.push(line);
                    }
                }
            }
        }
        decap::output::write_atomically(&partial, |file| {
            lines.iter().try_for_each(|line| writeln!(file, "{line}"))
        })?;
        let file = OpenOptions::new().append(true).open(&partial)?;
        let sink = Sink::Partial {
            file,
            partial,
            finished: path.to_path_buf(),
        };
        Ok((Self { sink }, kept))
    }

    /// Whether a person reads this as it comes.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.sink, Sink::Terminal(stdout) if stdout.is_terminal())
    }

    /// Writes `text` and a line feed, in one piece.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        let line = format!("{text}\n");
        match &mut self.sink {
            Sink::Terminal(stdout) => stdout.write_all(line.as_bytes())?,
            Sink::Partial { file, .. } => file.write_all(line.as_bytes())?,
        }
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Sink::Terminal(mut stdout) => stdout.flush()?,
            Sink::Partial {
                file,
                partial,
                finished,
            } => {
                file.sync_all()?;
                fs::rename(partial, finished)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str) -> Option<String> {
        line.split_once('\t').map(|(path, _)| path.to_owned())
    }

    #[test]
    fn an_interrupted_run_is_kept_and_a_cut_line_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("captions.txt");
        let (mut output, _) = Output::file(&path, Start::Fresh, key).unwrap();
        output.line("a.jpg\ta dog").unwrap();
        drop(output);
        assert!(!path.exists(), "half a file has no name");
        let partial = folder.path().join("captions.txt.partial");
        let mut text = fs::read(&partial).unwrap();
        text.extend_from_slice(b"b.jpg");
        fs::write(&partial, text).unwrap();

        let (mut output, kept) = Output::file(&path, Start::Resume, key).unwrap();
        assert_eq!(kept, HashSet::from(["a.jpg".to_owned()]));
        output.line("b.jpg\ta cat").unwrap();
        output.finish().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "a.jpg\ta dog\nb.jpg\ta cat\n"
        );
        assert!(!partial.exists());
    }
}
