//! `decap tune`: the settings of the projection that suit photos, or a memory's sentences.

use std::io::Write;
use std::path::Path;

use decap::model::ModelDescription;
use decap::pipeline::ReadOptions;
use decap::{CaptionOptions, Captioner, Method};
use decap_eval::{
    EvalProgress, EvalSet, Evaluator, MetricOptions, Part, PhotoOptions, SetOptions, Setting,
    Tuning, TuningGrid, encode_photos,
};
use serde_json::{Value, json};

use crate::args::TuneArgs;
use crate::bundled::BUNDLED;
use crate::cache::cache_folder;
use crate::caption::apply_writing;
use crate::encoder::{find_folder, memory_for, open_captioner};
use crate::failure::{Failure, Outcome};
use crate::name;
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Where photos' embeddings are kept, within the cache folder.
const PHOTOS: &str = "photos";

/// Runs the command.
pub fn run(args: &TuneArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    if args.save {
        check_can_save(args)?;
    }
    let set = match args.dataset.is_empty() {
        true => None,
        false => Some(read_set(args)?),
    };
    let cache = cache_folder(args.cache.as_deref())?;
    let mut captioner = open_captioner(&args.model, args.precision.precision)?;
    if let Some(memory) = &args.memory {
        captioner.set_memory(memory_for(captioner.encoder(), memory, &cache, &stop)?)?;
    }
    let captioner = captioner.ready_for_many();
    let grid = grid(args);
    let (setting, outcome) = match &set {
        Some(set) => on_photos(args, set, &captioner, &grid, &cache, &stop)?,
        None => (on_text(args, &captioner, &grid)?, Outcome::AllWell),
    };
    if args.save {
        save(args, setting)?;
    }
    Ok(outcome)
}

fn grid(args: &TuneArgs) -> TuningGrid {
    let mut grid = TuningGrid::default();
    if !args.taus.is_empty() {
        grid.taus.clone_from(&args.taus);
    }
    if !args.top_k.is_empty() {
        grid.top_k = args.top_k.iter().map(|nearest| nearest.0).collect();
    }
    if !args.query_expansion.is_empty() {
        grid.query_expansion.clone_from(&args.query_expansion);
    }
    grid
}

fn read_set(args: &TuneArgs) -> Result<EvalSet, Failure> {
    let mut options = SetOptions::default();
    options.photos = args.photos.clone();
    options.part = match args.split.as_deref() {
        None => Part::Named("val".to_owned()),
        Some("all") => Part::All,
        Some(name) => Part::Named(name.to_owned()),
    };
    let read = EvalSet::read(&args.dataset, &options);
    let mut set = match (read, args.split.is_none()) {
        (Err(_), true) => {
            // A file without splits, or without that one.
            options.part = Part::All;
            EvalSet::read(&args.dataset, &options)?
        }
        (read, _) => read?,
    };
    if let Some(limit) = args.limit {
        set.limit(limit);
    }
    for note in &set.notes {
        print::tell(format!("decap: {}", name::tame(note)));
    }
    Ok(set)
}

fn on_photos(
    args: &TuneArgs,
    set: &EvalSet,
    captioner: &Captioner,
    grid: &TuningGrid,
    cache: &Path,
    stop: &Stop,
) -> Result<(Setting, Outcome), Failure> {
    let mut read = ReadOptions::default();
    read.limits = args.limits.limits();
    read.video = args.limits.video(read.video.frames);
    let mut options = PhotoOptions::default();
    options.read = read;
    options.thumbnail_pixels = 0;
    let bar = progress::bar(set.items.len() as u64, "photos encoded");
    let mut show = |progress: EvalProgress<'_>| bar.set_position(progress.done as u64);
    let photos = encode_photos(
        captioner.encoder(),
        set,
        &options,
        Some(&cache.join(PHOTOS)),
        &mut show,
        stop.flag(),
    );
    bar.finish_and_clear();
    let photos = photos?;
    for failure in &photos.failures {
        print::warn(format!("decap: {}", failure.message));
    }
    let mut options: CaptionOptions = captioner.options();
    options.method = Method::Projection;
    options.evidence = 0;
    apply_writing(captioner, &args.generate, &mut options)?;
    options.rerank = args.rerank.map_or(options.rerank, |how| how.rerank());
    let evaluator = Evaluator::new(set, &photos, MetricOptions::default(), None)?;
    let bar = progress::bar(photos.items.len() as u64, "captions");
    let mut show = |progress: EvalProgress<'_>| bar.set_position(progress.done as u64);
    let tuning = evaluator.tune(captioner, &options, grid, &mut show, stop.flag());
    bar.finish_and_clear();
    let tuning = tuning?;
    match args.json {
        true => print::line(record(set, &tuning))?,
        false => print::lines(|output| table(output, &tuning))?,
    }
    let (setting, _) = &tuning.trials[tuning.best];
    tell_gain(&tuning);
    tell_setting(*setting, Some(tuning.nearness));
    let outcome = match photos.failures.is_empty() {
        true => Outcome::AllWell,
        false => Outcome::SomeFailed,
    };
    Ok((*setting, outcome))
}

fn table(output: &mut dyn Write, tuning: &Tuning) -> std::io::Result<()> {
    writeln!(
        output,
        "{:>7} {:>6} {:>9}   CIDEr   interval",
        "tau", "top-k", "expansion"
    )?;
    for (place, (setting, system)) in tuning.trials.iter().enumerate() {
        let note = note(place, tuning.best);
        if let Some(cider) = system.interval("CIDEr") {
            writeln!(
                output,
                "{} {:>7.1}   {:.1} to {:.1}{note}",
                columns(*setting),
                cider.value * 100.0,
                cider.low * 100.0,
                cider.high * 100.0
            )?;
        }
    }
    Ok(())
}

/// What stands behind a row of a table; the first is that of the model's own setting.
fn note(place: usize, best: usize) -> &'static str {
    match (place, place == best) {
        (0, true) => "   <- best, and the model's own",
        (0, false) => "   the model's own",
        (_, true) => "   <- best",
        _ => "",
    }
}

/// The setting, as wide as its header.
fn columns(setting: Setting) -> String {
    let top_k = setting
        .top_k
        .map_or_else(|| "all".to_owned(), |top_k| top_k.to_string());
    format!(
        "{:>7} {top_k:>6} {:>9}",
        setting.tau, setting.query_expansion
    )
}

/// Says what the best setting gains, and how sure that is.
fn tell_gain(tuning: &Tuning) {
    let Some(gain) = &tuning.gain else {
        print::tell("the model's own setting is the best of these");
        return;
    };
    let [difference, low, high] = [gain.difference, gain.low, gain.high].map(|value| value * 100.0);
    let sure = match low > 0.0 {
        true => "",
        false => ": it may be chance, more photos would tell",
    };
    print::tell(format!(
        "the best gains {difference:.1} CIDEr on these photos ({low:.1} to {high:.1}){sure}"
    ));
}

/// Says what to type for a setting, and with the mean cosine of photos' projections to their captions, for training.
fn tell_setting(setting: Setting, nearness: Option<f32>) {
    let mut typed = format!("--tau {}", setting.tau);
    if let Some(top_k) = setting.top_k {
        typed += &format!(" --top-k {top_k}");
    }
    if setting.query_expansion > 0.0 {
        typed += &format!(" --query-expansion {}", setting.query_expansion);
    }
    print::tell(format!("to caption with it: {typed}, or tune with --save"));
    let mut typed = format!("decap train --preset robust --tau {}", setting.tau);
    if let Some(nearness) = nearness {
        typed += &format!(", or --preset fast --noise-cosine {nearness:.2}");
    }
    print::tell(format!("to train for it: {typed}"));
}

fn setting_record(setting: Setting) -> Value {
    let shown = |value: f32| value.to_string().parse::<f64>().unwrap_or(f64::from(value));
    json!({
        "tau": shown(setting.tau),
        "top_k": setting.top_k,
        "query_expansion": shown(setting.query_expansion),
    })
}

fn record(set: &EvalSet, tuning: &Tuning) -> Value {
    let trials = tuning.trials.iter().map(|(setting, system)| {
        let mut trial = setting_record(*setting);
        if let Some(cider) = system.interval("CIDEr") {
            trial["CIDEr"] = json!(cider.value);
            trial["interval"] = json!([cider.low, cider.high]);
        }
        trial
    });
    let (best, _) = &tuning.trials[tuning.best];
    let gain = tuning.gain.as_ref();
    json!({
        "dataset": set.name,
        "best": setting_record(*best),
        "gain": gain.map(|gain| json!({ "CIDEr": gain.difference, "interval": [gain.low, gain.high] })),
        "noise_cosine": tuning.nearness,
        "trials": trials.collect::<Vec<_>>(),
    })
}

/// Chooses on held-out sentences of the memory. Query expansion is left as it is: without photos it cannot be judged.
fn on_text(args: &TuneArgs, captioner: &Captioner, grid: &TuningGrid) -> Result<Setting, Failure> {
    let memory = captioner.memory();
    // A small memory keeps most of its sentences.
    let count = args.held_out.min(memory.len() / 10).max(1);
    let held_out = memory.hold_out(count, args.generate.seed)?;
    let start = Setting::of(&captioner.options());
    let mut grid = grid.clone();
    grid.query_expansion.clear();
    let mut trials: Vec<(Setting, f32)> = Vec::new();
    let best = grid.search(start, |setting| {
        let nearness = held_out.nearness(args.noise_cosine, setting.tau, setting.top_k)?;
        trials.push((setting, nearness));
        Ok::<_, decap::Error>(f64::from(nearness))
    })?;
    let (setting, _) = trials[best];
    if args.json {
        let trials = trials.iter().map(|(setting, nearness)| {
            let mut trial = setting_record(*setting);
            trial["cosine"] = json!(nearness);
            trial
        });
        print::line(json!({
            "dataset": null,
            "best": setting_record(setting),
            "trials": trials.collect::<Vec<_>>(),
        }))?;
    } else {
        print::lines(|output| {
            writeln!(
                output,
                "{:>7} {:>6}   cosine of {count} sentences with their projections",
                "tau", "top-k"
            )?;
            for (place, (setting, nearness)) in trials.iter().enumerate() {
                let note = note(place, best);
                let top_k = setting
                    .top_k
                    .map_or_else(|| "all".to_owned(), |top_k| top_k.to_string());
                writeln!(
                    output,
                    "{:>7} {top_k:>6}   {nearness:.3}{note}",
                    setting.tau
                )?;
            }
            Ok(())
        })?;
    }
    print::tell(
        "without photos this is an estimate: a few hundred photos with captions are a better judge",
    );
    tell_setting(setting, None);
    Ok(setting)
}

/// Refuses, before any work, to save into a model that is not a folder here, or settings found with another memory.
fn check_can_save(args: &TuneArgs) -> Result<(), Failure> {
    if args.memory.is_some() {
        let message = "--save keeps what suits the model's own memory: leave --memory out";
        return Err(Failure::Usage(message.to_owned()));
    }
    let folder = find_folder(&args.model)?;
    match args.model == BUNDLED || !folder.path("").is_dir() {
        true => Err(Failure::Usage(format!(
            "--save: {} cannot be changed; type what is found with each `caption`, or tune a model folder",
            args.model
        ))),
        false => Ok(()),
    }
}

fn save(args: &TuneArgs, setting: Setting) -> Result<(), Failure> {
    let folder = find_folder(&args.model)?;
    let mut description = ModelDescription::read(&folder)?;
    description.tau = setting.tau;
    description.writing.top_k = setting.top_k;
    description.writing.query_expansion = setting.query_expansion;
    let place = folder.path("");
    description.write(&place)?;
    print::tell(format!("wrote {}", place.join("model.json").display()));
    Ok(())
}
