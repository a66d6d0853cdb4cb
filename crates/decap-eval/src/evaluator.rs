//! Captions of one method, with their scores.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use caption_metrics::{
    Bootstrap, CLIP_SCORE_PROMPT, Comparison, Diversity, Interval, Meteor, Note, Options,
    Predictions, References, Scores, Spice, TrainingCaptions, clip_score, compare, diversity,
    interval_of_mean, intervals, ref_clip_score, score,
};

use super::captions::caption_photos;
use super::photos::EncodedPhotos;
use super::set::EvalSet;
use super::{EvalProgress, metrics_error};
use decap::Captioner;
use decap::Embeddings;
use decap::encoder::Encoder;
use decap::{Caption, CaptionOptions, Method};
use decap::{Error, Result};

/// Sentences encoded at a time for CLIPScore.
const SENTENCES_AT_A_TIME: usize = 256;

/// Which metrics, beside BLEU, ROUGE-L, CIDEr and diversity, and how sure they are.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MetricOptions {
    /// METEOR's data; without it there is no METEOR score.
    pub meteor: Option<Meteor>,
    /// The installed SPICE; without it there is no SPICE score.
    pub spice: Option<Spice>,
    /// How intervals and significance are found.
    pub bootstrap: Bootstrap,
    /// Captions that the decoder learned, to count the novel ones against.
    pub training: Option<TrainingCaptions>,
    /// Whether CLIPScore and RefCLIPScore are computed, by the captioner's own encoder.
    pub clip_score: ClipScoring,
}

/// Whether CLIPScore is computed; it takes the text tower over all captions and references.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClipScoring {
    /// No.
    #[default]
    Off,
    /// Yes.
    On,
}

/// One method's captions of all photos, and their scores.
#[derive(Debug, Clone)]
pub struct System {
    /// How the captions were made.
    pub options: CaptionOptions,
    /// The captions, `[photos]`.
    pub captions: Vec<Caption>,
    /// Scores over all photos and of each, in the photos' order.
    pub scores: Scores,
    /// The scores over all, CLIPScores too, and where they would lie on other photos of the kind.
    pub intervals: Vec<Interval>,
    /// How varied the captions are.
    pub diversity: Diversity,
    /// CLIPScore and RefCLIPScore, where they were asked for.
    pub clip_scores: Option<ClipScores>,
}

/// CLIPScore and RefCLIPScore of each photo, `[photos]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipScores {
    /// By the photo alone.
    pub clip: Vec<f64>,
    /// By photo and references.
    pub ref_clip: Vec<f64>,
}

/// Two methods on the same photos.
#[derive(Debug, Clone)]
pub struct SystemComparison {
    /// The first method.
    pub first: Method,
    /// The second method.
    pub second: Method,
    /// The second less the first, metric by metric.
    pub metrics: Vec<Comparison>,
}

/// Captions the photos of a set, and scores the captions.
pub struct Evaluator<'a> {
    set: &'a EvalSet,
    photos: &'a EncodedPhotos,
    references: References,
    metrics: MetricOptions,
    kept: Option<PathBuf>,
    reference_embeddings: OnceLock<Embeddings>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator of `photos`, which [`encode_photos`](super::encode_photos) made of `set`;
    /// captions are kept in the folder `kept`.
    ///
    /// # Errors
    /// [`Error::Usage`] where an id of the set occurs twice.
    pub fn new(
        set: &'a EvalSet,
        photos: &'a EncodedPhotos,
        metrics: MetricOptions,
        kept: Option<PathBuf>,
    ) -> Result<Self> {
        Ok(Self {
            set,
            photos,
            references: set.references_of(photos.items.iter().copied())?,
            metrics,
            kept,
            reference_embeddings: OnceLock::new(),
        })
    }

    /// How scores are computed.
    pub fn metrics(&self) -> &MetricOptions {
        &self.metrics
    }

    /// The photos' embeddings, `[photos, width]`.
    pub(super) fn embeddings(&self) -> &Embeddings {
        &self.photos.embeddings
    }

    /// What people wrote of each photo, `[photos]`.
    pub(super) fn own_captions(&self) -> impl Iterator<Item = &[String]> {
        let items = self.photos.items.iter();
        items.map(|&item| self.set.items[item].references.as_slice())
    }

    /// Captions all photos with `captioner` and scores the captions. The captioner's encoder is
    /// the one that encoded the photos.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for photos of another width, [`Error::Interrupted`] after `stop`, and
    /// what the captioner and the metrics say.
    pub fn evaluate(
        &self,
        captioner: &Captioner,
        options: &CaptionOptions,
        progress: &mut dyn FnMut(EvalProgress<'_>),
        stop: &AtomicBool,
    ) -> Result<System> {
        let captions = caption_photos(
            captioner,
            &self.photos.embeddings,
            options,
            self.kept.as_deref(),
            progress,
            stop,
        )?;
        let predictions = Predictions::new(
            self.photos
                .items
                .iter()
                .zip(&captions)
                .map(|(&item, caption)| (self.set.items[item].id.clone(), caption.text.clone())),
        )
        .map_err(metrics_error)?;
        let scoring = {
            let mut options = Options::default();
            options.meteor = self.metrics.meteor.clone();
            options.spice = self.metrics.spice.clone();
            options
        };
        let mut scores = score(&self.references, &predictions, &scoring).map_err(metrics_error)?;
        let clip_scores = match self.metrics.clip_score {
            ClipScoring::Off => None,
            ClipScoring::On => Some(self.clip_scores(captioner.encoder(), &captions)?),
        };
        if clip_scores.is_some() {
            scores.notes.extend(clip_score_note(captioner.encoder()));
        }
        let mut intervals = intervals(&scores, &self.metrics.bootstrap);
        intervals.extend(
            clip_scores
                .iter()
                .flat_map(|c| c.intervals(&self.metrics.bootstrap)),
        );
        Ok(System {
            options: options.clone(),
            intervals,
            diversity: diversity(&predictions, self.metrics.training.as_ref()),
            captions,
            scores,
            clip_scores,
        })
    }

    fn clip_scores(&self, encoder: &Encoder, captions: &[Caption]) -> Result<ClipScores> {
        if self.reference_embeddings.get().is_none() {
            let all = encode_prompted(encoder, self.references.captions())?;
            // Another thread may have been faster; its embeddings are the same.
            let _known = self.reference_embeddings.set(all);
        }
        let references = self.reference_embeddings.get();
        let references = references.into_iter().flat_map(Embeddings::rows);
        let images = self.references.images().iter();
        let texts = captions.iter().map(|caption| caption.text.as_str());
        ClipScores::from_embeddings(
            &self.photos.embeddings,
            &encode_prompted(encoder, texts)?,
            references,
            images.map(|image| image.captions.len()),
        )
    }
}

/// What the reader of CLIPScores by `encoder` should know: whether they can be compared with published
/// ones.
pub fn clip_score_note(encoder: &Encoder) -> Option<Note> {
    /// The names under which OpenAI's ViT-B/32 comes: from the Hub, as a folder, as a file.
    const OF_PUBLISHED_FIGURES: [&str; 3] = [
        "openai/clip-vit-base-patch32",
        "clip-vit-base-patch32",
        "ViT-B-32",
    ];
    let name = encoder.name();
    (!OF_PUBLISHED_FIGURES.contains(&name)).then(|| Note::ClipEncoder(name.to_owned()))
}

impl ClipScores {
    /// CLIPScore and RefCLIPScore of `captions` `[photos]` of the photos with the embeddings
    /// `photos` `[photos, width]` by `encoder`, with `references` `[photos][references]`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where numbers or widths differ, and as [`Encoder::encode_texts`].
    pub fn new(
        encoder: &Encoder,
        photos: &Embeddings,
        captions: &[&str],
        references: &[&[String]],
    ) -> Result<Self> {
        if photos.len() != captions.len() || photos.len() != references.len() {
            return Err(Error::Mismatch(format!(
                "expected a caption and references for each of {} photos, got {} and {}",
                photos.len(),
                captions.len(),
                references.len()
            )));
        }
        let all = references.iter().copied().flatten().map(String::as_str);
        let embedded = encode_prompted(encoder, all)?;
        Self::from_embeddings(
            photos,
            &encode_prompted(encoder, captions.iter().copied())?,
            embedded.rows(),
            references.iter().map(|references| references.len()),
        )
    }

    /// `references` are all references one after the other, `counts` how many each photo has.
    fn from_embeddings<'e>(
        photos: &Embeddings,
        captions: &Embeddings,
        mut references: impl Iterator<Item = &'e [f32]>,
        counts: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let mut scores = Self {
            clip: Vec::with_capacity(photos.len()),
            ref_clip: Vec::with_capacity(photos.len()),
        };
        for ((photo, caption), count) in photos.rows().zip(captions.rows()).zip(counts) {
            let own: Vec<&[f32]> = references.by_ref().take(count).collect();
            let clip = clip_score(photo, caption);
            let ref_clip = ref_clip_score(photo, caption, own);
            let (Some(clip), Some(ref_clip)) = (clip, ref_clip) else {
                let message = "expected photos and sentences of one width for CLIPScore";
                return Err(Error::Mismatch(message.to_owned()));
            };
            scores.clip.push(clip);
            scores.ref_clip.push(ref_clip);
        }
        Ok(scores)
    }

    /// The means of both, by the field's names.
    pub fn means(&self) -> [(&'static str, f64); 2] {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        [
            ("CLIPScore", mean(&self.clip)),
            ("RefCLIPScore", mean(&self.ref_clip)),
        ]
    }

    /// The means of both, and where they would lie on other photos.
    pub fn intervals(&self, bootstrap: &Bootstrap) -> [Interval; 2] {
        [
            interval_of_mean("CLIPScore", &self.clip, bootstrap),
            interval_of_mean("RefCLIPScore", &self.ref_clip, bootstrap),
        ]
    }
}

impl System {
    /// The interval of a metric, by the field's name.
    pub fn interval(&self, metric: &str) -> Option<&Interval> {
        self.intervals.iter().find(|one| one.metric == metric)
    }
}

/// Compares each pair of `systems`, which one evaluator made, by the paired bootstrap.
///
/// # Errors
/// [`Error::Usage`] where they are of different photos.
pub fn compare_systems(systems: &[System], bootstrap: &Bootstrap) -> Result<Vec<SystemComparison>> {
    let mut comparisons = Vec::new();
    for (place, second) in systems.iter().enumerate() {
        for first in &systems[..place] {
            comparisons.push(SystemComparison {
                first: first.options.method,
                second: second.options.method,
                metrics: compare(&first.scores, &second.scores, bootstrap)
                    .map_err(metrics_error)?,
            });
        }
    }
    Ok(comparisons)
}

/// The embeddings of sentences behind CLIPScore's prompt.
fn encode_prompted<'t>(
    encoder: &Encoder,
    texts: impl Iterator<Item = &'t str>,
) -> Result<Embeddings> {
    let texts: Vec<String> = texts
        .map(|text| format!("{CLIP_SCORE_PROMPT}{text}"))
        .collect();
    let mut embeddings = Embeddings::empty(encoder.width());
    for chunk in texts.chunks(SENTENCES_AT_A_TIME) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        embeddings.extend(&encoder.encode_texts(&chunk)?)?;
    }
    Ok(embeddings)
}
