//! `decap search`: photos that show what is asked for.

use std::path::{Path, PathBuf};

use decap::pipeline::ReadOptions;
use decap_eval::{EvalItem, EvalSet, PhotoOptions, encode_photos};
use serde_json::json;

use crate::args::SearchArgs;
use crate::cache::cache_folder;
use crate::encoder::open_encoder;
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{self, Depth};
use crate::name;
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Where photos' embeddings are kept, within the cache folder.
const PHOTOS: &str = "photos";

/// Runs the command.
pub fn run(args: &SearchArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    if args.words.trim().is_empty() {
        return Err(Failure::Usage(
            "expected words to search for, got none".to_owned(),
        ));
    }
    let encoder = open_encoder(&args.encoder, args.precision.precision)?;
    let (paths, mut outcome) = list(args)?;
    if paths.is_empty() {
        // What is wrong with each path has been told.
        return Ok(outcome);
    }
    let query = encoder.encode_texts(&[args.words.trim()])?;
    let no_words = || Failure::Usage("expected words to search for, got none".to_owned());
    let query = query.get(0).ok_or_else(no_words)?;
    let mut read = ReadOptions::default();
    read.batch = args.batch;
    read.limits = args.limits.limits();
    read.video = args.limits.video(args.frames);
    let mut options = PhotoOptions::default();
    options.read = read;
    options.thumbnail_pixels = 0;
    let set = EvalSet {
        name: "photos".to_owned(),
        items: paths.iter().map(item).collect(),
        notes: Vec::new(),
        without_references: 0,
        benchmark: None,
    };
    let cache = cache_folder(args.cache.as_deref())?.join(PHOTOS);
    let bar = progress::bar(set.items.len() as u64, "photos");
    let mut show = |progress: decap_eval::EvalProgress<'_>| bar.set_position(progress.done as u64);
    let photos = encode_photos(
        &encoder,
        &set,
        &options,
        Some(&cache),
        &mut show,
        stop.flag(),
    )?;
    bar.finish_and_clear();
    for failure in &photos.failures {
        outcome = Outcome::SomeFailed;
        print::warn(format!("decap: {}", failure.message));
    }
    let mut found: Vec<(usize, f32)> = Vec::with_capacity(photos.items.len());
    for (row, &item) in photos.items.iter().enumerate() {
        let photo = photos.embeddings.get(row);
        found.extend(photo.map(|photo| (item, photo.cosine(&query))));
    }
    // Best first; among equals the first that was given.
    found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    for (place, score) in found.into_iter().take(args.top) {
        show_one(&paths[place], score, args)?;
    }
    Ok(outcome)
}

/// The photos and videos to search; what is wrong with a path is told.
fn list(args: &SearchArgs) -> Result<(Vec<PathBuf>, Outcome), Failure> {
    let depth = match args.recursive {
        true => Depth::Recursive,
        false => Depth::Flat,
    };
    let mut outcome = Outcome::AllWell;
    let mut paths = Vec::new();
    for input in inputs::expand(&args.paths, depth)? {
        match input {
            Ok(path) => paths.push(path),
            Err(error) => {
                outcome = Outcome::SomeFailed;
                print::warn(complaint(&error));
            }
        }
    }
    Ok((paths, outcome))
}

/// A photo under the path by which its embedding is kept, wherever the command is run.
fn item(path: &PathBuf) -> EvalItem {
    EvalItem {
        id: String::new(),
        path: std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
        references: Vec::new(),
    }
}

fn show_one(path: &Path, score: f32, args: &SearchArgs) -> Result<(), Failure> {
    let printed = name::of(path);
    match args.json {
        true => print::line(json!({ "path": printed, "score": score }))?,
        false => print::line(format!("{score:.4}  {printed}"))?,
    }
    if args.open
        && let Err(source) = open::that_detached(path)
    {
        print::warn(complaint(&decap::Error::io(path, source)));
    }
    Ok(())
}
