//! How varied captions are, and how many of them are new.

use crate::captions::{Predictions, References};
use crate::cider::cosines;
use crate::ptb::PtbTokenizer;
use crate::text::words;
use caption_words::{DocumentCounts, MAX_ORDER, Ngram, NgramCounts, Vocabulary, repeated_lemmas};
use rayon::prelude::*;
use std::collections::HashSet;

/// The captions a system was trained on, tokenized.
#[derive(Clone, Debug, Default)]
pub struct TrainingCaptions {
    captions: HashSet<String>,
}

impl TrainingCaptions {
    /// Takes the captions, one text each.
    #[must_use]
    pub fn new<'a>(captions: impl IntoIterator<Item = &'a str>) -> Self {
        let captions: Vec<&str> = captions.into_iter().collect();
        Self {
            captions: PtbTokenizer::new()
                .tokenize_all(&captions)
                .into_iter()
                .collect(),
        }
    }
}

/// How varied a system's captions are. All counts are of tokenized captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Diversity {
    /// Captions.
    pub num_captions: usize,
    /// Captions that differ from each other.
    pub num_distinct_captions: usize,
    /// Distinct words.
    pub vocabulary_size: usize,
    /// Distinct n-grams over all n-grams (distinct-n, Li et al. 2016) for n from 1 to 4, `[4]`; 0
    /// where there are none.
    pub distinct: [f64; MAX_ORDER],
    /// Mean number of words.
    pub mean_length_words: f64,
    /// The share of captions that say a content word twice, singular and plural as one
    /// ([`repeated_lemmas`]).
    pub repeated: f64,
    /// The share of captions that no training caption equals; `None` without training captions.
    pub novel: Option<f64>,
}

/// Measures one system's captions.
///
/// ```
/// use caption_metrics::{Predictions, TrainingCaptions, diversity};
///
/// let captions = [("1", "A dog runs."), ("2", "a dog runs"), ("3", "a cat")];
/// let predictions = Predictions::new(captions.map(|(id, text)| (id.into(), text.into())))?;
/// let training = TrainingCaptions::new(["The dog runs", "a cat !"]);
/// let found = diversity(&predictions, Some(&training));
/// assert_eq!((found.vocabulary_size, found.num_distinct_captions), (4, 2));
/// assert_eq!(found.distinct[0], 4.0 / 8.0);
/// assert_eq!(found.novel, Some(2.0 / 3.0));
/// assert_eq!(found.repeated, 0.0);
/// # Ok::<(), caption_metrics::Error>(())
/// ```
#[must_use]
pub fn diversity(predictions: &Predictions, training: Option<&TrainingCaptions>) -> Diversity {
    let captions: Vec<&str> = predictions
        .captions()
        .iter()
        .map(|(_, caption)| caption.as_str())
        .collect();
    let captions = PtbTokenizer::new().tokenize_all(&captions);
    let mut vocabulary = Vocabulary::default();
    let mut kinds: [HashSet<Ngram>; MAX_ORDER] = Default::default();
    let mut counts = [0; MAX_ORDER];
    for caption in &captions {
        let words = vocabulary.numbers(words(caption));
        for (index, (kinds, count)) in kinds.iter_mut().zip(&mut counts).enumerate() {
            let ngrams = words.windows(index + 1);
            *count += ngrams.len();
            kinds.extend(ngrams.map(Ngram::new));
        }
    }
    let [num_words, ..] = counts;
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let num_new = |training: &TrainingCaptions| {
        captions
            .iter()
            .filter(|caption| !training.captions.contains(*caption))
            .count()
    };
    let is_repeated = |caption: &&String| repeated_lemmas(words(caption)) > 0;
    Diversity {
        num_captions: captions.len(),
        num_distinct_captions: captions.iter().collect::<HashSet<_>>().len(),
        vocabulary_size: kinds[0].len(),
        distinct: std::array::from_fn(|index| share(kinds[index].len(), counts[index])),
        mean_length_words: share(num_words, captions.len()),
        repeated: share(captions.iter().filter(is_repeated).count(), captions.len()),
        novel: training.map(|training| share(num_new(training), captions.len())),
    }
}

/// Self-CIDEr (Wang and Chan 2019) of several captions of each image, `[images]`: 0 where all
/// captions of an image are equal, 1 where they have nothing in common.
///
/// `captions` is `[images][captions]`; the rarity of words is that in `references`. The measure
/// is -log(r) / log(n) with r the largest singular value's share, of n captions' similarities.
/// An image with less than two captions has 0.
#[must_use]
pub fn self_cider(captions: &[Vec<String>], references: &References) -> Vec<f64> {
    let tokenizer = PtbTokenizer::new();
    let mut vocabulary = Vocabulary::default();
    let mut counts = |texts: &[&str]| -> Vec<NgramCounts> {
        let tokenized = tokenizer.tokenize_all(texts);
        tokenized
            .iter()
            .map(|caption| NgramCounts::new(&vocabulary.numbers(words(caption))))
            .collect()
    };
    let all: Vec<&str> = references.captions().collect();
    let mut rest = counts(&all).into_iter();
    let references: Vec<Vec<NgramCounts>> = references
        .images()
        .iter()
        .map(|image| rest.by_ref().take(image.captions.len()).collect())
        .collect();
    let documents = DocumentCounts::of_documents(&references);
    let all: Vec<&str> = captions.iter().flatten().map(String::as_str).collect();
    let mut rest = counts(&all).into_iter();
    let captions: Vec<Vec<NgramCounts>> = captions
        .iter()
        .map(|image| rest.by_ref().take(image.len()).collect())
        .collect();
    captions
        .par_iter()
        .map(|captions| spread(cosines(captions, &documents)))
        .collect()
}

/// How evenly a similarity matrix spreads over directions, 0 to 1.
fn spread(similarities: Vec<Vec<f64>>) -> f64 {
    if similarities.len() < 2 {
        return 0.0;
    }
    let num_captions = similarities.len() as f64;
    let singular: Vec<f64> = eigenvalues(similarities)
        .into_iter()
        .map(|value| value.max(0.0).sqrt())
        .collect();
    let sum: f64 = singular.iter().sum();
    let largest = singular.into_iter().fold(0.0, f64::max);
    if sum == 0.0 {
        0.0
    } else {
        (-(largest / sum).ln() / num_captions.ln()).clamp(0.0, 1.0)
    }
}

/// Eigenvalues of a symmetric matrix, by Jacobi's rotations.
fn eigenvalues(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    const MAX_SWEEPS: usize = 60;
    const SMALL: f64 = 1e-20;
    let size = matrix.len();
    for _ in 0..MAX_SWEEPS {
        let off_diagonal: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| matrix[row][column].powi(2))
            .sum();
        if off_diagonal < SMALL {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, p, q);
            }
        }
    }
    (0..size).map(|index| matrix[index][index]).collect()
}

/// Turns the matrix so that its entry at `p, q` becomes zero.
fn rotate(matrix: &mut [Vec<f64>], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for row in matrix.iter_mut() {
        let (a, b) = (row[p], row[q]);
        row[p] = cosine * a - sine * b;
        row[q] = sine * a + cosine * b;
    }
    let (above, below) = matrix.split_at_mut(q);
    for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_known_matrices() {
        let mut found = eigenvalues(vec![
            vec![2.0, -1.0, 0.0],
            vec![-1.0, 2.0, -1.0],
            vec![0.0, -1.0, 2.0],
        ]);
        found.sort_by(f64::total_cmp);
        let expected = [2.0 - 2.0_f64.sqrt(), 2.0, 2.0 + 2.0_f64.sqrt()];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn self_cider_is_zero_for_equal_captions_and_one_for_unlike_ones() {
        let references = References::new(
            [
                "a dog runs on grass",
                "two cats sleep inside",
                "the red bus stops here",
            ]
            .iter()
            .enumerate()
            .map(|(id, text)| (id.to_string(), vec![(*text).to_owned()])),
        )
        .unwrap();
        let captions = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let equal: Vec<String> = captions(&["a dog runs on grass"; 3]);
        let unlike = captions(&["a dog runs on grass", "two cats sleep inside"]);
        let partly = captions(&["a dog runs on grass", "a dog runs inside"]);
        let single = captions(&["a dog"]);
        let found = self_cider(&[equal, unlike, partly, single, Vec::new()], &references);
        assert!(found[0].abs() < 1e-6, "{found:?}");
        assert!((found[1] - 1.0).abs() < 1e-9, "{found:?}");
        assert!(found[2] > 0.1 && found[2] < 0.95, "{found:?}");
        assert_eq!(&found[3..], [0.0, 0.0]);
    }

    #[test]
    fn no_captions_have_no_diversity() {
        let found = diversity(&Predictions::default(), None);
        assert_eq!((found.distinct, found.novel), ([0.0; MAX_ORDER], None));
    }
}
