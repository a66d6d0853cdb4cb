//! `decap caption`: photos and videos to captions, with their evidence.

mod record;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use decap::decoder::{Case, Method as Choice};
use decap::media::{Limits, VideoOptions};
use decap::pipeline::ReadOptions;
use decap::{Caption, CaptionOptions, Captioner, Error, Input, Timings};
use indicatif::ProgressBar;

use crate::args::{CaptionArgs, GenerateArgs};
use crate::cache::cache_folder;
use crate::encoder::{memory_for, open_options};
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{self, Depth};
use crate::output::{Output, Start};
use crate::progress;
use crate::stop::Stop;

/// From this number of inputs on, what speeds up each projection pays.
const MANY_INPUTS: usize = 16;

/// Runs the command.
pub fn run(args: &CaptionArgs) -> Result<Outcome, Failure> {
    let precision = args.precision.precision;
    // Lines on a terminal or a pipe need no safe point, a file with --resume does.
    let stop = match args.output {
        Some(_) => Stop::on_ctrl_c(),
        None => Stop::default(),
    };
    let mut captioner = Captioner::open_with(&args.model, &open_options(precision))?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory, &cache_folder(None), &stop)?;
        captioner.set_memory(memory)?;
    }
    let options = caption_options(&captioner, args)?;
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::Flat
    };
    let inputs = inputs::expand(&args.paths, depth)?;
    if inputs.len() >= MANY_INPUTS {
        captioner = captioner.ready_for_many();
    }
    let (output, done) = open_output(args)?;
    let mut run = Run {
        captioner: Arc::new(captioner),
        options,
        args,
        output,
        failed: false,
        bar: ProgressBar::hidden(),
        stop,
    };
    let mut paths = Vec::new();
    for input in inputs {
        match input {
            Ok(path) if done.contains(&*path.to_string_lossy()) => {}
            Ok(path) => paths.push(path),
            Err(error) => run.report(&error)?,
        }
    }
    if !done.is_empty() {
        eprintln!("resuming: {} done, {} to do", done.len(), paths.len());
    }
    run.bar = progress::bar(paths.len() as u64, "files");
    run.caption_all(paths)?;
    run.bar.finish_and_clear();
    run.output.finish()?;
    // The process ends here: to give the model's memory back piece by piece would only take time.
    std::mem::forget(run.captioner);
    Ok(if run.failed {
        Outcome::SomeFailed
    } else {
        Outcome::AllWell
    })
}

/// The state of one run.
struct Run<'a> {
    captioner: Arc<Captioner>,
    options: CaptionOptions,
    args: &'a CaptionArgs,
    output: Output,
    failed: bool,
    bar: ProgressBar,
    stop: Stop,
}

impl Run<'_> {
    fn caption_all(&mut self, paths: Vec<PathBuf>) -> Result<(), Failure> {
        let mut read = ReadOptions::default();
        read.batch = self.args.batch;
        read.limits = self.args.limits.limits();
        read.video = video_options(self.args.frames, self.args.max_video_seconds, &read.limits);
        let (captioner, options, stop) = (
            self.captioner.clone(),
            self.options.clone(),
            self.stop.clone(),
        );
        let inputs = paths.into_iter().map(Input::from);
        let outcome = captioner.caption_each(inputs, &read, &options, stop.flag(), |one| {
            let path = one.input.name();
            match &one.result {
                Ok(caption) => self.write(path, caption, one.timings)?,
                Err(error) => self.report_at(path, error)?,
            }
            self.bar.inc(1);
            Ok(())
        });
        outcome.map_err(|failure| match failure {
            Failure::Library(error @ Error::Interrupted) => {
                Failure::WithRemedy(error, "the same command with --resume does the rest")
            }
            failure => failure,
        })
    }

    fn write(&mut self, path: &Path, caption: &Caption, timings: Timings) -> Result<(), Failure> {
        let line = if self.args.json {
            record::of_caption(path, caption, timings, &self.captioner.description().name)?
        } else {
            text_line(path, caption, self.output.is_terminal())
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
        let Self { bar, output, .. } = self;
        bar.suspend(|| eprintln!("{}", complaint(error)));
        if self.args.json {
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
    Ok(options)
}

/// Puts what was typed about writing into `options`.
///
/// # Errors
/// Where a banned word cannot be tokenized.
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
        generate.method = if width <= 1 {
            Choice::Greedy
        } else {
            Choice::Beam {
                width,
                length_penalty,
            }
        };
    }
    if let Some(temperature) = typed.temperature {
        let top_p = typed.top_p.unwrap_or(1.0);
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
    for word in &typed.ban {
        generate
            .banned_words
            .push(captioner.tokenizer().encode(word)?);
    }
    if typed.sentence_case {
        options.case = Case::Sentence;
    }
    Ok(())
}

/// The sink, and the paths that an interrupted run had done.
fn open_output(args: &CaptionArgs) -> Result<(Output, std::collections::HashSet<String>), Failure> {
    let Some(path) = &args.output else {
        return Ok((Output::stdout(), Default::default()));
    };
    let start = if args.resume {
        Start::Resume
    } else {
        Start::Fresh
    };
    let json = args.json;
    Output::file(path, start, move |line| {
        if json { json_key(line) } else { text_key(line) }
    })
}

/// The path of a finished JSON line; a line that says an error is done again.
fn json_key(line: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    record.get("caption")?;
    Some(record.get("path")?.as_str()?.to_owned())
}

fn text_key(line: &str) -> Option<String> {
    line.split_once('\t').map(|(path, _)| path.to_owned())
}

/// `path<TAB>caption`, and the evidence below it for a person, behind it for a program.
fn text_line(path: &Path, caption: &Caption, for_a_person: bool) -> String {
    let path = path.to_string_lossy().replace(['\t', '\n'], " ");
    let mut line = format!("{path}\t{}", caption.text);
    for evidence in &caption.evidence {
        let separator = if for_a_person { "\n    " } else { "\t" };
        line += &format!("{separator}{:.3} {}", evidence.weight, evidence.text);
    }
    line
}

/// How videos are looked at, as it was typed.
pub fn video_options(frames: usize, seconds: u64, limits: &Limits) -> VideoOptions {
    VideoOptions {
        frames,
        timeout: Duration::from_secs(seconds),
        limits: limits.clone(),
        ..VideoOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_cut_lines_have_no_key() {
        let done = r#"{"path":"a.jpg","caption":"a dog"}"#;
        let failed = r#"{"path":"b.jpg","error":{"kind":"damaged","message":"m"}}"#;
        assert_eq!(json_key(done).as_deref(), Some("a.jpg"));
        assert_eq!(json_key(failed), None);
        assert_eq!(json_key(&done[..20]), None);
        assert_eq!(text_key("a.jpg\ta dog").as_deref(), Some("a.jpg"));
        assert_eq!(text_key("a.jp"), None);
    }
}
