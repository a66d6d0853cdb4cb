//! All metrics of one system's predictions.

use crate::bleu::BleuStatistics;
use crate::captions::{MissingIds, Pair, Predictions, References, pair};
use crate::cider::cider;
use crate::document_frequencies::DocumentFrequencies;
use crate::error::{Error, Missing};
use crate::meteor::{MAX_WORDS, Meteor, MeteorStatistics};
use crate::ptb::PtbTokenizer;
use crate::rouge::rouge_l;
use crate::spice::Spice;
use crate::text::words;
use caption_words::{DocumentCounts, NgramCounts, Vocabulary};
use rayon::prelude::*;
use std::fmt;

/// How captions become words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenization {
    /// The Penn Treebank tokenizer: what published scores use.
    #[default]
    PennTreebank,
    /// None: the captions are tokens with spaces between already.
    Tokenized,
}

/// What to compute, and how.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// How captions become words.
    pub tokenization: Tokenization,
    /// What to do about ids that only one side has.
    pub missing_ids: MissingIds,
    /// CIDEr's document frequencies, where they are not to be counted over the references.
    pub document_frequencies: Option<DocumentFrequencies>,
    /// METEOR's data; without it there is no METEOR score.
    pub meteor: Option<Meteor>,
    /// The installed SPICE; without it there is no SPICE score.
    pub spice: Option<Spice>,
}

/// One value for each metric, of an image or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValues {
    /// BLEU-1 to BLEU-4, fractions, `[4]`.
    pub bleu: [f64; 4],
    /// METEOR, a fraction; `None` without its resources.
    pub meteor: Option<f64>,
    /// ROUGE-L, a fraction.
    pub rouge_l: f64,
    /// CIDEr-D; 10 is the best.
    pub cider: f64,
    /// SPICE, a fraction; `None` without its program.
    pub spice: Option<f64>,
}

impl MetricValues {
    /// The metrics that are present, by the field's names: `Bleu_1` to `Bleu_4`, `METEOR`,
    /// `ROUGE_L`, `CIDEr`, `SPICE`.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let [bleu_1, bleu_2, bleu_3, bleu_4] = self.bleu;
        [
            ("Bleu_1", Some(bleu_1)),
            ("Bleu_2", Some(bleu_2)),
            ("Bleu_3", Some(bleu_3)),
            ("Bleu_4", Some(bleu_4)),
            ("METEOR", self.meteor),
            ("ROUGE_L", Some(self.rouge_l)),
            ("CIDEr", Some(self.cider)),
            ("SPICE", self.spice),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// One image's scores.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageScores {
    /// The image's id.
    pub id: String,
    /// The scored caption, as it was given.
    pub prediction: String,
    /// Its metrics.
    pub values: MetricValues,
}

/// Something the reader of the scores should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// One image only: CIDEr weighs words by how rare they are among images, and is 0.
    OneImage,
    /// So many predictions have no word left after tokenizing.
    EmptyPredictions(usize),
    /// METEOR read the first thousand words only of so many captions.
    LongCaptions(usize),
    /// CLIPScore is by the encoder of this name, which is not that of published figures.
    ClipEncoder(String),
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneImage => formatter.write_str(
                "CIDEr of a single image is 0: it weighs words by how rare they are among images",
            ),
            Self::LongCaptions(count) => write!(
                formatter,
                "METEOR read the first {MAX_WORDS} words only of {count} captions"
            ),
            Self::ClipEncoder(name) => write!(
                formatter,
                "CLIPScore is by the encoder `{name}`; published figures are by CLIP ViT-B/32 of \
                 OpenAI, and figures of two encoders cannot be compared"
            ),
            Self::EmptyPredictions(count) => write!(formatter, "{count} predictions are empty"),
        }
    }
}

/// The scores of one system.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Over all images: corpus level for BLEU and METEOR, else the mean.
    pub corpus: MetricValues,
    /// Of each image, in the references' order.
    pub images: Vec<ImageScores>,
    /// Ids that were left out because only one side has them.
    pub missing: Missing,
    /// What the reader should know.
    pub notes: Vec<Note>,
    pub(crate) statistics: Vec<ImageStatistics>,
}

/// What corpus scores are made of, for one image.
#[derive(Clone, Debug)]
pub(crate) struct ImageStatistics {
    pub(crate) bleu: BleuStatistics,
    pub(crate) meteor: Option<MeteorStatistics>,
    pub(crate) rouge_l: f64,
    pub(crate) cider: f64,
    pub(crate) spice: Option<f64>,
}

/// Scores predictions against references.
///
/// ```
/// use caption_metrics::{Options, Predictions, References, score};
///
/// let references = References::new([
///     ("1".to_owned(), vec!["A dog runs on the grass.".to_owned()]),
///     ("2".to_owned(), vec!["Two cats sleep.".to_owned(), "Cats on a bed.".to_owned()]),
/// ])?;
/// let predictions = Predictions::new([
///     ("1".to_owned(), "a dog runs".to_owned()),
///     ("2".to_owned(), "two cats sleep on a bed".to_owned()),
/// ])?;
/// let scores = score(&references, &predictions, &Options::default())?;
/// assert!(scores.corpus.cider > 1.0);
/// assert_eq!(scores.corpus.meteor, None);
/// # Ok::<(), caption_metrics::Error>(())
/// ```
///
/// # Errors
/// Ids are missing on one side and [`Options::missing_ids`] refuses that, a prediction names an
/// image twice, there is nothing to score, or SPICE's program fails.
pub fn score(
    references: &References,
    predictions: &Predictions,
    options: &Options,
) -> Result<Scores, Error> {
    let (pairs, missing) = pair(references, predictions, options.missing_ids)?;
    let captions = tokenize(&pairs, options.tokenization);
    // Each has parts that one thread does alone: side by side they leave none idle.
    let (meteor, words) = rayon::join(
        || {
            let meteor = options.meteor.as_ref()?;
            Some(meteor.statistics(&captions.predictions, &captions.references))
        },
        || word_scores(&captions, options),
    );
    let spice = options
        .spice
        .as_ref()
        .map(|spice| spice.scores(&captions.predictions, &captions.references))
        .transpose()?;
    let statistics = words.into_iter().enumerate();
    let statistics: Vec<ImageStatistics> = statistics
        .map(|(index, words)| ImageStatistics {
            meteor: meteor.as_ref().map(|(statistics, _)| statistics[index]),
            spice: spice.as_ref().map(|scores| scores[index]),
            ..words
        })
        .collect();

    let images = pairs
        .iter()
        .zip(&statistics)
        .map(|(pair, statistics)| ImageScores {
            id: pair.id.to_owned(),
            prediction: pair.prediction.to_owned(),
            values: values([statistics].into_iter()),
        });
    Ok(Scores {
        corpus: values(statistics.iter()),
        images: images.collect(),
        missing,
        notes: notes(&captions, options, meteor.map_or(0, |(_, num_cut)| num_cut)),
        statistics,
    })
}

/// What BLEU, ROUGE-L and CIDEr are made of, for each image.
fn word_scores(captions: &Captions, options: &Options) -> Vec<ImageStatistics> {
    let mut vocabulary = Vocabulary::default();
    let numbered = captions.numbered(&mut vocabulary);
    let documents = match &options.document_frequencies {
        None => DocumentCounts::of_documents(&numbered.reference_counts),
        Some(frequencies) => frequencies.counts(&mut vocabulary),
    };
    let cider = cider(
        &numbered.prediction_counts,
        &numbered.reference_counts,
        &documents,
    );
    (0..captions.predictions.len())
        .into_par_iter()
        .map(|index| ImageStatistics {
            bleu: BleuStatistics::new(
                &numbered.prediction_counts[index],
                &numbered.reference_counts[index],
            ),
            rouge_l: rouge_l(&numbered.predictions[index], &numbered.references[index]),
            cider: cider[index],
            meteor: None,
            spice: None,
        })
        .collect()
}

/// The metrics of images together.
pub(crate) fn values<'a>(
    statistics: impl ExactSizeIterator<Item = &'a ImageStatistics>,
) -> MetricValues {
    let num_images = statistics.len().max(1) as f64;
    let (mut bleu, mut rouge_l, mut cider) = (BleuStatistics::default(), 0.0, 0.0);
    let mut meteor: Option<MeteorStatistics> = None;
    let mut spice: Option<f64> = None;
    for image in statistics {
        if let Some(one) = image.meteor {
            *meteor.get_or_insert_default() += one;
        }
        bleu += image.bleu;
        if let Some(one) = image.spice {
            *spice.get_or_insert_default() += one;
        }
        rouge_l += image.rouge_l;
        cider += image.cider;
    }
    MetricValues {
        bleu: bleu.bleu(),
        meteor: meteor.map(|meteor| meteor.score()),
        rouge_l: rouge_l / num_images,
        cider: cider / num_images,
        spice: spice.map(|sum| sum / num_images),
    }
}

fn notes(captions: &Captions, options: &Options, num_long: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    if captions.predictions.len() == 1 && options.document_frequencies.is_none() {
        notes.push(Note::OneImage);
    }
    let num_empty = captions
        .predictions
        .iter()
        .filter(|c| words(c).next().is_none())
        .count();
    if num_empty > 0 {
        notes.push(Note::EmptyPredictions(num_empty));
    }
    if num_long > 0 {
        notes.push(Note::LongCaptions(num_long));
    }
    notes
}

/// Tokenized captions.
struct Captions {
    /// `[images][references]`.
    references: Vec<Vec<String>>,
    /// `[images]`.
    predictions: Vec<String>,
}

fn tokenize(pairs: &[Pair<'_>], tokenization: Tokenization) -> Captions {
    let references = || {
        pairs
            .iter()
            .flat_map(|pair| pair.references.iter().map(String::as_str))
    };
    let predictions = || pairs.iter().map(|pair| pair.prediction);
    let (references, predictions) = match tokenization {
        Tokenization::Tokenized => (
            references().map(str::to_owned).collect::<Vec<String>>(),
            predictions().map(str::to_owned).collect(),
        ),
        // All captions in one text, as the reference does it.
        Tokenization::PennTreebank => rayon::join(
            || PtbTokenizer::new().tokenize_all(&references().collect::<Vec<_>>()),
            || PtbTokenizer::new().tokenize_all(&predictions().collect::<Vec<_>>()),
        ),
    };
    let mut rest = references.into_iter();
    let references = pairs
        .iter()
        .map(|pair| rest.by_ref().take(pair.references.len()).collect())
        .collect();
    Captions {
        references,
        predictions,
    }
}

/// Whether words are the same split at spaces and at any white space.
fn has_single_spaces(caption: &str) -> bool {
    let bytes = caption.as_bytes();
    bytes.iter().all(|&byte| matches!(byte, b' '..=b'~'))
        && !caption.is_empty()
        && !bytes.starts_with(b" ")
        && !bytes.ends_with(b" ")
        && !bytes.windows(2).any(|pair| pair == b"  ")
}

/// Captions as word numbers.
struct Numbered {
    /// Split at spaces, for ROUGE-L, `[images][references][words]`.
    references: Vec<Vec<Vec<u32>>>,
    /// `[images][words]`.
    predictions: Vec<Vec<u32>>,
    /// Split at white space, for BLEU and CIDEr, `[images][references]`.
    reference_counts: Vec<Vec<NgramCounts>>,
    /// `[images]`.
    prediction_counts: Vec<NgramCounts>,
}

impl Captions {
    fn numbered(&self, vocabulary: &mut Vocabulary) -> Numbered {
        let mut split = |caption: &str| {
            let at_spaces = vocabulary.numbers(caption.split(' '));
            let at_white_space = match has_single_spaces(caption) {
                true => at_spaces.clone(),
                false => vocabulary.numbers(words(caption)),
            };
            (at_spaces, at_white_space)
        };
        let (predictions, prediction_words): (Vec<_>, Vec<_>) = self
            .predictions
            .iter()
            .map(|caption| split(caption))
            .unzip();
        let (references, reference_words): (Vec<_>, Vec<Vec<_>>) = self
            .references
            .iter()
            .map(|captions| captions.iter().map(|caption| split(caption)).unzip())
            .unzip();
        Numbered {
            references,
            predictions,
            reference_counts: reference_words
                .par_iter()
                .map(|captions| {
                    captions
                        .iter()
                        .map(|words| NgramCounts::new(words))
                        .collect()
                })
                .collect(),
            prediction_counts: prediction_words
                .par_iter()
                .map(|words| NgramCounts::new(words))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(images: &[(&str, &[&str], &str)], options: &Options) -> Scores {
        let references = References::new(images.iter().map(|(id, captions, _)| {
            (
                (*id).to_owned(),
                captions.iter().map(|&caption| caption.to_owned()).collect(),
            )
        }));
        let predictions = Predictions::new(
            images
                .iter()
                .map(|&(id, _, text)| (id.to_owned(), text.to_owned())),
        );
        score(&references.unwrap(), &predictions.unwrap(), options).unwrap()
    }

    #[test]
    fn one_image_is_noted() {
        let found = scores(&[("1", &["a dog"], "a dog")], &Options::default());
        assert_eq!(found.notes, [Note::OneImage]);
        assert_eq!(found.corpus.cider, 0.0);
        assert!((found.corpus.rouge_l - 1.0).abs() < 1e-12);
    }

    #[test]
    fn empty_predictions_are_noted_and_score_nothing() {
        let images: [(&str, &[&str], &str); 3] = [
            ("1", &["a dog"], ""),
            ("2", &["a cat"], "..."),
            ("3", &["a bus"], "a bus"),
        ];
        let found = scores(&images, &Options::default());
        assert_eq!(found.notes, [Note::EmptyPredictions(2)]);
        assert_eq!(found.notes[0].to_string(), "2 predictions are empty");
        for image in &found.images[..2] {
            assert_eq!((image.values.bleu, image.values.cider), ([0.0; 4], 0.0));
        }
    }

    #[test]
    fn captions_of_100_000_words_are_scored() {
        let long = "dog cat ".repeat(50_000);
        let odd = "cat \0 dog bird ".repeat(33_000);
        let images: [(&str, &[&str], &str); 2] =
            [("1", &[&long, "a dog"], &odd), ("2", &["a cat"], "a cat")];
        let found = scores(&images, &Options::default());
        assert!(
            found.images[0].values.rouge_l > 0.5,
            "{:?}",
            found.images[0].values
        );
        assert!(found.images[0].values.bleu[0] > 0.5);
    }

    #[test]
    fn tokenized_captions_stay_as_they_are() {
        let options = Options {
            tokenization: Tokenization::Tokenized,
            ..Options::default()
        };
        let images: [(&str, &[&str], &str); 2] =
            [("1", &["A dog ."], "a dog ."), ("2", &["B"], "B")];
        let found = scores(&images, &options);
        assert!((found.images[0].values.bleu[0] - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn left_out_images_are_told() {
        let references = References::new(
            [("1", "a dog"), ("2", "a cat")].map(|(id, c)| (id.into(), vec![c.into()])),
        );
        let predictions =
            Predictions::new([("2", "a cat"), ("3", "a cow")].map(|(id, c)| (id.into(), c.into())));
        let options = Options {
            missing_ids: MissingIds::LeaveOut,
            ..Options::default()
        };
        let found = score(&references.unwrap(), &predictions.unwrap(), &options).unwrap();
        assert_eq!(found.images.len(), 1);
        assert_eq!(found.missing.predictions, ["1"]);
        assert_eq!(found.missing.references, ["3"]);
    }
}
