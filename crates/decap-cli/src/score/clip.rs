//! CLIPScore of predictions, from a folder of photos.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use caption_metrics::{References, Scores};
use decap::Precision;
use decap_eval::{
    ClipScores, EvalItem, EvalSet, Part, PhotoOptions, SetOptions, clip_score_note, encode_photos,
    find_photo,
};

use crate::args::ScoreArgs;
use crate::encoder::open_encoder;
use crate::failure::Failure;
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// CLIPScore and RefCLIPScore of each scored image, where `--photos` and `--encoder` ask for them.
///
/// # Errors
/// Where a photo is not there or cannot be read: a mean over some of them would mislead.
pub fn scores(
    args: &ScoreArgs,
    references_file: &Path,
    references: &References,
    scores: &mut Scores,
) -> Result<Option<ClipScores>, Failure> {
    let (Some(folder), Some(encoder)) = (&args.photos, &args.encoder) else {
        return Ok(None);
    };
    let encoder = open_encoder(encoder, Precision::F32)?;
    let paths = paths_in(references_file, folder);
    let captions: HashMap<&str, &Vec<String>> = references
        .images()
        .iter()
        .map(|image| (image.id.as_str(), &image.captions))
        .collect();
    let items = scores.images.iter().map(|image| EvalItem {
        id: image.id.clone(),
        path: match paths.get(&image.id) {
            Some(path) => path.clone(),
            None => find_photo(folder, &image.id),
        },
        references: captions[image.id.as_str()].clone(),
    });
    let set = EvalSet::new("photos", items.collect())?;
    let bar = progress::bar(set.items.len() as u64, "photos");
    let mut options = PhotoOptions::default();
    options.thumbnail_pixels = 0;
    let stop = Stop::on_ctrl_c();
    let mut show = |progress: decap_eval::EvalProgress<'_>| bar.set_position(progress.done as u64);
    let photos = encode_photos(&encoder, &set, &options, None, &mut show, stop.flag())?;
    bar.finish_and_clear();
    if let Some(first) = photos.failures.first() {
        return Err(Failure::Scoring(format!(
            "CLIPScore: {} photos cannot be read; the first: {}",
            photos.failures.len(),
            first.message
        )));
    }
    let texts = scores.images.iter().map(|image| image.prediction.as_str());
    let texts: Vec<&str> = texts.collect();
    let references = set.items.iter().map(|item| item.references.as_slice());
    let references: Vec<&[String]> = references.collect();
    let clip_scores = ClipScores::new(&encoder, &photos.embeddings, &texts, &references)?;
    if let Some(note) = clip_score_note(&encoder) {
        print::tell(format!("decap: {note}"));
        scores.notes.push(note);
    }
    Ok(Some(clip_scores))
}

/// Where the references name photos, their paths by id; else nothing.
fn paths_in(references: &Path, folder: &Path) -> HashMap<String, PathBuf> {
    let mut options = SetOptions::default();
    options.photos = Some(folder.to_path_buf());
    options.part = Part::All;
    match EvalSet::read(&[references.to_path_buf()], &options) {
        Ok(set) => set
            .items
            .into_iter()
            .map(|item| (item.id, item.path))
            .collect(),
        // Other forms of references name no photos: they are looked for by id.
        Err(_) => HashMap::new(),
    }
}
