//! One archive or table to one file of captions: the unit of work that other engines run, kill and repeat.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
#[cfg(feature = "parquet")]
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use decap::output::write_atomically;
use decap::pipeline::ReadOptions;
use decap::{CaptionOptions, Captioner, Error, Input, Result, RunKey};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::finished::FinishedForm;
use crate::record::{self, Maker};
use crate::source::{Source, SourceKind, SourceOptions, open_tar};
use crate::webdataset::{Pack, add_captions, bytes_of};

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
    /// An output in `.parquet` has the lines as rows. One in `.tar` has the photos with their captions: a tar archive
    /// is copied, and captions are added to its samples; from anything else, samples are made.
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
        let form = ShardForm::of(output, kind)?;
        let least = self.least_confidence;
        let least = least.map(|least| format!("least confidence {least:?}"));
        let run_key = run_key(self.captioner, self.options, self.read, least)?;
        if form.is_made(output, &run_key)? {
            return Ok(ShardOutcome::ThereAlready);
        }
        let mut outcome = Err(Error::Interrupted);
        let written = write_atomically(output, |file| {
            let source = Source::open(input.to_path_buf(), kind, self.source.clone());
            let shard = Shard {
                source,
                input,
                output,
                run_key: &run_key,
            };
            outcome = self.write(shard, form, file, stop, tell);
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
        shard: Shard<'_>,
        form: ShardForm,
        file: &mut dyn Write,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<ShardOutcome> {
        let (input, output) = (shard.input, shard.output);
        let failed = |error| Error::io(output, error);
        match form {
            ShardForm::Lines => self.caption(shard, stop, tell, |_, _, line| {
                writeln!(file, "{line}").map_err(failed)
            }),
            ShardForm::Packed => {
                let mut pack = Pack::new(file);
                let outcome = self.caption(shard, stop, tell, |input, caption, line| {
                    let packed = match (input, caption) {
                        (Some(input), Some(caption)) => {
                            let bytes = bytes_of(input, self.source.file_bytes)?;
                            pack.add(input.name(), &bytes, caption, line)
                        }
                        _ => pack.note(line),
                    };
                    packed.map_err(failed)
                })?;
                pack.finish().map_err(failed)?;
                Ok(outcome)
            }
            ShardForm::Parquet | ShardForm::Added { .. } => {
                // Known when the last line is.
                let folder = output
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                let lines = tempfile::tempfile_in(folder.unwrap_or(Path::new(".")));
                let mut lines = BufWriter::new(lines.map_err(failed)?);
                let outcome = self.caption(shard, stop, tell, |_, _, line| {
                    writeln!(lines, "{line}").map_err(failed)
                })?;
                let mut lines = lines
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                lines.seek(SeekFrom::Start(0)).map_err(failed)?;
                let lines = BufReader::new(lines);
                match form {
                    ShardForm::Added { is_packed: true } => {
                        let mut packed = GzEncoder::new(file, Compression::default());
                        add_captions(input, lines, output, &mut packed)?;
                        packed.finish().map_err(failed)?;
                    }
                    ShardForm::Added { is_packed: false } => {
                        add_captions(input, lines, output, file)?;
                    }
                    _ => {
                        let form = FinishedForm::Parquet;
                        form.write(lines, output, file).map_err(failed)?;
                    }
                }
                Ok(outcome)
            }
        }
    }

    /// Calls `each` with an input, its caption and its line, for each photo.
    fn caption(
        &self,
        shard: Shard<'_>,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Error),
        mut each: impl FnMut(Option<&Input>, Option<&str>, &str) -> Result<()>,
    ) -> Result<ShardOutcome> {
        let Shard {
            source,
            output,
            run_key,
            ..
        } = shard;
        let maker = Maker {
            model: &self.captioner.description().name,
            run: run_key.as_str(),
            least_confidence: self.least_confidence,
        };
        let (mut captioned, mut failed) = (0, 0);
        let unwritable = |error: serde_json::Error| Error::io(output, error.into());
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
                let (caption, line) = match &one.result {
                    Ok(caption) => {
                        captioned += 1;
                        let line = record::of_caption(
                            path,
                            caption,
                            one.timings,
                            &maker,
                            one.same_as.as_deref(),
                            None,
                        );
                        let is_written = !maker.leaves_out(caption);
                        (is_written.then_some(caption.text.as_str()), line)
                    }
                    Err(error) => {
                        failed += 1;
                        tell(error);
                        (None, record::of_error(path, error, Some(maker.run)))
                    }
                };
                each(Some(&one.input), caption, &line.map_err(unwritable)?)
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
            let line = record::of_error(&path, &error, Some(maker.run));
            each(None, None, &line.map_err(unwritable)?)?;
        }
        Ok(ShardOutcome::Written { captioned, failed })
    }
}

/// A shard while it is captioned.
struct Shard<'s> {
    source: Source,
    input: &'s Path,
    output: &'s Path,
    run_key: &'s RunKey,
}

/// What an output is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShardForm {
    /// JSON lines.
    Lines,
    Parquet,
    /// A tar archive of samples that are made.
    Packed,
    /// A tar archive that is copied, with captions added; packed with gzip or not.
    Added {
        is_packed: bool,
    },
}

impl ShardForm {
    fn of(output: &Path, input: SourceKind) -> Result<Self> {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        let has = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let is_packed = has(&[".tar.gz", ".tgz"]);
        let refused = |expected: &str| {
            let output = output.display();
            Err(Error::Usage(format!("{output}: expected {expected}")))
        };
        match input {
            _ if has(&[".jsonl", ".ndjson"]) => Ok(Self::Lines),
            _ if has(&[".parquet"]) => Ok(Self::Parquet),
            SourceKind::Tar if is_packed || has(&[".tar"]) => Ok(Self::Added { is_packed }),
            _ if is_packed => {
                refused("a name in .tar for photos that are not in a tar archive yet")
            }
            _ if has(&[".tar"]) => Ok(Self::Packed),
            _ => refused("a name in .jsonl, .parquet or .tar for the captions"),
        }
    }

    /// Whether `output` is there, made by this run. It is whole, since it appears so.
    fn is_made(self, output: &Path, run_key: &RunKey) -> Result<bool> {
        let found = match std::fs::metadata(output) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found.map_err(|source| Error::io(output, source))?,
        };
        if !found.is_file() {
            return Ok(false);
        }
        let run = match self {
            Self::Lines => run_of_lines(output)?,
            Self::Parquet => run_of_table(output)?,
            Self::Packed | Self::Added { .. } => run_of_archive(output)?,
        };
        match run {
            Run::Of(run) if run == run_key.as_str() => Ok(true),
            Run::Of(_) => Err(Error::Mismatch(format!(
                "{}: made by another model or with other options",
                output.display()
            ))),
            // A shard without a photo: to read it again takes no time.
            Run::OfNone => Ok(false),
            Run::Foreign => Err(Error::Usage(format!(
                "{}: a file is here already that is no shard of captions; give another name, or remove it first",
                output.display()
            ))),
        }
    }
}

/// What made a file of captions.
enum Run {
    /// A run with this key.
    Of(String),
    /// There is no caption in it.
    OfNone,
    /// Something else.
    Foreign,
}

fn run_of_lines(output: &Path) -> Result<Run> {
    let failed = |source| Error::io(output, source);
    let mut line = Vec::new();
    let file = File::open(output).map_err(failed)?;
    let mut file = BufReader::new(file).take(LONGEST_LINE);
    file.read_until(b'\n', &mut line).map_err(failed)?;
    if line.is_empty() {
        return Ok(Run::OfNone);
    }
    let run = record::run_of(&String::from_utf8_lossy(&line));
    Ok(run.map_or(Run::Foreign, Run::Of))
}

#[cfg(feature = "parquet")]
fn run_of_table(output: &Path) -> Result<Run> {
    let mut run = Run::OfNone;
    let read = caption_data::for_each_value(output, &["run"], &mut |value| {
        if let Some(value) = value {
            run = Run::Of(String::from_utf8_lossy(value).into_owned());
        }
        match run {
            Run::OfNone => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    Ok(read.map_or(Run::Foreign, |()| run))
}

#[cfg(not(feature = "parquet"))]
fn run_of_table(_: &Path) -> Result<Run> {
    // Without a reader there is none to know it by.
    Ok(Run::Foreign)
}

fn run_of_archive(output: &Path) -> Result<Run> {
    let mut left = 0;
    let mut archive = tar::Archive::new(open_tar(output, &mut left)?);
    let Ok(entries) = archive.entries() else {
        return Ok(Run::Foreign);
    };
    for entry in entries {
        let Ok(entry) = entry else {
            return Ok(Run::Foreign);
        };
        if !entry.path_bytes().ends_with(b".json") {
            continue;
        }
        let mut text = Vec::new();
        let read = entry.take(LONGEST_LINE).read_to_end(&mut text);
        read.map_err(|source| Error::io(output, source))?;
        let text = String::from_utf8_lossy(&text);
        if let (true, Some(run)) = (record::is_own(&text), record::run_of(&text)) {
            return Ok(Run::Of(run));
        }
    }
    Ok(Run::Foreign)
}
