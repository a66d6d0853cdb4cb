//! How sure scores and their differences are, by resampling images (Efron 1979, Koehn 2004).

use crate::error::{Error, Missing};
use crate::score::{ImageStatistics, MetricValues, Scores, values};
use rayon::prelude::*;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bootstrap {
    /// How many times the images are drawn anew; at least 1.
    pub num_samples: usize,
    /// The share of samples that an interval covers, between 0 and 1.
    pub confidence: f64,
    /// Seed of the draws: the same seed gives the same numbers, on any number of threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            num_samples: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// A metric's value and where it would lie on other images of the same kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The metric, by the field's name.
    pub metric: &'static str,
    /// Its value on these images.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A metric of two systems on the same images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The metric, by the field's name.
    pub metric: &'static str,
    /// The first system's value.
    pub first: f64,
    /// The second system's value.
    pub second: f64,
    /// The second less the first.
    pub difference: f64,
    /// Lower end of the difference's interval.
    pub low: f64,
    /// Upper end of the difference's interval.
    pub high: f64,
    /// Two-sided: how likely a difference of the other sign, or none, is on other images.
    pub p_value: f64,
}

/// Intervals of each metric, by the percentile bootstrap over images.
///
/// CIDEr's document frequencies stay those of all images.
#[must_use]
pub fn intervals(scores: &Scores, bootstrap: &Bootstrap) -> Vec<Interval> {
    let samples = resample(scores.statistics.len(), bootstrap, |draw| {
        values(draw.iter().map(|&image| &scores.statistics[image]))
    });
    let metrics = scores.corpus.named().enumerate();
    metrics
        .map(|(index, (metric, value))| {
            let sampled = samples.iter().map(|sample| nth(sample, index)).collect();
            let (low, high) = percentiles(sampled, bootstrap.confidence);
            Interval {
                metric,
                value,
                low,
                high,
            }
        })
        .collect()
}

/// The interval of a score that is the mean over images, CLIPScore for instance; `values` is
/// `[images]`.
///
/// ```
/// let values = [0.5, 0.7, 0.9, 0.7];
/// let found = caption_metrics::interval_of_mean("CLIPScore", &values, &Default::default());
/// assert!(found.low < found.value && found.value < found.high);
/// ```
#[must_use]
pub fn interval_of_mean(metric: &'static str, values: &[f64], bootstrap: &Bootstrap) -> Interval {
    let num_images = values.len().max(1) as f64;
    let samples = resample(values.len(), bootstrap, |draw| {
        draw.iter().map(|&image| values[image]).sum::<f64>() / num_images
    });
    let (low, high) = percentiles(samples, bootstrap.confidence);
    Interval {
        metric,
        value: values.iter().sum::<f64>() / num_images,
        low,
        high,
    }
}

/// Compares two systems by the paired bootstrap: both are scored on the same draws.
///
/// Metrics that only one of them has are left out.
///
/// ```
/// use caption_metrics::{Bootstrap, Options, Predictions, References, compare, score};
///
/// let ids = ["1", "2", "3", "4"];
/// let captions = ["a dog runs", "two cats sleep", "a red bus", "children play football"];
/// let pairs = || ids.iter().zip(captions).map(|(id, text)| (id.to_string(), text.to_string()));
/// let references = References::new(pairs().map(|(id, text)| (id, vec![text])))?;
/// let good = Predictions::new(pairs())?;
/// let poor = Predictions::new(ids.iter().map(|id| (id.to_string(), "a dog".to_string())))?;
/// let first = score(&references, &poor, &Options::default())?;
/// let second = score(&references, &good, &Options::default())?;
/// for comparison in compare(&first, &second, &Bootstrap::default())? {
///     assert!(comparison.difference > 0.0);
/// }
/// # Ok::<(), caption_metrics::Error>(())
/// ```
///
/// # Errors
/// The two were not scored on the same images.
pub fn compare(
    first: &Scores,
    second: &Scores,
    bootstrap: &Bootstrap,
) -> Result<Vec<Comparison>, Error> {
    let matched = matched(first, second)?;
    let samples = resample(matched.len(), bootstrap, |draw| {
        let first = values(draw.iter().map(|&image| matched[image].0));
        let second = values(draw.iter().map(|&image| matched[image].1));
        (first, second)
    });
    let second_values: Vec<(&str, f64)> = second.corpus.named().collect();
    let comparisons = first.corpus.named().filter_map(|(metric, first)| {
        let second = second_values.iter().find(|(name, _)| *name == metric)?.1;
        let differences: Vec<f64> = samples
            .iter()
            .map(|(first, second)| named(second, metric) - named(first, metric))
            .collect();
        let p_value = p_value(&differences);
        let (low, high) = percentiles(differences, bootstrap.confidence);
        let difference = second - first;
        Some(Comparison {
            metric,
            first,
            second,
            difference,
            low,
            high,
            p_value,
        })
    });
    Ok(comparisons.collect())
}

type StatisticsPair<'a> = (&'a ImageStatistics, &'a ImageStatistics);

/// Both systems' statistics of each image, in the first's order.
fn matched<'a>(first: &'a Scores, second: &'a Scores) -> Result<Vec<StatisticsPair<'a>>, Error> {
    let positions: std::collections::HashMap<&str, usize> = second
        .images
        .iter()
        .enumerate()
        .map(|(at, image)| (image.id.as_str(), at))
        .collect();
    let mut matched = Vec::with_capacity(first.images.len());
    let mut missing = Missing::default();
    for (image, statistics) in first.images.iter().zip(&first.statistics) {
        match positions.get(image.id.as_str()) {
            Some(&at) => matched.push((statistics, &second.statistics[at])),
            None => missing.predictions.push(image.id.clone()),
        }
    }
    if matched.len() != second.images.len() {
        let ids: std::collections::HashSet<&str> =
            first.images.iter().map(|image| image.id.as_str()).collect();
        let only_second = second
            .images
            .iter()
            .filter(|image| !ids.contains(image.id.as_str()));
        missing.references = only_second.map(|image| image.id.clone()).collect();
    }
    if missing.is_empty() {
        Ok(matched)
    } else {
        Err(Error::DifferentImages(missing))
    }
}

/// What `evaluate` makes of each draw of as many images, with replacement.
fn resample<T: Send>(
    num_images: usize,
    bootstrap: &Bootstrap,
    evaluate: impl Fn(&[usize]) -> T + Sync,
) -> Vec<T> {
    (0..bootstrap.num_samples.max(1) as u64)
        .into_par_iter()
        .map(|sample| {
            let mut draws = Draws::new(bootstrap.seed, sample);
            let draw: Vec<usize> = (0..num_images).map(|_| draws.below(num_images)).collect();
            evaluate(&draw)
        })
        .collect()
}

fn nth(values: &MetricValues, index: usize) -> f64 {
    values
        .named()
        .nth(index)
        .map_or(f64::NAN, |(_, value)| value)
}

fn named(values: &MetricValues, metric: &str) -> f64 {
    values
        .named()
        .find(|(name, _)| *name == metric)
        .map_or(f64::NAN, |(_, value)| value)
}

/// The ends of the middle part of the samples.
fn percentiles(mut samples: Vec<f64>, confidence: f64) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1) as f64;
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let at = |share: f64| samples.get((share * last).round() as usize).copied();
    (
        at(tail).unwrap_or(f64::NAN),
        at(1.0 - tail).unwrap_or(f64::NAN),
    )
}

/// Twice the share of differences on the rarer side of zero, never quite zero.
fn p_value(differences: &[f64]) -> f64 {
    let num_not_above = differences
        .iter()
        .filter(|&&difference| difference <= 0.0)
        .count();
    let num_not_below = differences
        .iter()
        .filter(|&&difference| difference >= 0.0)
        .count();
    let rarer = num_not_above.min(num_not_below) as f64;
    (2.0 * (rarer + 1.0) / (differences.len() as f64 + 1.0)).min(1.0)
}

/// Seeded random numbers (SplitMix64, Steele et al. 2014).
struct Draws {
    state: u64,
}

impl Draws {
    fn new(seed: u64, stream: u64) -> Self {
        let mut draws = Self { state: seed };
        let mixed = draws.next();
        Self {
            state: mixed ^ stream.wrapping_mul(0xd134_2543_de82_ef95),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Predictions, References, score};

    const WORDS: [&str; 6] = ["dog", "cat", "bus", "man", "tree", "house"];

    fn references() -> References {
        References::new((0..60).map(|image| {
            let (a, b) = (WORDS[image % 6], WORDS[(image / 6) % 6]);
            (
                image.to_string(),
                vec![format!("a {a} near the {b}"), format!("the {b} and a {a}")],
            )
        }))
        .unwrap()
    }

    /// Scores of a system that is right on images for which `is_right` holds.
    fn scores(is_right: impl Fn(usize) -> bool) -> Scores {
        let captions = (0..60).map(|image| {
            let (a, b) = (WORDS[image % 6], WORDS[(image / 6) % 6]);
            let right = format!("a {a} near the {b}");
            let caption = if is_right(image) {
                right
            } else {
                "a photo of the sea".to_owned()
            };
            (image.to_string(), caption)
        });
        score(
            &references(),
            &Predictions::new(captions).unwrap(),
            &Options::default(),
        )
        .unwrap()
    }

    #[test]
    fn intervals_hold_the_value_and_repeat_with_the_seed() {
        let scores = scores(|image| image % 3 == 0);
        let bootstrap = Bootstrap {
            num_samples: 200,
            ..Bootstrap::default()
        };
        let found = intervals(&scores, &bootstrap);
        assert_eq!(found.len(), 6);
        for interval in &found {
            let inside = interval.low <= interval.value && interval.value <= interval.high;
            assert!(inside && interval.low < interval.high, "{interval:?}");
        }
        assert_eq!(intervals(&scores, &bootstrap), found);
        assert_ne!(
            intervals(
                &scores,
                &Bootstrap {
                    seed: 1,
                    ..bootstrap
                }
            ),
            found
        );
    }

    #[test]
    fn a_mean_has_the_interval_of_theory() {
        // ROUGE-L is 1 on 20 of 60 images and a constant on the others: a binomial mean.
        let scores = scores(|image| image % 3 == 0);
        let each: Vec<f64> = scores
            .images
            .iter()
            .map(|image| image.values.rouge_l)
            .collect();
        let mean = each.iter().sum::<f64>() / 60.0;
        let variance = each.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 60.0;
        let half_width = 1.96 * (variance / 60.0).sqrt();
        let bootstrap = Bootstrap {
            num_samples: 2000,
            ..Bootstrap::default()
        };
        let found = intervals(&scores, &bootstrap);
        let rouge = found
            .iter()
            .find(|interval| interval.metric == "ROUGE_L")
            .unwrap();
        assert!(
            (rouge.high - rouge.low - 2.0 * half_width).abs() < 0.15 * half_width,
            "{rouge:?}"
        );
    }

    #[test]
    fn a_better_system_is_significantly_better() {
        let (poor, good) = (
            scores(|image| image % 3 == 0),
            scores(|image| image % 3 != 1),
        );
        for comparison in compare(&poor, &good, &Bootstrap::default()).unwrap() {
            assert!(
                comparison.difference > 0.0 && comparison.low > 0.0,
                "{comparison:?}"
            );
            assert!(comparison.p_value < 0.01, "{comparison:?}");
        }
        for comparison in compare(&good, &good, &Bootstrap::default()).unwrap() {
            assert_eq!((comparison.difference, comparison.p_value), (0.0, 1.0));
        }
        // As many right captions, on other images.
        let other = scores(|image| image % 3 == 1);
        for comparison in compare(&poor, &other, &Bootstrap::default()).unwrap() {
            assert!(comparison.p_value > 0.05, "{comparison:?}");
        }
    }

    #[test]
    fn other_images_are_refused() {
        let mut shorter = scores(|_| true);
        shorter.images.pop();
        shorter.statistics.pop();
        let refused = compare(&scores(|_| true), &shorter, &Bootstrap::default());
        assert!(
            matches!(refused, Err(Error::DifferentImages(missing)) if missing.predictions == ["59"])
        );
    }
}
