//! The settings of the projection, chosen on photos with captions.

use std::sync::atomic::AtomicBool;

use caption_metrics::{Comparison, compare};
use decap::{CaptionOptions, Captioner, Embeddings, Method, Result};

use super::evaluator::{Evaluator, System};
use super::{EvalProgress, metrics_error};

/// Values that are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct TuningGrid {
    /// Softmax temperatures.
    pub taus: Vec<f32>,
    /// How many of the nearest sentences a photo is projected onto; `None` for all.
    pub top_k: Vec<Option<usize>>,
    /// How much of its projection is added to an embedding before it is projected.
    pub query_expansion: Vec<f32>,
}

impl Default for TuningGrid {
    fn default() -> Self {
        Self {
            taus: vec![0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1],
            top_k: vec![None, Some(10), Some(30), Some(100), Some(300)],
            query_expansion: vec![0.0, 0.25, 0.5],
        }
    }
}

/// One setting of the projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Softmax temperature.
    pub tau: f32,
    /// How many of the nearest sentences; `None` for all.
    pub top_k: Option<usize>,
    /// The share of query expansion.
    pub query_expansion: f32,
}

impl Setting {
    /// That of `options`.
    pub fn of(options: &CaptionOptions) -> Self {
        Self {
            tau: options.tau,
            top_k: options.top_k,
            query_expansion: options.query_expansion,
        }
    }

    /// Puts it into `options`.
    pub fn apply(self, options: &mut CaptionOptions) {
        options.tau = self.tau;
        options.top_k = self.top_k;
        options.query_expansion = self.query_expansion;
    }
}

impl TuningGrid {
    /// Tries settings one after the other, calling `judge` for each once: `start`, then each temperature, then each
    /// `top_k` at the best of these and at the next higher one, then query expansion at the best. Returns the place of
    /// the best among the calls; of equals the first.
    ///
    /// A softmax over few sentences wants a higher temperature than one over all, so the two are tried together.
    ///
    /// # Errors
    /// What `judge` says.
    pub fn search<E>(
        &self,
        start: Setting,
        mut judge: impl FnMut(Setting) -> Result<f64, E>,
    ) -> Result<usize, E> {
        let mut tried = vec![start];
        let mut best = (0, judge(start)?);
        let mut attempt = |setting: Setting, best: &mut (usize, f64)| {
            if !tried.contains(&setting) {
                let score = judge(setting)?;
                if score > best.1 {
                    *best = (tried.len(), score);
                }
                tried.push(setting);
            }
            Ok(tried[best.0])
        };
        let mut at = start;
        for &tau in &self.taus {
            at = attempt(Setting { tau, ..start }, &mut best)?;
        }
        let higher = self.taus.iter().copied().filter(|&tau| tau > at.tau);
        let higher = higher.min_by(f32::total_cmp);
        let base = at;
        for &top_k in &self.top_k {
            for tau in [Some(base.tau), higher].into_iter().flatten() {
                at = attempt(Setting { tau, top_k, ..base }, &mut best)?;
            }
        }
        let base = at;
        for &query_expansion in &self.query_expansion {
            attempt(
                Setting {
                    query_expansion,
                    ..base
                },
                &mut best,
            )?;
        }
        Ok(best.0)
    }
}

/// What was tried on photos, and what came of it.
#[derive(Debug)]
pub struct Tuning {
    /// Settings with their captions and scores, in the order in which they were tried; the first is the present one.
    pub trials: Vec<(Setting, System)>,
    /// The place of the one with the highest CIDEr.
    pub best: usize,
    /// Its CIDEr less that of the present one, by the paired bootstrap.
    pub gain: Option<Comparison>,
    /// Mean cosine of the photos' projections with the embeddings of their own captions, at the best setting: what
    /// noise in training should leave.
    pub nearness: f32,
}

impl Evaluator<'_> {
    /// Searches `grid` for the setting whose captions have the highest CIDEr; everything else is as in `options`.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub fn tune(
        &self,
        captioner: &Captioner,
        options: &CaptionOptions,
        grid: &TuningGrid,
        progress: &mut dyn FnMut(EvalProgress<'_>),
        stop: &AtomicBool,
    ) -> Result<Tuning> {
        let mut options = options.clone();
        options.method = Method::Projection;
        let mut trials: Vec<(Setting, System)> = Vec::new();
        let best = grid.search(Setting::of(&options), |setting| {
            setting.apply(&mut options);
            let system = self.evaluate(captioner, &options, progress, stop)?;
            let cider = system.scores.corpus.cider;
            trials.push((setting, system));
            Ok::<_, decap::Error>(cider)
        })?;
        let gain = match best {
            0 => None,
            _ => {
                let (present, best) = (&trials[0].1.scores, &trials[best].1.scores);
                let compared = compare(present, best, &self.metrics().bootstrap);
                let compared = compared.map_err(metrics_error)?;
                compared.into_iter().find(|one| one.metric == "CIDEr")
            }
        };
        let nearness = self.nearness(captioner, trials[best].0)?;
        Ok(Tuning {
            trials,
            best,
            gain,
            nearness,
        })
    }

    /// Mean cosine of the photos' projections with their own captions.
    fn nearness(&self, captioner: &Captioner, setting: Setting) -> Result<f32> {
        let mut options = captioner.options();
        setting.apply(&mut options);
        let projected = captioner.project(self.embeddings(), &options)?;
        let (mut sum, mut count) = (0.0, 0.0);
        for (projected, captions) in projected.rows().zip(self.own_captions()) {
            let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
            let captions: Embeddings = captioner.encoder().encode_texts(&captions)?;
            for caption in captions.rows() {
                let cosine = projected.iter().zip(caption).map(|(a, b)| a * b);
                sum += f64::from(cosine.sum::<f32>());
                count += 1.0;
            }
        }
        Ok((sum / f64::max(count, 1.0)) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_top_of_a_hill_and_tries_nothing_twice() {
        let start = Setting {
            tau: 0.01,
            top_k: None,
            query_expansion: 0.0,
        };
        let mut tried = Vec::new();
        let hill = |setting: Setting| {
            let rows = setting.top_k.unwrap_or(100_000) as f64;
            -(f64::from(setting.tau) - 0.04).abs()
                - (rows.log10() - 2.0).abs() / 1e3
                - f64::from((setting.query_expansion - 0.25).abs())
        };
        let best = TuningGrid::default().search(start, |setting| {
            tried.push(setting);
            Ok::<_, ()>(hill(setting))
        });
        let best = tried[best.unwrap()];
        assert_eq!(
            (best.tau, best.top_k, best.query_expansion),
            (0.04, Some(100), 0.25)
        );
        assert_eq!(tried[0], start);
        for (place, setting) in tried.iter().enumerate() {
            assert!(!tried[..place].contains(setting), "{setting:?}");
        }
    }

    #[test]
    fn of_equals_the_present_one_stays() {
        let start = Setting {
            tau: 0.02,
            top_k: Some(7),
            query_expansion: 0.0,
        };
        let best = TuningGrid::default().search(start, |_| Ok::<_, ()>(1.0));
        assert_eq!(best, Ok(0));
    }
}
