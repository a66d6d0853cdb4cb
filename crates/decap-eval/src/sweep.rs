//! Scores along one choice: temperature, memory size, training sentences.

use std::sync::atomic::AtomicBool;

use caption_metrics::Interval;

use super::EvalProgress;
use super::evaluator::{Evaluator, System};
use decap::Captioner;
use decap::{CaptionOptions, Method};
use decap::{Error, Result};

/// Seed of the draw of smaller memories.
const MEMORY_SEED: u64 = 0;

/// What changes along a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepOver {
    /// The projection's softmax temperature.
    Tau,
    /// Sentences in the memory.
    Memory,
    /// Sentences that the decoder learned: one model each.
    TrainingSentences,
}

/// Scores along one choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The choice.
    pub over: SweepOver,
    /// The scores, in the order in which they were asked for.
    pub points: Vec<CurvePoint>,
}

/// One method's scores at one place of a curve.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// The temperature or the number of sentences.
    pub x: f64,
    /// The model's name.
    pub model: String,
    /// The method.
    pub method: Method,
    /// Its scores over all photos.
    pub scores: Vec<Interval>,
}

impl SweepOver {
    /// The name on the command line and of the plot's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tau => "tau",
            Self::Memory => "memory",
            Self::TrainingSentences => "training",
        }
    }

    /// What the axis is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::Tau => "temperature tau of the projection",
            Self::Memory => "sentences in the memory",
            Self::TrainingSentences => "sentences the decoder was trained on",
        }
    }
}

impl Curve {
    /// A curve without points.
    pub fn new(over: SweepOver) -> Self {
        Self {
            over,
            points: Vec::new(),
        }
    }

    /// Adds what `system` scored with `captioner` at `x`.
    pub fn push(&mut self, x: f64, captioner: &Captioner, system: &System) {
        self.points.push(CurvePoint {
            x,
            model: captioner.description().name.clone(),
            method: system.options.method,
            scores: system.intervals.clone(),
        });
    }
}

impl Evaluator<'_> {
    /// Projection at each of the temperatures `taus`.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`]; [`Error::Usage`] for a temperature that is not positive.
    pub fn sweep_tau(
        &self,
        captioner: &Captioner,
        options: &CaptionOptions,
        taus: &[f32],
        progress: &mut dyn FnMut(EvalProgress<'_>),
        stop: &AtomicBool,
    ) -> Result<Curve> {
        let mut curve = Curve::new(SweepOver::Tau);
        for &tau in taus {
            let mut options = options.clone();
            options.method = Method::Projection;
            options.tau = tau;
            let system = self.evaluate(captioner, &options, progress, stop)?;
            // Shown as it was typed, not as the nearest f64.
            let x = tau.to_string().parse().unwrap_or(f64::from(tau));
            curve.push(x, captioner, &system);
        }
        Ok(curve)
    }

    /// The methods that use the memory, with parts of it of each of the sizes `rows`: sentences
    /// drawn at random, the fewer among the more. The captioner's memory is whole again after.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`]; [`Error::Usage`] for more rows than there are.
    pub fn sweep_memory(
        &self,
        captioner: &mut Captioner,
        options: &CaptionOptions,
        methods: &[Method],
        rows: &[usize],
        progress: &mut dyn FnMut(EvalProgress<'_>),
        stop: &AtomicBool,
    ) -> Result<Curve> {
        let whole = captioner.memory().clone();
        if let Some(rows) = rows.iter().find(|&&rows| rows > whole.len()) {
            return Err(Error::Usage(format!(
                "expected at most the memory's {} sentences, got {rows}",
                whole.len()
            )));
        }
        let mut curve = Curve::new(SweepOver::Memory);
        let mut evaluate = |captioner: &mut Captioner| {
            for &rows in rows {
                captioner.set_memory(whole.sample(rows, MEMORY_SEED)?)?;
                for &method in methods.iter().filter(|&&method| method != Method::Visual) {
                    let mut options = options.clone();
                    options.method = method;
                    let system = self.evaluate(captioner, &options, progress, stop)?;
                    curve.push(rows as f64, captioner, &system);
                }
            }
            Ok(())
        };
        let evaluated = evaluate(captioner);
        captioner.set_memory(whole.clone())?;
        evaluated.map(|()| curve)
    }
}
