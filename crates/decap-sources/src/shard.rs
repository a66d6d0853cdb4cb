//! One archive or table to one file of captions: the unit of work that other engines run, kill and repeat.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use decap::output::write_atomically;
use decap::pipeline::ReadOptions;
use decap::{CaptionOptions, Captioner, Error, Result, RunKey};

use crate::record::{self, Maker};
use crate::source::{Source, SourceKind, SourceOptions};

/// Longest line of an output: a caption with all its evidence.
const LONGEST_LINE: u64 = 16 << 20;

/// Each `of`th input, from the `index`th on: one process of several does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// From 1 to `of`.
    index: u64,
    of: u64,
}

impl Share {
    /// Reads `I/N`.
    ///
    /// # Errors
    /// A message where it is none.
    ///
    /// ```
    /// use decap_sources::shard::Share;
    ///
    /// let share = Share::parse("2/4")?;
    /// assert_eq!((0..8).filter(|&place| share.has(place)).collect::<Vec<_>>(), [1, 5]);
    /// assert!(Share::parse("0/4").is_err() && Share::parse("5/4").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let share = parts.and_then(|(index, of)| {
            Some(Self {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            })
        });
        share
            .filter(|share| (1..=share.of).contains(&share.index))
            .ok_or_else(|| format!("expected I/N with I from 1 to N, such as 1/4, got `{text}`"))
    }

    /// Whether the input at `place`, from 0, belongs to it.
    pub fn has(self, place: u64) -> bool {
        place % self.of == self.index - 1
    }
}

/// The key of a run: all that decides a caption but for its photo. `more` is what else decides
/// what is written.
///
/// # Errors
/// As [`Captioner::run_key`].
pub fn run_key(
    captioner: &Captioner,
    options: &CaptionOptions,
    read: &ReadOptions,
    more: impl IntoIterator<Item = String>,
) -> Result<RunKey> {
    let captions = captioner.run_key(options)?;
    let frames = format!("{} frames", read.video.frames);
    let mut parts = vec![captions.as_str().to_owned(), frames];
    parts.extend(more);
    Ok(RunKey::of(&parts))
}

/// How shards are captioned.
#[derive(Clone, Copy)]
pub struct ShardJob<'j> {
    /// Writes the captions.
    pub captioner: &'j Captioner,
    /// How it writes them.
    pub options: &'j CaptionOptions,
    /// How photos are read.
    pub read: &'j ReadOptions,
    /// How the shard is read.
    pub source: &'j SourceOptions,
    /// Captions of less confidence are left out.
    pub least_confidence: Option<f32>,
}

/// What came of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardOutcome {
    /// The output was made by the same run before.
    ThereAlready,
    /// The output is new: a line for each photo.
    Written {
        /// Photos with a caption.
        captioned: u64,
        /// Photos with an error in its place.
        failed: u64,
    },
}

impl ShardJob<'_> {
    /// Captions the photos of the archive or table at `input` and writes a line of JSON for each to
    /// `output`, in order; rows of a table that name no photo come last. `tell` is told what fails.
    ///
    /// The output appears when it is whole. Where it is there already, made by the same run, nothing is done.
    ///
    /// # Errors
    /// [`Error::Usage`] where `input` is no archive or table, or `output` is another's file;
    /// [`Error::Mismatch`] where another run made `output`; [`Error::Io`] and [`Error::Input`] where the
    /// shard itself cannot be read to its end, so that nothing is written; [`Error::Interrupted`] after
    /// `stop`; [`Error::Model`] where a network cannot run.
    pub fn run(
        &self,
        input: &Path,
        output: &Path,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<ShardOutcome> {
        let kind = SourceKind::of(input).ok_or_else(|| {
            Error::Usage(format!(
                "{}: expected a shard named .tar, .tar.gz, .zip, .csv, .tsv, .jsonl or .parquet",
                input.display()
            ))
        })?;
        let ending = output.extension().and_then(|ending| ending.to_str());
        if !matches!(ending, Some("jsonl" | "ndjson")) {
            return Err(Error::Usage(format!(
                "{}: expected a name in .jsonl for the captions",
                output.display()
            )));
        }
        let least = self.least_confidence;
        let least = least.map(|least| format!("least confidence {least:?}"));
        let run_key = run_key(self.captioner, self.options, self.read, least)?;
        if is_made(output, &run_key)? {
            return Ok(ShardOutcome::ThereAlready);
        }
        let mut outcome = Err(Error::Interrupted);
        let written = write_atomically(output, |file| {
            let source = Source::open(input.to_path_buf(), kind, self.source.clone());
            outcome = self.write(source, output, &run_key, file, stop, tell);
            match &outcome {
                Ok(_) => Ok(()),
                // What is written so far is dropped.
                Err(_) => Err(io::Error::other("incomplete")),
            }
        });
        outcome.and_then(|outcome| written.map(|()| outcome))
    }

    fn write(
        &self,
        source: Source,
        output: &Path,
        run_key: &RunKey,
        file: &mut dyn Write,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<ShardOutcome> {
        let maker = Maker {
            model: &self.captioner.description().name,
            run: run_key.as_str(),
            least_confidence: self.least_confidence,
        };
        let (mut captioned, mut failed) = (0, 0);
        let mut write_line = |line: Result<String, serde_json::Error>| {
            let line = line.map_err(io::Error::from);
            line.and_then(|line| writeln!(file, "{line}"))
                .map_err(|error| Error::io(output, error))
        };
        let end = source.end();
        let unread: Arc<Mutex<Vec<Error>>> = Arc::default();
        let noted = unread.clone();
        let photos = source.filter_map(move |photo| match photo {
            Ok(photo) => Some(photo),
            Err(error) => {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(error);
                None
            }
        });
        self.captioner
            .caption_each(photos, self.read, self.options, stop, |one| {
                let path = one.input.name();
                write_line(match &one.result {
                    Ok(caption) => {
                        captioned += 1;
                        record::of_caption(path, caption, one.timings, &maker, None)
                    }
                    Err(error) => {
                        failed += 1;
                        tell(error);
                        record::of_error(path, error, Some(maker.run))
                    }
                })
            })?;
        if let Some(error) = end.error() {
            return Err(error);
        }
        let unread = std::mem::take(&mut *unread.lock().unwrap_or_else(PoisonError::into_inner));
        for error in unread {
            failed += 1;
            tell(&error);
            let path = match &error {
                Error::Input { path, .. } | Error::Io { path, .. } => path.clone(),
                _ => PathBuf::new(),
            };
            write_line(record::of_error(&path, &error, Some(maker.run)))?;
        }
        Ok(ShardOutcome::Written { captioned, failed })
    }
}

/// Whether `output` is there, made by this run. It is whole, since it appears so.
fn is_made(output: &Path, run_key: &RunKey) -> Result<bool> {
    let failed = |source| Error::io(output, source);
    let file = match File::open(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(false);
    }
    let mut line = Vec::new();
    let mut file = BufReader::new(file).take(LONGEST_LINE);
    file.read_until(b'\n', &mut line).map_err(failed)?;
    // A shard without a photo: to read it again takes no time.
    if line.is_empty() {
        return Ok(false);
    }
    let line = String::from_utf8_lossy(&line);
    match record::run_of(&line) {
        Some(run) if run == run_key.as_str() => Ok(true),
        Some(_) => Err(Error::Mismatch(format!(
            "{}: made by another model or with other options",
            output.display()
        ))),
        None => Err(Error::Usage(format!(
            "{}: a file is here already that is no shard of captions; give another name, or remove it first",
            output.display()
        ))),
    }
}
