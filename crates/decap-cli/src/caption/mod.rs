//! `decap caption`: photos and videos to captions, with their evidence.

mod command_line;
mod counts;
mod form;
mod undo;
mod wording;

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use decap::decoder::{Case, Method as Choice};
use decap::output::write_atomically;
use decap::pipeline::ReadOptions;
use decap::{
    Caption, CaptionOptions, Captioned, Captioner, Error, Input, InputFault, RunKey, Timings,
};
use decap_eval::Gallery;
use decap_sources::fetch::is_url;
use decap_sources::finished::{Brought, FinishedForm};
use decap_sources::record::{self, Places};
use decap_sources::shard::Share;
use decap_sources::source::SourceOptions;
use indicatif::ProgressBar;

use crate::args::{CaptionArgs, GenerateArgs, MinConfidence};
use crate::cache::{cache_folder, embedding_cache, tell_cache};
use crate::choosing::apply_choosing;
use crate::encoder::{memory_for, open_captioner};
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{Depth, Opened, Opener, is_folder_or_glob};
use crate::name;
use crate::output::{self, Destination, Output, Own, Start};
use crate::print;
use crate::progress;
use crate::stop::Stop;
use crate::writer::{Words, Writer, Written};
use counts::Counts;
use form::LineForm;
use wording::Wording;

/// From this number of inputs on, what speeds up each projection pays.
const MANY_INPUTS: usize = 16;

/// Runs the command.
pub fn run(args: &CaptionArgs) -> Result<Outcome, Failure> {
    if args.write.undo {
        return undo::run(args);
    }
    let wording = Wording::of(args)?;
    let precision = args.precision.precision;
    let form = LineForm::of(args)?;
    // Lines on a terminal or a pipe need no safe point, a file with --resume does.
    let output_file = args.output_file();
    if args.resume && output_file.is_none() {
        let message =
            "--resume goes on with the file of an interrupted run: give its --output or --gallery";
        return Err(Failure::Usage(message.to_owned()));
    }
    let stop = match output_file.is_some() || args.watch {
        true => Stop::on_ctrl_c(),
        false => Stop::default(),
    };
    let mut captioner = open_captioner(&args.model, precision)?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory, &cache_folder(None)?, &stop)?;
        captioner.set_memory(memory)?;
    }
    let options = caption_options(&captioner, args)?;
    if args.watch && !args.paths.iter().any(|path| is_folder_or_glob(path)) {
        let message = "--watch looks for new files in a folder or behind a glob: give one";
        return Err(Failure::Usage(message.to_owned()));
    }
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::Flat
    };
    let is_list = args.paths.iter().any(|path| path.as_os_str() == "-");
    let source = source_options(args);
    let fetched = source.done.clone();
    let mut finder = Opener::new(&args.paths, depth, source);
    if args.watch {
        finder = finder.watching(&args.paths, depth, stop);
    }
    // To watch is to wait: nothing waits before all is ready.
    let inputs = match args.watch {
        true => Vec::new(),
        false => finder.next_few()?.unwrap_or_default(),
    };
    let is_list = is_list || args.watch || !finder.is_counted();
    if is_list || inputs.len() >= MANY_INPUTS {
        captioner = captioner.ready_for_many();
    }
    let mut read = read_options(args);
    read.cache = embedding_cache(args.cache.as_deref(), captioner.encoder())?;
    let run_key = run_key(&captioner, args, &options, &read, &wording)?;
    let least = least_confidence(args.min_confidence, &captioner)?;
    let words = Words {
        model: &captioner.description().name,
        run: run_key.as_str(),
        by_hand: false,
    };
    let writer = Writer::of(&args.write.place, args.limits.max_file_bytes, words);
    if let Some(path) = &args.failures {
        let typed = args.paths.iter().chain(&output_file).map(PathBuf::as_path);
        output::check(path, typed, &Own::JsonWith(&["error"]))?;
    }
    let gallery = args.gallery.as_deref().map(Gallery::begin).transpose()?;
    let (output, done) = open_output(args, form, &inputs, &run_key)?;
    fetched.set(done.clone());
    let mut run = Run {
        captioner: Arc::new(captioner),
        options,
        run_key,
        form,
        wording,
        writer,
        gallery,
        output,
        share: args.shard,
        seen: 0,
        least_confidence: least,
        counts: Counts::default(),
        failures: Vec::new(),
        bar: ProgressBar::hidden(),
        stop,
    };
    let first = run.not_done(inputs, &done);
    let to_do = match is_list {
        // How many will be listed is not known.
        true => String::new(),
        false => format!(", {} to do", first.photos.len()),
    };
    if !done.is_empty() {
        print::tell(format!("resuming: {} done{to_do}", done.len()));
    }
    if !is_list {
        run.bar = progress::bar(first.photos.len() as u64, "files");
    }
    let ended = run.caption_rest(first, &mut finder, &done, &read);
    run.bar.finish_and_clear();
    run.counts.tell(run.least_confidence);
    tell_cache(read.cache.as_ref());
    if let Some(path) = &args.failures {
        write_failures(path, &run.failures)?;
    }
    ended?;
    match output_file.as_deref().and_then(FinishedForm::of) {
        Some(form) => {
            if let Some(brought) = run.output.finish_as(form)? {
                tell_missing(brought);
            }
        }
        None => run.output.finish()?,
    }
    if let Some(writer) = &run.writer {
        writer.tell();
    }
    match (&run.gallery, &output_file) {
        (Some(gallery), _) => {
            let least = run.captioner.calibration().map(|known| known.least);
            let least = run.least_confidence.or(least);
            let page = gallery.finish(&title(&args.paths), least)?;
            print::tell(format!("wrote {}; open it in a browser", page.display()));
        }
        (None, Some(path)) => print::tell(format!("wrote {}", path.display())),
        (None, None) => {}
    }
    // The process ends here: to give the model's memory back piece by piece would only take time.
    std::mem::forget(run.captioner);
    Ok(match run.failures.is_empty() {
        true => Outcome::AllWell,
        false => Outcome::SomeFailed,
    })
}

/// The state of one run.
struct Run {
    captioner: Arc<Captioner>,
    options: CaptionOptions,
    run_key: RunKey,
    form: LineForm,
    wording: Wording,
    /// Where captions go into photos and beside them.
    writer: Option<Writer>,
    /// Where small photos go.
    gallery: Option<Gallery>,
    output: Output,
    /// The part of all inputs that is captioned here, and how many inputs have come.
    share: Option<Share>,
    seen: u64,
    /// Captions of less confidence are left out.
    least_confidence: Option<f32>,
    counts: Counts,
    /// A line of JSON for each input that failed.
    failures: Vec<String>,
    bar: ProgressBar,
    stop: Stop,
}

/// The photos to caption, and what is wrong with others, each with the number of photos before it.
#[derive(Default)]
struct ToDo {
    photos: Vec<Input>,
    errors: VecDeque<(usize, Error)>,
}

impl Run {
    /// What is to be done of `inputs`.
    fn not_done(&mut self, inputs: Vec<Opened>, done: &HashSet<String>) -> ToDo {
        let mut to_do = ToDo::default();
        for input in inputs {
            let place = self.seen;
            self.seen += 1;
            if self.share.is_some_and(|share| !share.has(place)) {
                continue;
            }
            let before = to_do.photos.len();
            match input {
                Ok(photo) if done.contains(&name::of(photo.name())) => {}
                Ok(Input::Bytes { name, .. }) if self.writer.is_some() => {
                    let message = match is_url(&name) {
                        true => {
                            "a caption cannot be written into the web: download the photo first"
                        }
                        false => "a caption cannot be written into an archive: unpack it first",
                    };
                    let fault = InputFault::Unsupported(message.to_owned());
                    to_do.errors.push_back((before, Error::input(name, fault)));
                }
                Ok(photo) => to_do.photos.push(photo),
                Err(error) => to_do.errors.push_back((before, error)),
            }
        }
        to_do
    }

    fn caption_rest(
        &mut self,
        first: ToDo,
        opener: &mut Opener<'_>,
        done: &HashSet<String>,
        read: &ReadOptions,
    ) -> Result<(), Failure> {
        self.caption_all(first, read)?;
        while let Some(inputs) = opener.next_few()? {
            let to_do = self.not_done(inputs, done);
            self.caption_all(to_do, read)?;
        }
        Ok(())
    }

    fn caption_all(&mut self, to_do: ToDo, read: &ReadOptions) -> Result<(), Failure> {
        let ToDo { photos, mut errors } = to_do;
        let mut finished = 0;
        let (captioner, options, stop) = (self.captioner.clone(), self.options.clone(), self.stop);
        let stamps = self.writer.as_ref().map(Writer::stamps);
        let inputs = photos.into_iter().inspect(move |photo| {
            if let Some(stamps) = &stamps {
                stamps.take(photo.name());
            }
        });
        let is_seen = self.gallery.is_some();
        let flag = stop.flag();
        let mut take = |one: Captioned, small: Option<Vec<u8>>| -> Result<(), Failure> {
            self.report_before(finished, &mut errors)?;
            finished += 1;
            let input = &one.input;
            let path = input.name();
            let same_as = one.same_as.as_deref();
            if let (Some(gallery), Some(small)) = (&self.gallery, small) {
                gallery.keep(&name::of(path), &small)?;
            }
            self.warn(path, &one.warnings);
            let stamp = self.writer.as_ref().and_then(Writer::next_stamp);
            match one.result {
                Ok(mut caption) if self.maker().leaves_out(&caption) => {
                    caption.text.clear();
                    let nowhere = self.writer.as_ref().map(|_| Written::default());
                    self.write(input, &caption, one.timings, same_as, nowhere)?;
                }
                Ok(mut caption) => {
                    caption.text = self.wording.of_caption(path, &caption);
                    let writer = self.writer.as_mut();
                    let written = writer.map(|writer| writer.write(path, stamp, &caption.text));
                    match written.transpose() {
                        Ok(written) => {
                            self.write(input, &caption, one.timings, same_as, written)?;
                        }
                        Err(error) => self.report_at(path, &error)?,
                    }
                }
                Err(error) => self.report_at(path, &error)?,
            }
            self.bar.inc(1);
            Ok(())
        };
        let outcome = match is_seen {
            true => captioner.caption_each_seen(inputs, read, &options, flag, Gallery::small, take),
            false => captioner.caption_each(inputs, read, &options, flag, |one| take(one, None)),
        };
        outcome.map_err(|failure| match failure {
            Failure::Library(error @ Error::Interrupted) => {
                let remedy = format!("to do the rest: {}", command_line::to_resume());
                Failure::WithRemedy(error, remedy.into())
            }
            failure => failure,
        })?;
        self.report_before(finished, &mut errors)
    }

    /// Reports the errors in whose place `finished` photos have been.
    fn report_before(
        &mut self,
        finished: usize,
        errors: &mut VecDeque<(usize, Error)>,
    ) -> Result<(), Failure> {
        while let Some((_, error)) = errors.pop_front_if(|(before, _)| *before <= finished) {
            self.report(&error)?;
        }
        Ok(())
    }

    fn maker(&self) -> record::Maker<'_> {
        record::Maker {
            model: &self.captioner.description().name,
            run: self.run_key.as_str(),
            least_confidence: self.least_confidence,
        }
    }

    fn warn(&self, path: &Path, warnings: &[String]) {
        for warning in warnings {
            let told = format!("decap: {}: {warning}", name::of(path));
            self.bar.suspend(|| print::warn(told));
        }
    }

    fn write(
        &mut self,
        input: &Input,
        caption: &Caption,
        timings: Timings,
        same_as: Option<&Path>,
        written: Option<Written>,
    ) -> Result<(), Failure> {
        let path = input.name();
        let line = match self.form {
            _ if self.writer.as_ref().is_some_and(Writer::pretends) => {
                let written = written.unwrap_or_default();
                format!(
                    "{}\t{}\t{}",
                    name::of(path),
                    written.plan(),
                    name::tame(&caption.text)
                )
            }
            LineForm::Json | LineForm::Sample => {
                let places = written.as_ref().map(|written| Places {
                    written: &written.written,
                    kept: &written.kept,
                });
                record::of_caption(path, caption, timings, &self.maker(), same_as, places)
                    .map_err(|error| Failure::Output(error.into()))?
            }
            LineForm::Table { evidence, fields } => {
                form::table_line(path, caption, evidence, fields)
            }
            LineForm::Text => form::text_line(path, caption, self.output.is_terminal()),
        };
        let is_left_out = self.maker().leaves_out(caption);
        let Self { bar, output, .. } = self;
        if self.form == LineForm::Sample {
            let caption = (!is_left_out).then_some(caption.text.as_str());
            if let Err(error) = output.sample(input, caption, &line)? {
                return self.report_at(path, &error);
            }
        } else {
            bar.suspend(|| output.line(&line))?;
        }
        self.counts.shared += usize::from(same_as.is_some());
        match is_left_out {
            true => self.counts.left_out += 1,
            false => self.counts.captioned += 1,
        }
        Ok(())
    }

    /// Reports an error that names its own path.
    fn report(&mut self, error: &Error) -> Result<(), Failure> {
        let path = match error {
            Error::Io { path, .. }
            | Error::Input { path, .. }
            | Error::Model { path, .. }
            | Error::Unsupported { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        self.report_at(&path, error)
    }

    fn report_at(&mut self, path: &Path, error: &Error) -> Result<(), Failure> {
        self.counts.failed += 1;
        let line =
            record::of_error(path, error, None).map_err(|error| Failure::Output(error.into()))?;
        let Self { bar, output, .. } = self;
        bar.suspend(|| print::warn(complaint(error)));
        if self.form == LineForm::Json {
            bar.suspend(|| output.line(&line))?;
        }
        self.failures.push(line);
        Ok(())
    }
}

/// Says what a finished file lacks.
fn tell_missing(brought: Brought) {
    if brought.without > 0 {
        print::tell(format!(
            "without a caption, and not in the file: {}",
            brought.without
        ));
    }
    if brought.outside > 0 {
        print::warn(format!(
            "decap: {} of the photos are not in the folder of metadata.jsonl, which cannot name them: put it \
             above all of them",
            brought.outside
        ));
    }
}

/// What a page of these inputs is called: the folder's name, where it is one folder.
fn title(typed: &[PathBuf]) -> String {
    match typed {
        [folder] if folder.is_dir() => {
            let whole = folder.canonicalize();
            let whole = whole.as_deref().unwrap_or(folder);
            let name = whole.file_name().unwrap_or(whole.as_os_str());
            format!("Captions of {}", name.display())
        }
        _ => "Captions".to_owned(),
    }
}

/// Writes the lines of the inputs that failed, or an empty file.
fn write_failures(path: &Path, lines: &[String]) -> Result<(), Failure> {
    write_atomically(path, |file| {
        lines.iter().try_for_each(|line| writeln!(file, "{line}"))
    })?;
    Ok(())
}

fn caption_options(captioner: &Captioner, args: &CaptionArgs) -> Result<CaptionOptions, Failure> {
    let mut options = captioner.options();
    options.evidence = args.evidence;
    options.method = args.method.method();
    options.tau = args.tau.unwrap_or(options.tau);
    apply_writing(captioner, &args.generate, &mut options)?;
    apply_choosing(&args.choosing, &[options.method], &mut options)?;
    options.near_duplicates = args.near_duplicates;
    Ok(options)
}

/// Puts what was typed about writing into `options`.
///
/// # Errors
/// Where a banned phrase is blank or cannot be tokenized.
pub fn apply_writing(
    captioner: &Captioner,
    typed: &GenerateArgs,
    options: &mut CaptionOptions,
) -> Result<(), Failure> {
    let generate = &mut options.generate;
    if typed.beam.is_some() || typed.length_penalty.is_some() {
        let model = &captioner.description().writing;
        let width = typed.beam.unwrap_or(model.beam);
        let length_penalty = typed.length_penalty.unwrap_or(model.length_penalty);
        generate.method = Choice::beam(width, length_penalty);
    }
    if let Some(temperature) = typed.temperature {
        let top_p = typed.top_p.unwrap_or(Choice::DEFAULT_TOP_P);
        generate.method = Choice::Sample {
            temperature,
            top_p,
            seed: typed.seed,
        };
    }
    generate.min_tokens = typed.min_length.unwrap_or(generate.min_tokens);
    generate.max_tokens = typed.max_length.unwrap_or(generate.max_tokens);
    generate.repetition_penalty = typed
        .repetition_penalty
        .unwrap_or(generate.repetition_penalty);
    generate.no_repeat_ngram = typed.no_repeat_ngram.unwrap_or(generate.no_repeat_ngram);
    generate.repeated_words = typed
        .repeated_words
        .map_or(generate.repeated_words, |how| how.repeated_words());
    let method = options.method;
    if !method.writes() && !typed.ban.is_empty() {
        let method = method.name();
        print::warn(format!(
            "decap: --ban changes nothing with --method {method}, which writes no words"
        ));
    }
    for phrase in &typed.ban {
        let writings = captioner
            .decoder()
            .writings(captioner.tokenizer(), phrase)?;
        if writings.is_empty() {
            print::warn(format!(
                "decap: --ban: this model never writes `{phrase}`: its vocabulary lacks it"
            ));
        }
        generate.banned_words.extend(writings);
    }
    if typed.sentence_case {
        options.case = Case::Sentence;
    }
    Ok(())
}

/// How archives and tables are read, as it was typed.
fn source_options(args: &CaptionArgs) -> SourceOptions {
    let mut options = SourceOptions::default();
    options.file_bytes = args.limits.max_file_bytes;
    options.column = args.column.clone();
    options.reach = args.fetch.reach();
    options
}

/// How photos and videos are read, as it was typed.
fn read_options(args: &CaptionArgs) -> ReadOptions {
    let mut read = ReadOptions::default();
    read.batch = args.batch;
    read.limits = args.limits.limits();
    read.video = args.limits.video(args.frames);
    read
}

/// The confidence that captions must have.
///
/// # Errors
/// Where one is asked for that the model cannot tell.
pub fn least_confidence(
    asked: Option<MinConfidence>,
    captioner: &Captioner,
) -> Result<Option<f32>, Failure> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let Some(calibration) = captioner.calibration() else {
        let name = &captioner.description().name;
        return Err(Failure::Usage(format!(
            "--min-confidence: model `{name}` does not know how sure its captions are, or not with another \
             memory; leave the option out"
        )));
    };
    Ok(Some(match asked {
        MinConfidence::Auto => calibration.least,
        MinConfidence::Number(least) => least,
    }))
}

/// All that decides a line of the output, but for its photo.
fn run_key(
    captioner: &Captioner,
    args: &CaptionArgs,
    options: &CaptionOptions,
    read: &ReadOptions,
    wording: &Wording,
) -> Result<RunKey, Failure> {
    let least = args.min_confidence;
    let least = least.map(|least| format!("least confidence {least:?}"));
    let more = wording.run_key_part().into_iter().chain(least);
    Ok(decap_sources::shard::run_key(
        captioner, options, read, more,
    )?)
}

/// The sink, and the names of the inputs that an interrupted run had done.
fn open_output(
    args: &CaptionArgs,
    form: LineForm,
    inputs: &[Opened],
    run_key: &RunKey,
) -> Result<(Output, HashSet<String>), Failure> {
    let Some(path) = args.output_file() else {
        return Ok((Output::stdout(), HashSet::new()));
    };
    let inputs = inputs.iter().filter_map(|input| input.as_ref().ok());
    let inputs = inputs.map(|input| input.name().to_path_buf());
    let inputs = inputs.chain(args.memory.clone());
    // An archive or a table is read as long as captions are written.
    let inputs: Vec<PathBuf> = inputs.chain(args.paths.iter().cloned()).collect();
    let to = Destination {
        path: &path,
        start: if args.resume {
            Start::Resume
        } else {
            Start::Fresh
        },
        run_key,
        inputs: &inputs,
    };
    match form {
        LineForm::Sample => Output::archive(&to),
        _ => Output::file(&to, &form.known_lines()),
    }
}
