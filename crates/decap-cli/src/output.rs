//! Where result lines go: standard output, or a file that appears when it is whole.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use decap::output::{probe, refuse_input, write_atomically};
use decap::{Error, Input, RunKey};
use decap_sources::finished::{Brought, FinishedForm};
use decap_sources::webdataset::{Content, Pack, Packed};

use crate::failure::Failure;
use crate::name;
use crate::print;

/// What is told where an output is there and --resume was not typed.
const OTHERWISE: &str = "--resume goes on with an interrupted run; or give another --output";

/// What a file begins with that a command wrote, so that it may be replaced by a later run.
pub enum Own<'o> {
    /// One of these, at its very start.
    StartsWith(&'o [&'o [u8]]),
    /// A first line that is JSON with one of these keys.
    JsonWith(&'o [&'o str]),
}

/// Checks, before any work, that an output can be written, is none of `inputs`, and replaces nothing but
/// what this command wrote.
///
/// # Errors
/// [`Failure::Usage`] where it is an input or another's file; where it cannot be written.
pub fn check<'p>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'p Path>,
    own: &Own<'_>,
) -> Result<(), Failure> {
    refuse_input(output, inputs)?;
    if fs::metadata(output).is_ok_and(|found| found.is_file()) {
        let head = head_of(output)?;
        let is_own = head.is_empty()
            || match own {
                Own::StartsWith(starts) => starts.iter().any(|start| head.starts_with(start)),
                Own::JsonWith(keys) => first_line(&head).is_some_and(|line| {
                    let record: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                    keys.iter().any(|key| record.get(key).is_some())
                }),
            };
        if !is_own {
            return Err(foreign(output));
        }
    }
    Ok(probe(output)?)
}

/// The first bytes of a file: enough for the longest line with its evidence.
fn head_of(path: &Path) -> Result<Vec<u8>, Failure> {
    const HEAD_BYTES: u64 = 1 << 20;
    let failed = |source| Failure::Library(Error::io(path, source));
    let mut head = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(failed)?;
    Ok(head)
}

fn first_line(head: &[u8]) -> Option<&str> {
    let line = head.split(|&byte| byte == b'\n').next()?;
    std::str::from_utf8(line).ok()
}

fn foreign(path: &Path) -> Failure {
    Failure::Usage(format!(
        "{}: a file is here already that this command did not write; give another name, or remove it first",
        path.display()
    ))
}

/// A sink of lines.
///
/// With a file, lines are appended to `FILE.partial`, one write a line, and the file is renamed to its
/// name by [`Output::finish`]. What an interrupted run wrote is kept there for `--resume`, and
/// `FILE.partial.run` says under which key. The file is locked while it grows.
pub struct Output {
    sink: Sink,
}

enum Sink {
    Terminal(io::Stdout),
    /// A device or a pipe: it cannot be taken up again.
    Stream(File),
    Partial {
        file: File,
        partial: PathBuf,
        finished: PathBuf,
    },
    /// A tar archive that grows by samples.
    Archive {
        pack: Pack<File>,
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

/// What lines look like, and what they were made by.
pub struct Form<'f> {
    /// The key of the input that a line is about, where the line stays; nothing where it is to be done
    /// again.
    pub key: &'f dyn Fn(&str) -> Option<String>,
    /// Whether a line is one that this command writes.
    pub is_own: &'f dyn Fn(&str) -> bool,
    /// The run key that a line carries, in forms that have one.
    pub run_of: &'f dyn Fn(&str) -> Option<String>,
    /// The line above all others, which is about no input.
    pub header: Option<String>,
}

/// A file of lines that is written.
pub struct Destination<'d> {
    /// Its path.
    pub path: &'d Path,
    /// Whether to go on.
    pub start: Start,
    /// All that decides the lines.
    pub run_key: &'d RunKey,
    /// What must not be written over.
    pub inputs: &'d [PathBuf],
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self {
            sink: Sink::Terminal(print::stdout()),
        }
    }

    /// A file of lines, and the keys of the lines that are kept.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the output is an input, or a file that this command did not write, or
    /// an interrupted run without [`Start::Resume`]; [`Error::Mismatch`] where a run to go on with was
    /// made by another model or other options; [`Error::Unavailable`] where another process writes it;
    /// and where it cannot be written.
    pub fn file(to: &Destination<'_>, form: &Form<'_>) -> Result<(Self, HashSet<String>), Failure> {
        refuse_input(to.path, to.inputs.iter().map(PathBuf::as_path))?;
        probe(to.path)?;
        let failed = |source| Failure::Library(Error::io(to.path, source));
        if fs::metadata(to.path).is_ok_and(|found| !found.is_file()) {
            let stream = OpenOptions::new().append(true).open(to.path);
            let sink = Sink::Stream(stream.map_err(failed)?);
            let mut output = Self { sink };
            if let Some(header) = &form.header {
                output.line(header)?;
            }
            return Ok((output, HashSet::new()));
        }
        let partial = with_ending(to.path, ".partial");
        let mut file = open_locked(&partial)?;
        let lines = lines_to_begin_with(to, form, &partial, &file).inspect_err(|_| {
            // Nothing was begun, so nothing is left.
            if file.metadata().is_ok_and(|found| found.len() == 0) {
                let _removed = fs::remove_file(&partial);
            }
        })?;
        let mut kept = HashSet::new();
        let mut text = String::new();
        if let Some(header) = &form.header {
            text = format!("{header}\n");
        }
        for line in lines {
            if form.header.as_ref() != Some(&line)
                && (form.key)(&line).is_some_and(|key| kept.insert(key))
            {
                text.push_str(&line);
                text.push('\n');
            }
        }
        let written = (|| {
            fs::write(run_file(&partial), format!("{}\n", to.run_key))?;
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())
        })();
        written.map_err(failed)?;
        let sink = Sink::Partial {
            file,
            partial,
            finished: to.path.to_path_buf(),
        };
        Ok((Self { sink }, kept))
    }

    /// A tar archive of samples, and the names of those that are in it.
    ///
    /// # Errors
    /// As [`Output::file`].
    pub fn archive(to: &Destination<'_>) -> Result<(Self, HashSet<String>), Failure> {
        refuse_input(to.path, to.inputs.iter().map(PathBuf::as_path))?;
        probe(to.path)?;
        let failed = |source| Failure::Library(Error::io(to.path, source));
        if fs::metadata(to.path).is_ok_and(|found| !found.is_file()) {
            let message = "expected a file: an archive cannot be written into a device or a pipe";
            let path = to.path.display();
            return Err(Failure::Usage(format!("{path}: {message}")));
        }
        let partial = with_ending(to.path, ".partial");
        let mut file = open_locked(&partial)?;
        let packed = samples_to_begin_with(to, &partial, &mut file).inspect_err(|_| {
            if file.metadata().is_ok_and(|found| found.len() == 0) {
                let _removed = fs::remove_file(&partial);
            }
        })?;
        fs::write(run_file(&partial), format!("{}\n", to.run_key)).map_err(failed)?;
        let sink = Sink::Archive {
            pack: Pack::resume(file, &packed).map_err(failed)?,
            partial,
            finished: to.path.to_path_buf(),
        };
        Ok((Self { sink }, packed.names.into_iter().collect()))
    }

    /// Writes a photo or video into an archive, with its caption if it has one, and its line.
    ///
    /// # Errors
    /// Where the archive cannot be written. The inner error is of the photo, which is then not in the archive.
    pub fn sample(
        &mut self,
        input: &Input,
        caption: Option<&str>,
        record: &str,
    ) -> Result<Result<(), Error>, Failure> {
        let Sink::Archive { pack, partial, .. } = &mut self.sink else {
            return self.line(record).map(Ok);
        };
        let mut content = match Content::open(input) {
            Ok(content) => content,
            Err(error) => return Ok(Err(error)),
        };
        match pack.add_whole(&mut content, caption, record) {
            Ok(()) => Ok(Ok(())),
            Err(source) => match content.take_fault() {
                Some(error) => Ok(Err(error)),
                None => Err(no_room(partial, source)),
            },
        }
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
            Sink::Stream(file) => file.write_all(line.as_bytes())?,
            Sink::Partial { file, partial, .. } => file
                .write_all(line.as_bytes())
                .map_err(|source| no_room(partial, source))?,
            // It holds samples alone.
            Sink::Archive { .. } => {}
        }
        Ok(())
    }

    /// Brings the lines into another form, under the file's name. Where that fails they are kept as they are.
    ///
    /// # Errors
    /// Where the form cannot hold them, or the disk does not take it.
    pub fn finish_as(self, form: FinishedForm) -> Result<Option<Brought>, Failure> {
        let Sink::Partial {
            mut file,
            partial,
            finished,
        } = self.sink
        else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(0))
            .map_err(|source| Error::io(&partial, source))?;
        let mut brought = Brought::default();
        let written = write_atomically(&finished, |out| {
            brought = form.write(BufReader::new(&mut file), &finished, out)?;
            Ok(())
        });
        written.map_err(|error| {
            let remedy = format!("the captions are in {}, as JSON lines", partial.display());
            Failure::WithRemedy(error, remedy.into())
        })?;
        let _no_more = fs::remove_file(&partial);
        let _no_more = fs::remove_file(run_file(&partial));
        Ok(Some(brought))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Sink::Terminal(mut stdout) => stdout.flush()?,
            Sink::Stream(_) => {}
            Sink::Partial {
                file,
                partial,
                finished,
            } => give_name(&file, &partial, &finished)?,
            Sink::Archive {
                pack,
                partial,
                finished,
            } => {
                let file = pack.finish().map_err(|source| no_room(&partial, source))?;
                give_name(&file, &partial, &finished)?;
            }
        }
        Ok(())
    }
}

/// Gives what has grown its name.
fn give_name(file: &File, partial: &Path, finished: &Path) -> Result<(), Failure> {
    let failed = |source| Error::io(finished, source);
    file.sync_all().map_err(failed)?;
    // A link stays a link: what it leads to gets the new content.
    let place = fs::canonicalize(finished).unwrap_or_else(|_| finished.to_path_buf());
    if let Ok(replaced) = fs::metadata(&place) {
        fs::set_permissions(partial, replaced.permissions()).map_err(failed)?;
    }
    fs::rename(partial, &place).map_err(failed)?;
    let _no_more = fs::remove_file(run_file(partial));
    Ok(())
}

fn no_room(partial: &Path, source: io::Error) -> Failure {
    let remedy = "make room, then the same command with --resume does the rest";
    Failure::WithRemedy(Error::io(partial, source), remedy.into())
}

/// What of an archive is whole already; what was finished is copied, to go on with it.
fn samples_to_begin_with(
    to: &Destination<'_>,
    partial: &Path,
    growing: &mut File,
) -> Result<Packed, Failure> {
    let failed = |source| Failure::Library(Error::io(to.path, source));
    let is_begun = growing.metadata().map_err(failed)?.len() > 0;
    if to.start == Start::Fresh && is_begun {
        return Err(begun(partial));
    }
    let mut found = match is_begun {
        true => Packed::read(growing).map_err(failed)?,
        false => match File::open(to.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Packed::default()),
            file => {
                let mut file = file.map_err(failed)?;
                let found = Packed::read(&mut file).map_err(failed)?;
                if found.run.is_none() && !found.is_empty {
                    return Err(foreign(to.path));
                }
                if to.start == Start::Fresh {
                    return Ok(Packed::default());
                }
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                io::copy(&mut file, growing).map_err(|source| no_room(partial, source))?;
                found
            }
        },
    };
    let begun_by = fs::read_to_string(run_file(partial)).ok();
    let run = begun_by.filter(|_| is_begun).or(found.run.take());
    if run.is_some_and(|run| run.trim() != to.run_key.as_str()) {
        if !is_begun {
            growing.set_len(0).map_err(failed)?;
        }
        return Err(other_run(
            to.path,
            "made by another model or with other options",
        ));
    }
    Ok(found)
}

fn other_run(path: &Path, what: &str) -> Failure {
    let remedy = "give the model and options that it was made with, or another --output";
    let error = Error::Mismatch(format!("{}: {what}", path.display()));
    Failure::WithRemedy(error, remedy.into())
}

fn begun(partial: &Path) -> Failure {
    Failure::Usage(format!(
        "{}: an interrupted run is here already\n  {OTHERWISE}",
        partial.display()
    ))
}

/// The lines that the file begins with.
fn lines_to_begin_with(
    to: &Destination<'_>,
    form: &Form<'_>,
    partial: &Path,
    growing: &File,
) -> Result<Vec<String>, Failure> {
    if to.start == Start::Resume {
        return lines_to_keep(to, form, partial, growing);
    }
    refuse_foreign(to.path, form)?;
    let length = growing.metadata().map(|found| found.len());
    if length.map_err(|source| Error::io(partial, source))? > 0 {
        return Err(begun(partial));
    }
    Ok(Vec::new())
}

/// The lines of the run to go on with, whole ones alone.
fn lines_to_keep(
    to: &Destination<'_>,
    form: &Form<'_>,
    partial: &Path,
    growing: &File,
) -> Result<Vec<String>, Failure> {
    let failed = |source| Failure::Library(Error::io(to.path, source));
    let is_begun = growing.metadata().map_err(failed)?.len() > 0;
    let source = if is_begun { partial } else { to.path };
    if !source.exists() {
        return Ok(Vec::new());
    }
    if !is_begun {
        refuse_foreign(to.path, form)?;
    }
    let bytes = fs::read(source).map_err(failed)?;
    // A last line without its line feed was cut short.
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let other_run = |what: &str| other_run(source, what);
    // Where the key is not beside the lines, they carry it themselves.
    if is_begun && let Ok(known) = fs::read_to_string(run_file(partial)) {
        if known.trim() != to.run_key.as_str() {
            return Err(other_run("begun by another model or with other options"));
        }
        // The same run may have been asked for lines of another form.
        let is_known = |line: &&String| {
            (form.key)(line).is_some() || (form.is_own)(line) || form.header.as_ref() == Some(line)
        };
        return match lines.iter().find(|line| !is_known(line)) {
            Some(line) => Err(other_lines(source, line)),
            None => Ok(lines),
        };
    }
    for line in &lines {
        if !(form.is_own)(line) {
            return Err(other_lines(source, line));
        }
        match (form.run_of)(line) {
            Some(run) if run == to.run_key.as_str() => {}
            Some(_) => return Err(other_run("made by another model or with other options")),
            None if (form.key)(line).is_none() => {}
            None => return Err(other_run("finished, and it does not say which run made it")),
        }
    }
    Ok(lines)
}

fn other_lines(path: &Path, line: &str) -> Failure {
    let shown: String = line.chars().take(60).collect();
    Failure::Usage(format!(
        "{}: --resume expected lines of this command in the form that was asked for, got `{}`",
        path.display(),
        name::tame(&shown)
    ))
}

/// Refuses to replace a file that this command did not write.
fn refuse_foreign(path: &Path, form: &Form<'_>) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let head = head_of(path)?;
    let is_own = first_line(&head).is_some_and(|line| (form.is_own)(line));
    match head.is_empty() || is_own {
        true => Ok(()),
        false => Err(foreign(path)),
    }
}

/// Opens a file that grows, and locks it until it is closed.
fn open_locked(partial: &Path) -> Result<File, Failure> {
    let failed = |source| Failure::Library(Error::io(partial, source));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(partial).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Failure::Library(Error::Unavailable(format!(
            "{}: another decap process is writing this output; wait until it has ended, or give \
             another --output",
            partial.display()
        )))),
        // File systems without locks exist.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// The file that holds the run key of a file that grows.
fn run_file(partial: &Path) -> PathBuf {
    with_ending(partial, ".run")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str) -> Option<String> {
        line.split_once('\t').map(|(path, _)| path.to_owned())
    }

    /// Lines `path<TAB>run`.
    fn open(path: &Path, start: Start, run: &str) -> Result<(Output, HashSet<String>), Failure> {
        let form = Form {
            key: &key,
            is_own: &|line| line.contains('\t'),
            run_of: &|line| line.split_once('\t').map(|(_, run)| run.to_owned()),
            header: None,
        };
        let to = Destination {
            path,
            start,
            run_key: &RunKey::of(&[run]),
            inputs: &[],
        };
        Output::file(&to, &form)
    }

    #[test]
    fn an_interrupted_file_is_taken_up_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("captions.txt");
        let run = RunKey::of(&["one"]);
        let (mut output, _) = open(&path, Start::Fresh, "one").unwrap();
        output.line(&format!("a.jpg\t{run}")).unwrap();
        assert!(open(&path, Start::Resume, "one").is_err(), "it is locked");
        drop(output);
        assert!(!path.exists(), "half a file has no name");
        let partial = folder.path().join("captions.txt.partial");
        let mut text = fs::read(&partial).unwrap();
        text.extend_from_slice(b"b.jpg\tcut");
        fs::write(&partial, text).unwrap();

        assert!(matches!(
            open(&path, Start::Fresh, "one"),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            open(&path, Start::Resume, "two"),
            Err(Failure::WithRemedy(Error::Mismatch(_), _))
        ));
        // The same run in lines of another form.
        let before = fs::read(&partial).unwrap();
        let form = Form {
            key: &|_| None,
            is_own: &|line| line.starts_with('{'),
            run_of: &|_| None,
            header: None,
        };
        let to = Destination {
            path: &path,
            start: Start::Resume,
            run_key: &run,
            inputs: &[],
        };
        assert!(matches!(Output::file(&to, &form), Err(Failure::Usage(_))));
        assert_eq!(fs::read(&partial).unwrap(), before, "nothing is lost");
        let (mut output, kept) = open(&path, Start::Resume, "one").unwrap();
        assert_eq!(kept, HashSet::from(["a.jpg".to_owned()]));
        output.line(&format!("b.jpg\t{run}")).unwrap();
        output.finish().unwrap();
        let whole = format!("a.jpg\t{run}\nb.jpg\t{run}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );

        // A finished file is extended by the same run alone.
        assert!(open(&path, Start::Resume, "two").is_err());
        let (output, kept) = open(&path, Start::Resume, "one").unwrap();
        assert_eq!(kept.len(), 2);
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn what_another_program_wrote_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beach.jpg");
        fs::write(&path, b"\xff\xd8\xff\xe0 a photo").unwrap();
        for start in [Start::Fresh, Start::Resume] {
            assert!(matches!(open(&path, start, "one"), Err(Failure::Usage(_))));
        }
        assert_eq!(fs::read(&path).unwrap(), b"\xff\xd8\xff\xe0 a photo");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }
}
