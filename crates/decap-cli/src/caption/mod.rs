//! `decap caption`: photos and videos to captions, with their evidence.

mod counts;
mod form;
mod record;
mod shard;
mod undo;
mod wording;
mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use decap::decoder::{Case, Method as Choice};
use decap::pipeline::ReadOptions;
use decap::{Caption, CaptionOptions, Captioner, Error, Input, RunKey, Timings};
use indicatif::ProgressBar;

use crate::args::{CaptionArgs, GenerateArgs, MinConfidence};
use crate::cache::cache_folder;
use crate::choosing::apply_choosing;
use crate::encoder::{memory_for, open_captioner};
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{self, Depth, Finder};
use crate::name;
use crate::output::{Destination, Output, Start};
use crate::print;
use crate::progress;
use crate::stop::Stop;
use counts::Counts;
use form::LineForm;
pub use shard::Shard;
use shard::ShardOf;
use wording::Wording;
use writer::{Writer, Written};

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
    let stop = match args.output {
        Some(_) => Stop::on_ctrl_c(),
        None => Stop::default(),
    };
    let mut captioner = open_captioner(&args.model, precision)?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory, &cache_folder(None)?, &stop)?;
        captioner.set_memory(memory)?;
    }
    let options = caption_options(&captioner, args)?;
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::Flat
    };
    let is_list = args.paths.iter().any(|path| path.as_os_str() == "-");
    let mut finder = Finder::new(&args.paths, depth);
    let inputs = finder.next_few()?.unwrap_or_default();
    if is_list || inputs.len() >= MANY_INPUTS {
        captioner = captioner.ready_for_many();
    }
    let read = read_options(args);
    let run_key = run_key(&captioner, args, &options, &read, &wording)?;
    let least = least_confidence(args, &captioner)?;
    let writer = Writer::of(args, &captioner.description().name, run_key.as_str());
    let (output, done) = open_output(args, form, &inputs, &run_key)?;
    let mut run = Run {
        captioner: Arc::new(captioner),
        options,
        run_key,
        form,
        wording,
        writer,
        output,
        shard: ShardOf::of(args.shard),
        least_confidence: least,
        counts: Counts::default(),
        failed: false,
        bar: ProgressBar::hidden(),
        stop,
    };
    let paths = run.not_done(inputs, &done)?;
    let to_do = match is_list {
        // How many will be listed is not known.
        true => String::new(),
        false => format!(", {} to do", paths.len()),
    };
    if !done.is_empty() {
        print::tell(format!("resuming: {} done{to_do}", done.len()));
    }
    if !is_list {
        run.bar = progress::bar(paths.len() as u64, "files");
    }
    run.caption_all(paths, &read)?;
    while let Some(inputs) = finder.next_few()? {
        let paths = run.not_done(inputs, &done)?;
        run.caption_all(paths, &read)?;
    }
    run.bar.finish_and_clear();
    run.counts.tell(run.least_confidence);
    run.output.finish()?;
    if let Some(writer) = &run.writer {
        writer.tell();
    }
    if let Some(path) = &args.output {
        print::tell(format!("wrote {}", path.display()));
    }
    // The process ends here: to give the model's memory back piece by piece would only take time.
    std::mem::forget(run.captioner);
    Ok(if run.failed {
        Outcome::SomeFailed
    } else {
        Outcome::AllWell
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
    output: Output,
    /// Captions of less confidence are left out.
    least_confidence: Option<f32>,
    counts: Counts,
    /// Which of the inputs are this run's.
    shard: ShardOf,
    failed: bool,
    bar: ProgressBar,
    stop: Stop,
}

impl Run {
    /// The paths that are to be captioned; what is wrong with the others is reported.
    fn not_done(
        &mut self,
        inputs: Vec<inputs::Input>,
        done: &HashSet<String>,
    ) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        for input in inputs {
            let is_ours = self.shard.takes_next();
            match input {
                _ if !is_ours => {}
                Ok(path) if done.contains(&name::of(&path)) => {}
                Ok(path) => paths.push(path),
                Err(error) => self.report(&error)?,
            }
        }
        Ok(paths)
    }

    fn caption_all(&mut self, paths: Vec<PathBuf>, read: &ReadOptions) -> Result<(), Failure> {
        let (captioner, options, stop) = (self.captioner.clone(), self.options.clone(), self.stop);
        let stamps = self.writer.as_ref().map(Writer::stamps);
        let inputs = paths.into_iter().map(move |path| {
            if let Some(stamps) = &stamps {
                stamps.take(&path);
            }
            Input::from(path)
        });
        let outcome = captioner.caption_each(inputs, read, &options, stop.flag(), |one| {
            let path = one.input.name();
            self.warn(path, &one.warnings);
            let stamp = self.writer.as_ref().and_then(Writer::next_stamp);
            match one.result {
                Ok(mut caption) if self.maker().leaves_out(&caption) => {
                    self.counts.left_out += 1;
                    caption.text.clear();
                    let nowhere = self.writer.as_ref().map(|_| Written::default());
                    self.write(path, &caption, one.timings, nowhere)?;
                }
                Ok(mut caption) => {
                    self.counts.captioned += 1;
                    caption.text = self.wording.of_caption(path, &caption);
                    let writer = self.writer.as_mut();
                    let written = writer.map(|writer| writer.write(path, stamp, &caption.text));
                    match written.transpose() {
                        Ok(written) => self.write(path, &caption, one.timings, written)?,
                        Err(error) => self.report_at(path, &error)?,
                    }
                }
                Err(error) => self.report_at(path, &error)?,
            }
            self.bar.inc(1);
            Ok(())
        });
        outcome.map_err(|failure| match failure {
            Failure::Library(error @ Error::Interrupted) => {
                Failure::WithRemedy(error, "the same command with --resume does the rest".into())
            }
            failure => failure,
        })
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
        path: &Path,
        caption: &Caption,
        timings: Timings,
        written: Option<Written>,
    ) -> Result<(), Failure> {
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
            LineForm::Json => {
                record::of_caption(path, caption, timings, &self.maker(), written.as_ref())?
            }
            LineForm::Table { evidence, fields } => {
                form::table_line(path, caption, evidence, fields)
            }
            LineForm::Text => form::text_line(path, caption, self.output.is_terminal()),
        };
        let Self { bar, output, .. } = self;
        bar.suspend(|| output.line(&line))
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
        self.failed = true;
        self.counts.failed += 1;
        let Self { bar, output, .. } = self;
        bar.suspend(|| print::warn(complaint(error)));
        if self.form == LineForm::Json {
            let line = record::of_error(path, error)?;
            bar.suspend(|| output.line(&line))?;
        }
        Ok(())
    }
}

fn caption_options(captioner: &Captioner, args: &CaptionArgs) -> Result<CaptionOptions, Failure> {
    let mut options = captioner.options();
    options.evidence = args.evidence;
    options.method = args.method.method();
    options.tau = args.tau.unwrap_or(options.tau);
    apply_writing(captioner, &args.generate, &mut options)?;
    apply_choosing(&args.choosing, &[options.method], &mut options)?;
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
fn least_confidence(args: &CaptionArgs, captioner: &Captioner) -> Result<Option<f32>, Failure> {
    let Some(asked) = args.min_confidence else {
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
    let captions = captioner.run_key(options)?;
    let frames = format!("{} frames", read.video.frames);
    let mut parts = vec![captions.as_str().to_owned(), frames];
    parts.extend(wording.run_key_part());
    if let Some(least) = args.min_confidence {
        parts.push(format!("least confidence {least:?}"));
    }
    Ok(RunKey::of(&parts))
}

/// The sink, and the names of the inputs that an interrupted run had done.
fn open_output(
    args: &CaptionArgs,
    form: LineForm,
    inputs: &[inputs::Input],
    run_key: &RunKey,
) -> Result<(Output, HashSet<String>), Failure> {
    let Some(path) = &args.output else {
        return Ok((Output::stdout(), HashSet::new()));
    };
    let inputs = inputs.iter().filter_map(|input| input.as_ref().ok());
    let inputs: Vec<PathBuf> = inputs.chain(&args.memory).cloned().collect();
    let to = Destination {
        path,
        start: if args.resume {
            Start::Resume
        } else {
            Start::Fresh
        },
        run_key,
        inputs: &inputs,
    };
    Output::file(&to, &form.known_lines())
}
