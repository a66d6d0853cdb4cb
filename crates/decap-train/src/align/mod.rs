//! Two frozen towers into one space, from photo-caption pairs.
//!
//! The towers' features are computed once and kept. What learns is a small head on each side, by
//! the symmetric contrastive loss of CLIP with a learned temperature. [`align`] does all of it,
//! from the pairs to a finished encoder folder.

mod cache;
mod contrast;
mod features;
mod fit;
mod folder;
mod head;
mod options;
mod pairs;
mod recall;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

pub use options::AlignOptions;
pub use pairs::{Pair, Split, read_pairs};
pub use recall::Recalls;

use decap::random::RandomStream;
use decap::{Error, Result};
use features::{Described, Features, image_features, text_features};

/// What is brought together.
#[derive(Debug, Clone)]
pub struct AlignInputs {
    /// Files of pairs, as [`read_pairs`] reads them.
    pub pairs: Vec<PathBuf>,
    /// JSON descriptions of ONNX image towers
    /// ([`ImageTowerDescription`](decap::encoder::ImageTowerDescription)), files relative to
    /// them. The features of several are put side by side.
    pub image_towers: Vec<PathBuf>,
    /// JSON description of an ONNX text tower
    /// ([`TextTowerDescription`](decap::encoder::TextTowerDescription)).
    pub text_tower: PathBuf,
    /// Folder that keeps the towers' features for the next run.
    pub cache: Option<PathBuf>,
}

/// What aligning tells while it runs. Every method has an empty default; `()` listens to none.
pub trait AlignProgress {
    /// So many of the photos or captions have gone through their tower.
    fn advanced(&mut self, _stage: Stage, _done: usize, _total: usize) {}
    /// A photo cannot be used and is left out.
    fn photo_failed(&mut self, _photo: &FailedPhoto) {}
    /// A pass over the pairs is done.
    fn epoch_done(&mut self, _epoch: &EpochReport) {}
}

impl AlignProgress for () {}

/// What goes through a tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Photos through an image tower; with several towers, once each.
    Photos,
    /// Captions through the text tower.
    Captions,
}

/// A photo that cannot be used.
#[derive(Debug)]
pub struct FailedPhoto {
    /// The photo.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

/// How a pass over the pairs went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochReport {
    /// Passes done, this one included.
    pub epoch: usize,
    /// Passes in all.
    pub epochs: usize,
    /// Mean loss of the pass.
    pub loss: f64,
    /// The scale of the logits, one over the temperature.
    pub logit_scale: f32,
    /// Recall on the development photos.
    pub dev: Recalls,
}

/// What aligning made.
#[derive(Debug, Serialize)]
pub struct AlignReport {
    /// Photos learned from, class photos included.
    pub train_photos: usize,
    /// Class photos among them.
    pub class_photos: usize,
    /// Captions learned from.
    pub train_captions: usize,
    /// Photos that could not be used.
    #[serde(skip)]
    pub failed: Vec<FailedPhoto>,
    /// The pass whose heads were kept, from 1.
    pub best_epoch: usize,
    /// Passes done.
    pub epochs: usize,
    /// The scale of the logits that was learned.
    pub logit_scale: f32,
    /// Recall on the development photos, with the heads that were kept.
    pub dev: Recalls,
    /// Recall on the photos held out, where there are any.
    pub test: Option<Recalls>,
    /// The fingerprint of the encoder that was written.
    pub fingerprint: String,
}

/// Photos, captions and their features, ready to learn from.
struct Dataset {
    /// `[photos * views, image features]`.
    images: Features,
    views: usize,
    /// `[captions, text features]`.
    texts: Features,
    /// The rows of `texts` that belong to each photo.
    captions: Vec<Vec<usize>>,
    train: Vec<usize>,
    class: Vec<usize>,
    dev: Vec<usize>,
    test: Vec<usize>,
}

/// Brings the towers of `inputs` into one space and writes the encoder into the folder `out`.
///
/// A photo that cannot be used is reported and left out. The result is the same for any number
/// of threads. When `stop` becomes true, [`Error::Interrupted`] is returned; features computed
/// until then are in the cache.
///
/// # Errors
/// [`Error::Usage`] for options that make no sense, too few pairs, or a folder `out` that holds
/// anything but an encoder of its making, which is replaced; [`Error::Input`] for files
/// of pairs that cannot be read; [`Error::Model`] for towers that cannot; [`Error::Io`].
pub fn align(
    inputs: &AlignInputs,
    options: &AlignOptions,
    out: &Path,
    progress: &mut dyn AlignProgress,
    stop: &AtomicBool,
) -> Result<AlignReport> {
    options.validate()?;
    folder::check_out(out)?;
    let mut pairs = Vec::new();
    for path in &inputs.pairs {
        pairs.extend(read_pairs(path)?);
    }
    let image_towers = inputs
        .image_towers
        .iter()
        .map(|path| Described::read(path))
        .collect::<Result<Vec<_>>>()?;
    let text_tower = Described::read(&inputs.text_tower)?;
    if image_towers.is_empty() {
        return Err(Error::Usage("expected an image tower, got none".into()));
    }

    let cache = inputs.cache.as_deref();
    let photos: Vec<PathBuf> = pairs.iter().map(|pair| pair.image.clone()).collect();
    let (images, failed) =
        image_features(&image_towers, &photos, options.views, cache, progress, stop)?;
    let (distinct, captions) = distinct_captions(&pairs);
    let texts = text_features(&text_tower, &distinct, cache, progress, stop)?;

    let dataset = split(&pairs, images, texts, captions, &failed, options)?;
    let fitted = fit::fit(&dataset, options, progress, stop)?;
    let test = (!dataset.test.is_empty())
        .then(|| {
            fit::measure(
                &dataset,
                &dataset.test,
                &fitted.image,
                &fitted.text,
                options,
            )
        })
        .transpose()?;
    let fingerprint = folder::write_encoder(out, &image_towers, &text_tower, &fitted, options)?;
    Ok(AlignReport {
        train_photos: dataset.train.len() + dataset.class.len(),
        class_photos: dataset.class.len(),
        train_captions: dataset
            .train
            .iter()
            .chain(&dataset.class)
            .map(|&photo| dataset.captions[photo].len())
            .sum(),
        failed,
        best_epoch: fitted.best_epoch,
        epochs: fitted.epochs,
        logit_scale: fitted.logit_scale,
        dev: fitted.dev,
        test,
        fingerprint,
    })
}

/// The different captions in order of appearance, and which of them belong to each pair.
fn distinct_captions(pairs: &[Pair]) -> (Vec<&str>, Vec<Vec<usize>>) {
    let mut rows: HashMap<&str, usize> = HashMap::new();
    let mut distinct = Vec::new();
    let captions = pairs
        .iter()
        .map(|pair| {
            let mut own = Vec::with_capacity(pair.captions.len());
            for caption in &pair.captions {
                let row = *rows.entry(caption.as_str()).or_insert_with(|| {
                    distinct.push(caption.as_str());
                    distinct.len() - 1
                });
                own.push(row);
            }
            own
        })
        .collect();
    (distinct, captions)
}

/// Sorts the usable photos by what they are for; where none is for development, some of those
/// to learn from are set aside.
fn split(
    pairs: &[Pair],
    images: Features,
    texts: Features,
    captions: Vec<Vec<usize>>,
    failed: &[FailedPhoto],
    options: &AlignOptions,
) -> Result<Dataset> {
    /// With fewer photos there is nothing to tell apart.
    const FEWEST_PHOTOS: usize = 4;

    let failed: HashSet<&Path> = failed.iter().map(|photo| photo.path.as_path()).collect();
    let of = |split: Split| -> Vec<usize> {
        let usable = |&photo: &usize| {
            pairs[photo].split == split && !failed.contains(pairs[photo].image.as_path())
        };
        (0..pairs.len()).filter(usable).collect()
    };
    let (mut train, mut dev) = (of(Split::Train), of(Split::Dev));
    if dev.is_empty() {
        let random = RandomStream::new(&[options.seed, fit::Purpose::Development as u64]);
        let aside = |photo: &usize| random.uniform(*photo as u64) < f64::from(options.dev_share);
        (dev, train) = train.iter().partition(|&photo| aside(photo));
    }
    if train.len() < FEWEST_PHOTOS || dev.is_empty() {
        return Err(Error::Usage(format!(
            "expected at least {FEWEST_PHOTOS} photos to learn from and one to measure on, got {} \
             and {}, while {} cannot be used",
            train.len(),
            dev.len(),
            failed.len()
        )));
    }
    let (class, test) = (of(Split::Class), of(Split::Test));
    let class = if options.class_repeats > 0 {
        class
    } else {
        Vec::new()
    };
    Ok(Dataset {
        images,
        views: options.views,
        texts,
        captions,
        train,
        class,
        dev,
        test,
    })
}

#[cfg(test)]
mod tests;
