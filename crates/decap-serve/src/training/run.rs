//! One training: how far it is, and what it has told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use decap::{Error, Result};
use decap_train::{Evaluation, Plan, Progress, StepReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::Lesson;

/// Points of a curve at most; with more, every second one is left out.
const MOST_POINTS: usize = 200;
/// The last step's share in the running mean of the loss: a short training is over before the usual mean moves.
const NEW_SHARE: f64 = 0.3;

/// A training that runs, or has ended.
pub struct Run {
    /// Its number.
    pub id: u64,
    /// The name of the model to be.
    pub name: String,
    /// Becomes true when somebody wants it to stop.
    pub stop: AtomicBool,
    sentences: usize,
    seen: Mutex<Seen>,
}

/// What was told so far.
#[derive(Default)]
struct Seen {
    state: TrainingState,
    step: u64,
    steps: u64,
    seconds_left: Option<f64>,
    /// The running mean of the loss.
    loss: Option<f64>,
    losses: Vec<LossPoint>,
    /// Steps from one point of the curve to the next.
    spacing: u64,
    held_out: Vec<LossPoint>,
    error: Option<String>,
}

/// Where a training is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainingState {
    /// It reads the sentences.
    #[default]
    Reading,
    /// It learns.
    Training,
    /// It was asked to stop.
    Stopping,
    /// The model is there.
    Done,
    /// It was stopped; nothing is kept of it.
    Stopped,
    /// It failed; `error` says why.
    Failed,
}

impl TrainingState {
    fn is_last(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed)
    }
}

/// A point of a loss curve.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct LossPoint {
    /// Steps done.
    step: u64,
    /// The loss, in nats a token.
    loss: f64,
}

/// A training, as it is told.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrainingStatus {
    /// Its number.
    id: u64,
    /// The name of the model to be.
    #[schema(example = "garden")]
    name: String,
    /// Where it is.
    state: TrainingState,
    /// Sentences that it learns.
    sentences: usize,
    /// Steps done.
    step: u64,
    /// Steps in all; it may end before, where more do not help. 0 while it reads.
    steps: u64,
    /// Seconds that the remaining steps will take.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    /// The running mean of the loss: 200 points at most, evenly spaced, and the last.
    losses: Vec<LossPoint>,
    /// The loss on sentences that are held out.
    held_out: Vec<LossPoint>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Run {
    /// Number `id`, which learns `lesson`.
    pub fn new(id: u64, lesson: &Lesson) -> Self {
        Self {
            id,
            name: lesson.name.clone(),
            stop: AtomicBool::new(false),
            sentences: lesson.sentences.len(),
            seen: Mutex::new(Seen {
                spacing: 1,
                ..Seen::default()
            }),
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.with(|seen| seen.state.is_last())
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.with(|seen| {
            if !seen.state.is_last() {
                self.stop.store(true, Ordering::Relaxed);
                seen.state = TrainingState::Stopping;
            }
        });
    }

    /// It has ended so.
    pub fn end(&self, ended: Result<()>) {
        self.with(|seen| {
            seen.seconds_left = None;
            seen.state = match ended {
                Ok(()) => TrainingState::Done,
                Err(Error::Interrupted) => TrainingState::Stopped,
                Err(error) => {
                    seen.error = Some(error.to_string());
                    TrainingState::Failed
                }
            };
        });
    }

    /// How it is.
    pub fn status(&self) -> TrainingStatus {
        self.with(|seen| TrainingStatus {
            id: self.id,
            name: self.name.clone(),
            state: seen.state,
            sentences: self.sentences,
            step: seen.step,
            steps: seen.steps,
            seconds_left: seen.seconds_left,
            losses: seen.losses.clone(),
            held_out: seen.held_out.clone(),
            error: seen.error.clone(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    fn add(&mut self, point: LossPoint) {
        // The last point stands between the even ones until the next comes.
        let is_even = |it: &LossPoint, spacing: u64| it.step.is_multiple_of(spacing);
        let spacing = self.spacing;
        if self
            .losses
            .last()
            .is_some_and(|last| !is_even(last, spacing))
        {
            self.losses.pop();
        }
        if self.losses.len() >= MOST_POINTS {
            self.spacing *= 2;
            let spacing = self.spacing;
            self.losses.retain(|it| is_even(it, spacing));
        }
        self.losses.push(point);
    }
}

impl Progress for &Run {
    fn started(&mut self, plan: &Plan) {
        self.with(|seen| {
            seen.steps = plan.steps;
            if seen.state == TrainingState::Reading {
                seen.state = TrainingState::Training;
            }
        });
    }

    fn stepped(&mut self, report: &StepReport) {
        self.with(|seen| {
            let before = seen.loss.unwrap_or(report.loss);
            let loss = before + NEW_SHARE * (report.loss - before);
            seen.loss = Some(loss);
            let step = report.step;
            (seen.step, seen.steps) = (report.step, report.steps);
            seen.seconds_left = Some(report.remaining.as_secs_f64().round());
            seen.add(LossPoint { step, loss });
        });
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        let point = LossPoint {
            step: evaluation.step,
            loss: evaluation.loss,
        };
        self.with(|seen| {
            seen.held_out.push(point);
            if seen.held_out.len() > MOST_POINTS {
                seen.held_out.remove(0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_ends_and_few_points() {
        for steps in [1u64, 7, 200, 201, 999, 5000] {
            let mut seen = Seen {
                spacing: 1,
                ..Seen::default()
            };
            for step in 1..=steps {
                let loss = step as f64;
                seen.add(LossPoint { step, loss });
            }
            let points: Vec<u64> = seen.losses.iter().map(|it| it.step).collect();
            assert!(points.len() <= MOST_POINTS + 1 && points.is_sorted());
            assert_eq!(points.last(), Some(&steps));
            assert!(points[0] <= 1 + steps / 50, "{points:?}");
        }
    }
}
