//! `decap caption`: photos and videos to captions, with their evidence.

mod record;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use decap::decoder::{Case, Method as Choice};
use decap::encoder::PreparedImage;
use decap::media::video::VideoOptions;
use decap::{
    Caption, CaptionOptions, Captioner, Embedding, Embeddings, Error, Timings, for_each_batch,
    media,
};
use indicatif::ProgressBar;

use crate::args::{CaptionArgs, GenerateArgs};
use crate::encoder::{download, memory_for};
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{self, Depth, Kinds};
use crate::output::{Output, Start};
use crate::progress;
use crate::stop::Stop;

/// From this number of inputs on, what speeds up each projection pays.
const MANY_INPUTS: usize = 16;

/// Runs the command.
pub fn run(args: &CaptionArgs) -> Result<Outcome, Failure> {
    download(&args.model)?;
    let precision = args.precision.precision;
    let mut captioner = Captioner::open_with(&args.model, precision)?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory)?;
        captioner = captioner.with_memory(memory)?;
    }
    let options = caption_options(&captioner, args)?;
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::Flat
    };
    let inputs = inputs::expand(&args.paths, Kinds::PhotosAndVideos, depth)?;
    if inputs.len() >= MANY_INPUTS {
        captioner = captioner.ready_for_many();
    }
    let (output, done) = open_output(args)?;
    let mut run = Run {
        captioner,
        options,
        args,
        output,
        failed: false,
        bar: ProgressBar::hidden(),
        // Lines on a terminal or a pipe need no safe point, a file with --resume does.
        stop: match args.output {
            Some(_) => Stop::on_ctrl_c(),
            None => Stop::default(),
        },
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
    captioner: Captioner,
    options: CaptionOptions,
    args: &'a CaptionArgs,
    output: Output,
    failed: bool,
    bar: ProgressBar,
    stop: Stop,
}

/// What became of one file before the encoder: a photo's pixels, or a video's frames'.
struct Loaded {
    views: Vec<PreparedImage>,
    decode_ms: f64,
}

impl Run<'_> {
    fn caption_all(&mut self, paths: Vec<PathBuf>) -> Result<(), Failure> {
        // The loader runs beside this and needs the encoder alone.
        let encoder = std::sync::Arc::clone(self.captioner.encoder());
        let limits = self.args.limits.limits();
        let video = VideoOptions {
            frames: self.args.frames,
            timeout: Duration::from_secs(self.args.max_video_seconds),
            limits: limits.clone(),
            ..VideoOptions::default()
        };
        let load = move |path: &Path| -> Result<Loaded, Error> {
            let started = Instant::now();
            let views = match media::is_video(path) {
                true => {
                    let frames = media::video::sample_frames(path, &video)?;
                    frames.iter().map(|frame| encoder.prepare(frame)).collect()
                }
                false => vec![encoder.open_photo(path, &limits)?],
            };
            Ok(Loaded {
                views,
                decode_ms: milliseconds(started),
            })
        };
        for_each_batch(paths, self.args.batch, load, |batch| {
            if self.stop.requested() {
                return Err(Failure::WithRemedy(
                    Error::Interrupted,
                    "the same command with --resume does the rest",
                ));
            }
            self.caption_batch(batch)
        })
    }

    /// Encodes what could be loaded in one go, then writes a line a file, in order.
    fn caption_batch(
        &mut self,
        batch: Vec<(PathBuf, Result<Loaded, Error>)>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut embeddings = Embeddings::empty(self.captioner.encoder().width());
        let views: Vec<PreparedImage> = batch
            .iter()
            .filter_map(|(_, l)| l.as_ref().ok())
            .flat_map(|l| l.views.clone())
            .collect();
        let encoded = self.captioner.encoder().encode_prepared(&views)?;
        let mut first = 0;
        for loaded in batch.iter().filter_map(|(_, loaded)| loaded.as_ref().ok()) {
            embeddings.extend(&mean_of(&encoded, first, loaded.views.len())?)?;
            first += loaded.views.len();
        }
        let encode_ms = milliseconds(started);
        let (captions, timings) = self
            .captioner
            .caption_embeddings(&embeddings, &self.options)?;
        let share = 1.0 / captions.len().max(1) as f64;
        let timings = Timings {
            encode_ms: encode_ms * share,
            project_ms: timings.project_ms * share,
            generate_ms: timings.generate_ms * share,
        };
        let mut captions = captions.into_iter();
        for (path, loaded) in batch {
            match loaded {
                Ok(loaded) => {
                    let Some(caption) = captions.next() else {
                        continue;
                    };
                    self.write(&path, &caption, loaded.decode_ms, timings)?;
                }
                Err(error) => self.report_at(&path, &error)?,
            }
            self.bar.inc(1);
        }
        Ok(())
    }

    fn write(
        &mut self,
        path: &Path,
        caption: &Caption,
        decode_ms: f64,
        timings: Timings,
    ) -> Result<(), Failure> {
        let line = if self.args.json {
            record::of_caption(
                path,
                caption,
                decode_ms,
                timings,
                &self.captioner.description().name,
            )?
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
    let mut options = CaptionOptions {
        evidence: args.evidence,
        ..captioner.options()
    };
    options.method = args.method.method();
    options.tau = args.tau.unwrap_or(options.tau);
    apply_writing(captioner, &args.generate, &mut options)?;
    Ok(options)
}

/// What `--temperature` draws from where `--top-p` is not given. Decoders are trained with label
/// smoothing 0.1, which spreads a tenth of the probability over junk: a top-p of 0.9 still reaches
/// it, 0.8 does not.
const DEFAULT_TOP_P: f32 = 0.8;

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
        let top_p = typed.top_p.unwrap_or(DEFAULT_TOP_P);
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
    if options.method == decap::Method::Retrieval && !typed.ban.is_empty() {
        eprintln!("decap: --ban changes nothing with --method retrieval, which writes no words");
    }
    for phrase in &typed.ban {
        let writings = captioner
            .decoder()
            .writings(captioner.tokenizer(), phrase)?;
        if writings.is_empty() {
            eprintln!("decap: --ban: this model never writes `{phrase}`: its vocabulary lacks it");
        }
        generate.banned_words.extend(writings);
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

/// The mean of rows `first..first + count`, as one row.
fn mean_of(embeddings: &Embeddings, first: usize, count: usize) -> Result<Embeddings, Error> {
    let width = embeddings.width();
    let rows = &embeddings.as_slice()[first * width..(first + count) * width];
    let rows = Embeddings::new(rows.to_vec(), width)?;
    if count == 1 {
        return Ok(rows);
    }
    Embeddings::new(Embedding::mean(&rows)?.as_slice().to_vec(), width)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
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
