//! `decap eval`: a data set's photos captioned, scored, and laid out as a report.

mod command;
mod table;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use caption_metrics::{Bootstrap, Spice, TrainingCaptions};
use decap::pipeline::ReadOptions;
use decap::{CaptionOptions, Captioner, Method};
use decap_eval::{
    ClipScoring, Curve, EncodedPhotos, EvalProgress, EvalSet, Evaluator, MetricOptions, Part,
    PhotoOptions, Report, ReportModel, SetOptions, SweepOver, System, check_report_folder,
    check_report_model, encode_photos,
};
use indicatif::ProgressBar;

use crate::args::{EvalArgs, SweepArg};
use crate::cache::cache_folder;
use crate::caption::apply_writing;
use crate::captions::open_meteor;
use crate::choosing::apply_choosing;
use crate::encoder::{memory_for, open_captioner};
use crate::failure::{Failure, Outcome};
use crate::memory::read_all;
use crate::name;
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Work that is kept between runs, within the report folder.
const KEPT_FOLDER: &str = "kept";

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    if let Some(folder) = &args.report.report {
        check_report_folder(folder)?;
    }
    let set = read_set(args)?;
    let mut captioner = captioner_with_memory(&args.model, args, &stop)?;
    let options = caption_options(&captioner, args)?;
    if let Some(folder) = &args.report.report
        && !args.report.fresh
    {
        let model = ReportModel::new(&captioner, options.tau);
        check_report_model(folder, &model).map_err(|error| {
            let remedy = "--fresh replaces it; or give another --report";
            Failure::WithRemedy(error, remedy.into())
        })?;
    }
    let metrics = metric_options(args)?;
    let kept = kept_folder(args)?;
    let mut run = Run {
        args,
        set: &set,
        kept,
        stop: &stop,
        bar: Bar::default(),
    };
    let photos = run.encode(&captioner)?;
    for failure in &photos.failures {
        print::tell(format!("decap: {}", failure.message));
    }
    let evaluator = Evaluator::new(&set, &photos, metrics, run.kept.clone())?;
    let mut systems = Vec::new();
    for method in args.methods() {
        systems.push(run.evaluate(&evaluator, &captioner, &options, method)?);
    }
    let curves = run.sweep(&evaluator, &mut captioner, &options)?;
    run.bar.clear();
    let report = Report {
        set: &set,
        photos: &photos,
        model: ReportModel::new(&captioner, options.tau),
        systems: &systems,
        curves: &curves,
        benchmark: args.report.published.or(set.benchmark),
        bootstrap: evaluator.metrics().bootstrap,
        command: command::shown(),
        program: format!("decap {}", env!("CARGO_PKG_VERSION")),
        made_at: SystemTime::now(),
    };
    table::print(&report, args.report.json)?;
    if let Some(folder) = &args.report.report {
        report.write(folder)?;
        print::tell(format!("wrote {}", folder.join("report.html").display()));
    }
    Ok(if photos.failures.is_empty() {
        Outcome::AllWell
    } else {
        Outcome::SomeFailed
    })
}

/// The state of one run.
struct Run<'a> {
    args: &'a EvalArgs,
    set: &'a EvalSet,
    kept: Option<PathBuf>,
    stop: &'a Stop,
    bar: Bar,
}

impl Run<'_> {
    /// Photos and videos through the captioner's encoder.
    fn encode(&mut self, captioner: &Captioner) -> Result<EncodedPhotos, Failure> {
        let options = photo_options(self.args);
        let Self { kept, bar, .. } = self;
        let mut show = |progress: EvalProgress<'_>| bar.show(progress);
        let (encoder, kept) = (captioner.encoder(), kept.as_deref());
        Ok(encode_photos(
            encoder,
            self.set,
            &options,
            kept,
            &mut show,
            self.stop.flag(),
        )?)
    }

    fn evaluate(
        &mut self,
        evaluator: &Evaluator<'_>,
        captioner: &Captioner,
        options: &CaptionOptions,
        method: Method,
    ) -> Result<System, Failure> {
        let mut options = options.clone();
        options.method = method;
        let mut show = |progress: EvalProgress<'_>| self.bar.show(progress);
        Ok(evaluator.evaluate(captioner, &options, &mut show, self.stop.flag())?)
    }

    fn sweep(
        &mut self,
        evaluator: &Evaluator<'_>,
        captioner: &mut Captioner,
        options: &CaptionOptions,
    ) -> Result<Vec<Curve>, Failure> {
        let stop = self.stop.flag();
        let mut curves = Vec::new();
        for sweep in &self.args.sweep {
            let mut show = |progress: EvalProgress<'_>| self.bar.show(progress);
            curves.push(match sweep {
                SweepArg::Tau(taus) => {
                    evaluator.sweep_tau(captioner, options, taus, &mut show, stop)?
                }
                SweepArg::Memory(rows) => {
                    let methods = self.args.methods();
                    evaluator.sweep_memory(captioner, options, &methods, rows, &mut show, stop)?
                }
                SweepArg::Model(models) => self.sweep_models(evaluator, captioner, models)?,
            });
        }
        Ok(curves)
    }

    /// Each of `models` with its own memory, or that of `--memory`.
    fn sweep_models(
        &mut self,
        evaluator: &Evaluator<'_>,
        captioner: &Captioner,
        models: &[String],
    ) -> Result<Curve, Failure> {
        let mut curve = Curve::new(SweepOver::TrainingSentences);
        for reference in models {
            let other = captioner_with_memory(reference, self.args, self.stop)?;
            let options = caption_options(&other, self.args)?;
            let sentences = other.description().provenance.captions;
            if sentences == 0 {
                return Err(Failure::Usage(format!(
                    "{reference}: expected a model that says how many sentences it learned, got one \
                     that does not"
                )));
            }
            let is_same = other.encoder().fingerprint() == captioner.encoder().fingerprint();
            let photos = match is_same {
                true => None,
                false => Some(self.encode(&other)?),
            };
            let own = match &photos {
                None => None,
                Some(photos) => {
                    let metrics = evaluator.metrics().clone();
                    Some(Evaluator::new(
                        self.set,
                        photos,
                        metrics,
                        self.kept.clone(),
                    )?)
                }
            };
            for method in self.args.methods() {
                let evaluator = own.as_ref().unwrap_or(evaluator);
                let system = self.evaluate(evaluator, &other, &options, method)?;
                curve.push(sentences as f64, &other, &system);
            }
        }
        Ok(curve)
    }
}

fn read_set(args: &EvalArgs) -> Result<EvalSet, Failure> {
    let mut options = SetOptions::default();
    options.photos = args.photos.clone();
    options.part = match args.split.as_deref() {
        None => Part::TestOrAll,
        Some("all") => Part::All,
        Some(name) => Part::Named(name.to_owned()),
    };
    let mut set = EvalSet::read(&args.dataset, &options)?;
    if let Some(limit) = args.limit {
        set.limit(limit);
    }
    for note in &set.notes {
        print::tell(format!("decap: {}", name::tame(note)));
    }
    print::tell(format!("{}: {}", set.name, photos(set.items.len())));
    if set.without_references > 0 {
        let left_out = photos(set.without_references);
        print::tell(format!("left out {left_out} without references"));
    }
    Ok(set)
}

fn photos(count: usize) -> String {
    match count {
        1 => "1 photo".to_owned(),
        count => format!("{count} photos"),
    }
}

fn captioner_with_memory(
    reference: &str,
    args: &EvalArgs,
    stop: &Stop,
) -> Result<Captioner, Failure> {
    let mut captioner = open_captioner(reference, args.precision.precision)?;
    if let Some(memory) = &args.memory {
        let cache = cache_folder(args.cache.as_deref())?;
        let memory = memory_for(captioner.encoder(), memory, &cache, stop)?;
        captioner.set_memory(memory)?;
    }
    Ok(captioner)
}

fn caption_options(captioner: &Captioner, args: &EvalArgs) -> Result<CaptionOptions, Failure> {
    let mut options = captioner.options();
    options.evidence = args.report.evidence;
    options.tau = args.tau.unwrap_or(options.tau);
    apply_writing(captioner, &args.generate, &mut options)?;
    apply_choosing(&args.choosing, &args.methods(), &mut options)?;
    Ok(options)
}

fn photo_options(args: &EvalArgs) -> PhotoOptions {
    let mut read = ReadOptions::default();
    read.batch = args.batch;
    read.video = args.limits.video(args.frames);
    read.limits = args.limits.limits();
    let mut options = PhotoOptions::default();
    options.read = read;
    options.thumbnail_pixels = args.report.thumbnails as u32;
    options
}

fn metric_options(args: &EvalArgs) -> Result<MetricOptions, Failure> {
    let metrics = &args.metrics;
    let spice = metrics.spice.as_ref().map(|package| find_spice(package));
    let training = match metrics.training_text.is_empty() {
        true => None,
        false => {
            let captions = read_all(&metrics.training_text, &[])?;
            Some(TrainingCaptions::new(captions.iter().map(String::as_str)))
        }
    };
    Ok({
        let mut options = MetricOptions::default();
        options.meteor = metrics.meteor.as_deref().map(open_meteor).transpose()?;
        options.spice = spice.flatten();
        options.bootstrap = {
            let mut options = Bootstrap::default();
            options.num_samples = metrics.draws;
            options
        };
        options.training = training;
        options.clip_score = match metrics.clip_score {
            true => ClipScoring::On,
            false => ClipScoring::Off,
        };
        options
    })
}

/// SPICE in `package`; where it or Java is not there, that is said and the metric left out.
pub fn find_spice(package: &Path) -> Option<Spice> {
    let spice = Spice::find(package);
    if spice.is_none() {
        print::tell(format!(
            "decap: {}: no SPICE here (it needs Java, spice-1.0.jar and lib/ with CoreNLP 3.6.0 and \
             its models); it is left out",
            package.display()
        ));
    }
    spice
}

/// The folder of kept work, emptied for `--fresh`.
fn kept_folder(args: &EvalArgs) -> Result<Option<PathBuf>, Failure> {
    let Some(report) = &args.report.report else {
        return Ok(None);
    };
    let kept = report.join(KEPT_FOLDER);
    if args.report.fresh && kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    Ok(Some(kept))
}

/// A progress bar that begins anew with each step.
#[derive(Default)]
struct Bar {
    step: String,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn show(&mut self, progress: EvalProgress<'_>) {
        if self.step != progress.step || progress.done < self.position() {
            self.clear();
            progress.step.clone_into(&mut self.step);
        }
        let bar = self.bar.get_or_insert_with(|| {
            let unit = match progress.step {
                "photos" => "photos encoded".to_owned(),
                method => format!("captions, {method}"),
            };
            progress::bar(progress.total as u64, &unit)
        });
        bar.set_position(progress.done as u64);
    }

    fn position(&self) -> usize {
        self.bar.as_ref().map_or(0, |bar| bar.position() as usize)
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
