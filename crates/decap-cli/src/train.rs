//! `decap train`: a captioner from caption files.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use decap::decoder::CONFIG_FILE;
use decap::encoder::Encoder;
use decap::memory::{EncodingProgress, MemoryOptions};
use decap::model::{MODEL_FILE, Writing};
use decap::{Places, Precision};
use decap_train::{
    CHECKPOINT_FILE, Estimate, Evaluation, Foundation, ModelRecipe, Plan, PrefixChoice, Progress,
    Start, StepReport, TrainOptions, TrainingPrecision, TrainingReport, VocabularyChoice,
    clear_finished, estimate, train_model,
};
use indicatif::{HumanCount, HumanDuration, ProgressBar};

use crate::args::{Cli, Command, PrefixArg, PresetArg, TrainArgs, VocabularyArg};
use crate::cache::cache_folder;
use crate::encoder::{KnownPlaces, find_folder, open_encoder};
use crate::failure::{Failure, Outcome};
use crate::first_captions;
use crate::memory::{names, read_all};
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Texts of fewer captions start from a trained model where there is one.
const SMALL: usize = 20_000;
/// With fewer, a swapped memory did better than training (`docs/results.md`, "Few captions").
const TOO_FEW_TO_TRAIN: usize = 200;
/// So few captions teach no decoder to write.
const FEW: usize = 3000;

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<Outcome, Failure> {
    refuse_unfinished(args)?;
    let captions = read_all(&args.captions, &args.split)?;
    train(args, &captions, TO_RESUME)
}

/// Trains on `captions`; `to_resume` says what to do where Ctrl-C ended it.
///
/// # Errors
/// As the command.
pub fn train(
    args: &TrainArgs,
    captions: &[String],
    to_resume: &'static str,
) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    let of_resumable = |error| of_resumable(error, to_resume);
    let encoder = open_encoder(&args.encoder, precision(args))?;
    let foundation = foundation(args, captions.len())?;
    let recipe = recipe(args, &encoder, captions.len(), foundation.as_deref())?;
    recipe.train.validate()?;
    if args.resume
        && clear_finished(&args.out, &encoder, captions.len(), &recipe).map_err(of_resumable)?
    {
        print::tell(format!(
            "{}: the training is finished already",
            args.out.display()
        ));
        return Ok(Outcome::AllWell);
    }
    if !matches!(recipe.train.vocabulary, VocabularyChoice::Learned(_)) {
        let lost = encoder.tokenizer()?.unwritable(captions)?;
        if lost.affected > 0 || lost.loses_case {
            print::tell(lost);
        }
    }
    match &foundation {
        Some(model) => print::tell(format!(
            "starts from {model} and rehearses its sentences; `--from none` starts from nothing"
        )),
        None if captions.len() < FEW => print::tell(format!(
            "{} captions are few to learn to write from; with a trained model of this encoder, --from \
             starts from it",
            captions.len()
        )),
        None => {}
    }
    if foundation.is_some() && captions.len() < TOO_FEW_TO_TRAIN {
        print::tell(format!(
            "{} captions are few to train on: with fewer than {TOO_FEW_TO_TRAIN}, `decap caption photo.jpg \
             --memory {}` often does better, and needs no training",
            captions.len(),
            names(&args.captions),
        ));
    }
    if !args.out.join(CHECKPOINT_FILE).exists() {
        tell_estimate(&encoder, captions, &recipe)?;
    }
    let bar = progress::bar(captions.len() as u64, "captions embedded");
    let mut watch = Watch {
        bar: ProgressBar::hidden(),
        began: None,
    };
    let report = train_model(
        &encoder,
        captions,
        &recipe,
        &args.out,
        |encoding| {
            bar.set_position(encoding.done as u64);
            if encoding.done == encoding.total {
                bar.finish_and_clear();
            }
        },
        &mut watch,
        stop.flag(),
    )
    .map_err(of_resumable)?;
    if report.steps < report.plan.steps {
        print::tell("more steps did not better the held-out captions");
    }
    print::tell(format!(
        "trained {} steps in {}; loss {:.3}",
        report.steps - report.plan.steps_done,
        HumanDuration(Duration::from_secs_f64(report.seconds)),
        report.smoothed_loss
    ));
    print::tell(format!(
        "wrote {0}\n  try: decap caption photo.jpg --model {0}",
        args.out.display()
    ));
    first_captions::tell(args, captions, &report.held_out_rows, foundation.as_deref())?;
    Ok(Outcome::AllWell)
}

/// Trains on `captions` as `decap train` does with these options (`--preset fast`, each word by itself) and
/// writes the model into the folder `out`; it tells nothing but what `encoded` and `watch` are told.
///
/// # Errors
/// As the command; [`decap::Error::Interrupted`] when `stop` became true: `--resume` goes on from there.
pub fn train_captions(
    captions: &[String],
    out: &Path,
    options: impl IntoIterator<Item = OsString>,
    encoded: impl FnMut(EncodingProgress),
    watch: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<TrainingReport, Failure> {
    let fixed = ["decap", "train", "texts", "--out"].map(OsString::from);
    let typed = fixed.into_iter().chain([out.into()]).chain(options);
    let cli = Cli::typed(typed).map_err(|error| Failure::Usage(error.to_string()))?;
    let Command::Train(args) = cli.command else {
        return Err(Failure::Usage("expected options of `decap train`".into()));
    };
    refuse_unfinished(&args)?;
    let encoder = open_encoder(&args.encoder, precision(&args))?;
    let foundation = foundation(&args, captions.len())?;
    let recipe = recipe(&args, &encoder, captions.len(), foundation.as_deref())?;
    recipe.train.validate()?;
    let report = train_model(&encoder, captions, &recipe, out, encoded, watch, stop);
    report.map_err(|error| of_resumable(error, TO_RESUME))
}

/// What captions are embedded in.
fn precision(args: &TrainArgs) -> Precision {
    args.precision.unwrap_or(match args.preset {
        PresetArg::Paper => Precision::F32,
        _ => Precision::Auto,
    })
}

/// The model to start from, as `--from` names it.
fn foundation(args: &TrainArgs, captions: usize) -> Result<Option<String>, Failure> {
    match args.from.as_deref() {
        Some("none") => return Ok(None),
        Some(model) => return Ok(Some(model.to_owned())),
        None => {}
    }
    let is_asked_for_nothing_else = args.width.is_none()
        && args.layers.is_none()
        && args.heads.is_none()
        && args.vocabulary != Some(VocabularyArg::Encoder);
    if args.preset == PresetArg::Paper || captions >= SMALL || !is_asked_for_nothing_else {
        return Ok(None);
    }
    let is_model = KnownPlaces.find(&args.encoder).is_ok_and(|folder| {
        [MODEL_FILE, CONFIG_FILE]
            .iter()
            .all(|name| folder.contains(name))
    });
    Ok(is_model.then(|| args.encoder.clone()))
}

const TO_RESUME: &str = "the same command with --resume goes on from here";

fn of_resumable(error: decap::Error, to_resume: &'static str) -> Failure {
    Failure::of_resumable(
        error,
        to_resume,
        "give the captions and options that the run began with, or train into a new folder",
    )
}

/// Says how long it will take, where that is worth a look.
fn tell_estimate(
    encoder: &Encoder,
    captions: &[String],
    recipe: &ModelRecipe,
) -> Result<(), Failure> {
    /// Few steps are done before an estimate is read.
    const FEWEST_STEPS: u64 = 500;
    if print::is_quiet() || Estimate::steps_of(captions.len(), recipe) < FEWEST_STEPS {
        return Ok(());
    }
    let estimate = estimate(encoder, captions, recipe)?;
    print::tell(format!(
        "on this machine it takes about {} to embed the captions, less what the cache holds, and about {} \
         to train {} steps",
        HumanDuration(estimate.embedding),
        HumanDuration(estimate.training),
        HumanCount(estimate.steps),
    ));
    Ok(())
}

/// The library refuses this as well, but knows no options to name.
fn refuse_unfinished(args: &TrainArgs) -> Result<(), Failure> {
    let unfinished = args.out.join(CHECKPOINT_FILE).exists();
    if args.resume || !unfinished || args.out.join(MODEL_FILE).exists() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: there is an unfinished run already\n  --resume goes on with it; or choose another folder",
        args.out.display()
    )))
}

fn recipe(
    args: &TrainArgs,
    encoder: &Encoder,
    captions: usize,
    from: Option<&str>,
) -> Result<ModelRecipe, Failure> {
    let tau = args.tau.unwrap_or(encoder.tau());
    let fast = || TrainOptions::fast_for(captions);
    let (mut train, writing) = match args.preset {
        PresetArg::Fast => (fast(), Writing::fast()),
        PresetArg::Robust => (fast().robust(tau), Writing::fast()),
        PresetArg::Capdec => (fast().capdec(), Writing::fast()),
        PresetArg::Paper => (TrainOptions::paper(), Writing::default()),
    };
    let foundation = match from {
        None => None,
        Some(model) => {
            train = train.from_trained(captions);
            Some(Arc::new(Foundation::open(&find_folder(model)?, encoder)?))
        }
    };
    match args.vocabulary {
        Some(VocabularyArg::Encoder) => train.vocabulary = VocabularyChoice::Corpus,
        Some(VocabularyArg::Captions) => train.vocabulary = TrainOptions::fast().vocabulary,
        None => {}
    }
    // Who asks for so many passes gets them.
    let least_steps = args.epochs.map_or(train.least_steps, |_| 0);
    train.least_steps = args.least_steps.unwrap_or(least_steps);
    if let Some(precision) = args.precision {
        train.precision = match precision {
            Precision::F32 => TrainingPrecision::F32,
            _ => TrainingPrecision::Bf16,
        };
    }
    train.epochs = args.epochs.unwrap_or(train.epochs);
    train.max_steps = args.max_steps;
    train.batch_size = args.batch.unwrap_or(train.batch_size);
    train.learning_rate = args.learning_rate.unwrap_or(train.learning_rate);
    if let Some(variance) = args.noise_variance {
        (train.noise_variance, train.noise_cosine) = (variance, None);
    }
    train.noise_cosine = args.noise_cosine.or(train.noise_cosine);
    match args.prefix {
        Some(PrefixArg::Own) => train.prefix = PrefixChoice::Own,
        Some(PrefixArg::Projected) => train = train.robust(tau),
        None => {}
    }
    train.width = args.width.unwrap_or(train.width);
    train.num_layers = args.layers.unwrap_or(train.num_layers);
    train.num_heads = args.heads.unwrap_or(train.num_heads);
    train.held_out = args.held_out.unwrap_or(train.held_out);
    train.checkpoint_every = args.checkpoint_every.unwrap_or(train.checkpoint_every);
    train.seed = args.seed;
    train.weights_dtype = args.weights_dtype;
    let name = args
        .out
        .file_name()
        .unwrap_or(args.out.as_os_str())
        .to_string_lossy();
    Ok(ModelRecipe {
        name: name.into_owned(),
        encoder_reference: encoder_reference(&args.encoder),
        captions_from: names(&args.captions),
        preset: args.preset.name().to_owned(),
        train,
        foundation,
        start: if args.resume {
            Start::Resume
        } else {
            Start::Fresh
        },
        memory: {
            let mut options = MemoryOptions::default();
            options.max_rows = args.memory.memory_rows;
            options.seed = args.seed;
            options.dtype = args.memory.memory_dtype;
            options
        },
        tau,
        writing,
        cache: cache_folder(args.cache.as_deref())?,
    })
}

/// A folder or file by its full path, so that the model finds it from anywhere; a name as it is.
pub fn encoder_reference(typed: &str) -> String {
    let path = Path::new(typed);
    let full = if path.is_dir() {
        path.canonicalize()
    } else if path.is_file() {
        // In a Hub cache a file is a link, whose target lacks the files beside it.
        std::path::absolute(path)
    } else {
        return typed.to_owned();
    };
    full.map_or_else(
        |_| typed.to_owned(),
        |full| full.to_string_lossy().into_owned(),
    )
}

/// Draws the bar and says what was measured.
struct Watch {
    bar: ProgressBar,
    /// Since when steps are done; nothing once the time that is left was told.
    began: Option<Instant>,
}

impl Progress for Watch {
    fn started(&mut self, plan: &Plan) {
        print::tell(format!(
            "decoder of {:.1} million parameters, {} captions to learn, {} held out{}",
            plan.config.num_parameters() as f64 / 1e6,
            plan.training_captions,
            plan.held_out_captions,
            match plan.rehearsed_captions {
                0 => String::new(),
                count => format!(", {count} to rehearse"),
            }
        ));
        if plan.captions_left_out > 0 {
            print::tell(format!(
                "left out {} captions that are empty or too long",
                plan.captions_left_out
            ));
        }
        if plan.steps_done > 0 {
            print::tell(format!(
                "resuming after step {} of {}",
                plan.steps_done, plan.steps
            ));
        }
        self.bar = progress::bar(plan.steps, "steps");
        self.bar.set_position(plan.steps_done);
        self.bar.reset_eta();
        self.began = Some(Instant::now());
    }

    fn stepped(&mut self, report: &StepReport) {
        /// By then steps have their usual speed, and a person still looks.
        const FIRST_STEPS: Duration = Duration::from_secs(20);
        const WORTH_TELLING: Duration = Duration::from_secs(120);
        if self
            .began
            .is_some_and(|began| began.elapsed() >= FIRST_STEPS)
        {
            self.began = None;
            if report.remaining >= WORTH_TELLING {
                let left = HumanDuration(report.remaining);
                self.bar.suspend(|| {
                    print::tell(format!("about {left} left, by the steps so far"));
                });
            }
        }
        self.bar.set_position(report.step);
        self.bar.set_message(format!(
            "loss {:.3}, {:.0} captions/s",
            report.smoothed_loss, report.captions_per_second
        ));
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        self.bar.suspend(|| {
            print::tell(format!(
                "step {}: held-out loss {:.3}, token accuracy {:.3}, reconstruction BLEU-4 {:.3}",
                evaluation.step,
                evaluation.loss,
                evaluation.token_accuracy,
                evaluation.reconstruction_bleu4
            ));
        });
    }
}
