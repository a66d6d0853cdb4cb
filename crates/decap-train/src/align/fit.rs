//! The loop in which the heads learn.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use decap_kernels::AdamW;

use super::contrast::contrast;
use super::head::{Dropout, TrainedHead};
use super::{AlignOptions, AlignProgress, Dataset, EpochReport, Recalls};
use decap::Embeddings;
use decap::encoder::{Head, ImageViews, LearnedHead};
use decap::random::RandomStream;
use decap::{Error, Result};

/// Heads that have learned.
pub(super) struct Fitted {
    pub(super) image: LearnedHead,
    pub(super) text: LearnedHead,
    pub(super) logit_scale: f32,
    pub(super) best_epoch: usize,
    pub(super) epochs: usize,
    pub(super) dev: Recalls,
}

/// What random numbers are drawn for, so that no two uses share them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Development = 1,
    ImageHead = 2,
    TextHead = 3,
    Order = 4,
    Choice = 5,
    ImageInput = 6,
    ImageHidden = 7,
    TextInput = 8,
    TextHidden = 9,
    Negatives = 10,
}

/// Learns both heads from the training photos; keeps those of the pass with the best recall on
/// the development photos.
pub(super) fn fit(
    dataset: &Dataset,
    options: &AlignOptions,
    progress: &mut dyn AlignProgress,
    stop: &AtomicBool,
) -> Result<Fitted> {
    let random =
        |purpose: Purpose, time: u64| RandomStream::new(&[options.seed, purpose as u64, time]);
    let (mut image, mut text) = new_heads(dataset, options);
    let mut log_scale = LogScale::new(options);
    let steps_an_epoch = epoch_order(dataset, options, 0)
        .len()
        .div_ceil(options.batch);
    let steps = (steps_an_epoch * options.epochs) as u64;

    let mut best: Option<Fitted> = None;
    let mut step = 0;
    for epoch in 1..=options.epochs {
        let order = epoch_order(dataset, options, epoch as u64);
        let mut loss = 0.0;
        for photos in order.chunks(options.batch) {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let mut batch = choose(dataset, photos, random(Purpose::Choice, step));
            let negatives = random(Purpose::Negatives, step);
            add_negatives(&mut batch, dataset, photos, options.negatives, negatives);
            let dropout = |input, hidden| Dropout {
                rate: options.dropout,
                input: random(input, step),
                hidden: random(hidden, step),
            };
            let image_dropout = dropout(Purpose::ImageInput, Purpose::ImageHidden);
            let text_dropout = dropout(Purpose::TextInput, Purpose::TextHidden);
            let images = image.forward(batch.images, Some(image_dropout));
            let texts = text.forward(batch.texts, Some(text_dropout));
            let found = contrast(
                &images.output,
                &texts.output,
                &batch.meanings,
                log_scale.value,
            );
            if !found.loss.is_finite() {
                let message = format!("the loss is {} in pass {epoch}", found.loss);
                return Err(Error::Usage(format!(
                    "{message}: expected a lower learning rate"
                )));
            }
            loss += found.loss * photos.len() as f64 / order.len() as f64;

            let settings = AdamW {
                learning_rate: learning_rate(options, step, steps),
                weight_decay: options.weight_decay,
                ..AdamW::default()
            };
            step += 1;
            image.update(&image.backward(&images, found.images), settings, step);
            text.update(&text.backward(&texts, found.texts), settings, step);
            log_scale.update(found.log_scale as f32, settings, step);
        }

        let dev = measure(dataset, &dataset.dev, &image.head, &text.head, options)?;
        let logit_scale = log_scale.value.exp();
        progress.epoch_done(&EpochReport {
            epoch,
            epochs: options.epochs,
            loss,
            logit_scale,
            dev,
        });
        if best.as_ref().is_none_or(|best| dev.sum() > best.dev.sum()) {
            let (image, text) = (image.head.clone(), text.head.clone());
            best = Some(Fitted {
                image,
                text,
                logit_scale,
                best_epoch: epoch,
                epochs: epoch,
                dev,
            });
        }
        if let Some(best) = &mut best {
            best.epochs = epoch;
            if options
                .patience
                .is_some_and(|patience| epoch - best.best_epoch >= patience)
            {
                break;
            }
        }
    }
    best.ok_or_else(|| Error::Usage("expected at least one pass, got none".into()))
}

/// New heads, standardised by what they learn from.
fn new_heads(dataset: &Dataset, options: &AlignOptions) -> (TrainedHead, TrainedHead) {
    let photos = || dataset.train.iter().chain(&dataset.class);
    let image_rows: Vec<usize> = photos()
        .flat_map(|photo| (0..dataset.views).map(move |it| photo * dataset.views + it))
        .collect();
    let text_rows: Vec<usize> = photos()
        .flat_map(|&photo| &dataset.captions[photo])
        .copied()
        .collect();
    let random = |purpose: Purpose| RandomStream::new(&[options.seed, purpose as u64]);
    let (width, image_units, text_units) =
        (options.width, options.image_hidden, options.text_hidden);
    (
        TrainedHead::new(
            &dataset.images,
            &image_rows,
            width,
            image_units,
            random(Purpose::ImageHead),
        ),
        TrainedHead::new(
            &dataset.texts,
            &text_rows,
            width,
            text_units,
            random(Purpose::TextHead),
        ),
    )
}

/// The photos of a pass, shuffled (Fisher and Yates); class photos as often as asked.
fn epoch_order(dataset: &Dataset, options: &AlignOptions, epoch: u64) -> Vec<usize> {
    let mut order = dataset.train.clone();
    for _ in 0..options.class_repeats {
        order.extend(&dataset.class);
    }
    let random = RandomStream::new(&[options.seed, Purpose::Order as u64, epoch]);
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64, last + 1));
    }
    order
}

struct Batch {
    images: Vec<f32>,
    /// A text for each image, then those that belong to none.
    texts: Vec<f32>,
    /// Equal where the texts are.
    meanings: Vec<usize>,
}

/// One view and one caption of each photo.
fn choose(dataset: &Dataset, photos: &[usize], random: RandomStream) -> Batch {
    let mut batch = Batch {
        images: Vec::new(),
        texts: Vec::new(),
        meanings: Vec::new(),
    };
    for (place, &photo) in photos.iter().enumerate() {
        let place = 2 * place as u64;
        let view = random.below(place, dataset.views);
        let captions = &dataset.captions[photo];
        let caption = captions[random.below(place + 1, captions.len())];
        batch
            .images
            .extend_from_slice(dataset.images.row(photo * dataset.views + view));
        batch.texts.extend_from_slice(dataset.texts.row(caption));
        batch.meanings.push(caption);
    }
    batch
}

/// Adds up to `count` captions of other photos, which none of the batch's images may be near to.
fn add_negatives(
    batch: &mut Batch,
    dataset: &Dataset,
    photos: &[usize],
    count: usize,
    random: RandomStream,
) {
    let own: HashSet<usize> = photos
        .iter()
        .flat_map(|&photo| &dataset.captions[photo])
        .copied()
        .collect();
    for draw in 0..count as u64 {
        let photo = dataset.train[random.below(2 * draw, dataset.train.len())];
        let captions = &dataset.captions[photo];
        let caption = captions[random.below(2 * draw + 1, captions.len())];
        if !own.contains(&caption) {
            batch.texts.extend_from_slice(dataset.texts.row(caption));
            batch.meanings.push(caption);
        }
    }
}

/// Rises in a line, then falls as a cosine to 0.
fn learning_rate(options: &AlignOptions, step: u64, steps: u64) -> f32 {
    let (position, warmup) = (
        step as f64 + 0.5,
        steps as f64 * f64::from(options.warmup_share),
    );
    let factor = if position < warmup {
        position / warmup
    } else {
        let progress = (position - warmup) / (steps as f64 - warmup);
        0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
    };
    (f64::from(options.learning_rate) * factor) as f32
}

/// The logarithm of the logits' scale, learned and kept below its limit.
struct LogScale {
    value: f32,
    moments: [f32; 2],
    maximum: f32,
}

impl LogScale {
    fn new(options: &AlignOptions) -> Self {
        Self {
            value: options.logit_scale.ln(),
            moments: [0.0; 2],
            maximum: options.max_logit_scale.ln(),
        }
    }

    fn update(&mut self, gradient: f32, settings: AdamW, step: u64) {
        let [first, second] = &mut self.moments;
        decap_kernels::adamw_step(
            std::slice::from_mut(&mut self.value),
            &[gradient],
            std::slice::from_mut(first),
            std::slice::from_mut(second),
            AdamW {
                weight_decay: 0.0,
                ..settings
            },
            step,
            1.0,
        );
        self.value = self.value.min(self.maximum);
    }
}

/// Recall on `photos`, seen as the finished encoder will see them.
pub(super) fn measure(
    dataset: &Dataset,
    photos: &[usize],
    image: &LearnedHead,
    text: &LearnedHead,
    options: &AlignOptions,
) -> Result<Recalls> {
    let embed = |head: &LearnedHead, rows: Vec<f32>| {
        let head = Head::Learned(Box::new(head.clone()));
        Embeddings::new(head.apply(rows)?, options.width)
    };
    let view = |view: usize| -> Result<Embeddings> {
        let rows = photos
            .iter()
            .flat_map(|photo| dataset.images.row(photo * dataset.views + view));
        embed(image, rows.copied().collect())
    };
    let mut images = view(0)?;
    if options.image_views == ImageViews::Mirrored && dataset.views > 1 {
        let mirrored = view(1)?;
        let sums = images
            .as_slice()
            .iter()
            .zip(mirrored.as_slice())
            .map(|(a, b)| a + b);
        images = Embeddings::new(sums.collect(), options.width)?;
    }
    let (mut texts, mut owners) = (Vec::new(), Vec::new());
    for (owner, &photo) in photos.iter().enumerate() {
        for &caption in &dataset.captions[photo] {
            texts.extend_from_slice(dataset.texts.row(caption));
            owners.push(owner);
        }
    }
    Ok(Recalls::measure(&images, &embed(text, texts)?, &owners))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let options = AlignOptions {
            learning_rate: 1.0,
            warmup_share: 0.5,
            ..AlignOptions::default()
        };
        let rates: Vec<f32> = (0..10)
            .map(|step| learning_rate(&options, step, 10))
            .collect();
        assert!(rates[..5].is_sorted());
        assert!(rates[5..].iter().rev().is_sorted());
        assert!(rates[4] > 0.8 && rates[9] < 0.05, "{rates:?}");
        let none = AlignOptions {
            warmup_share: 0.0,
            ..options
        };
        assert!(learning_rate(&none, 0, 10) > 0.9);
        let all = AlignOptions {
            warmup_share: 1.0,
            ..none
        };
        assert!((0..11).all(|step| learning_rate(&all, step, 10).is_finite()));
    }
}
