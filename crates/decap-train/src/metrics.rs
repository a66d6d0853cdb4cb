//! What training writes down: a line of JSON a step, and the loss as a curve.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::evaluate::Evaluation;
use decap::output::write_atomically;
use decap::{Error, Result};

/// The file with a line of JSON a step.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The file with the loss curve.
pub const LOSS_CURVE_FILE: &str = "loss.svg";

/// Half of the loss that is shown comes from this many last steps.
const SMOOTHING_STEPS: f64 = 20.0;

/// The curve of the training loss has at most about this many points, each a mean.
const CURVE_POINTS: usize = 400;

/// One line of [`METRICS_FILE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Step {
        step: u64,
        loss: f64,
        learning_rate: f32,
        gradient_norm: f64,
    },
    Evaluation {
        held_out: Evaluation,
    },
}

impl Line {
    fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. } => *step,
            Self::Evaluation { held_out } => held_out.step,
        }
    }
}

/// What was measured before a run goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct History {
    /// The running mean of the loss.
    pub smoothed_loss: Option<f64>,
    /// The last figures on held-out captions.
    pub evaluation: Option<Evaluation>,
}

impl History {
    fn of<'l>(lines: impl Iterator<Item = &'l Line>) -> Self {
        let mut history = Self::default();
        for line in lines {
            match line {
                Line::Step { loss, .. } => history.smooth(*loss),
                Line::Evaluation { held_out } => history.evaluation = Some(*held_out),
            }
        }
        history
    }

    /// Takes the loss of one more step into the mean.
    pub fn smooth(&mut self, loss: f64) {
        let keep = 0.5_f64.powf(1.0 / SMOOTHING_STEPS);
        let mean = self
            .smoothed_loss
            .map_or(loss, |mean| keep * mean + (1.0 - keep) * loss);
        self.smoothed_loss = Some(mean);
    }
}

/// The open [`METRICS_FILE`].
pub(super) struct Metrics {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Metrics {
    /// Opens the file in `folder`, keeping the lines up to and including step `keep`: what a
    /// stopped run wrote after its last checkpoint will be written again.
    pub fn open(folder: &Path, keep: u64) -> Result<(Self, History)> {
        let path = folder.join(METRICS_FILE);
        let mut kept = match keep {
            0 => Vec::new(),
            _ => read(&path)?,
        };
        kept.retain(|(line, _)| line.step() <= keep);
        write_atomically(&path, |file| {
            kept.iter()
                .try_for_each(|(_, text)| writeln!(file, "{text}"))
        })?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|source| Error::io(&path, source))?;
        let metrics = Self {
            path,
            file: BufWriter::new(file),
        };
        Ok((metrics, History::of(kept.iter().map(|(line, _)| line))))
    }

    /// Notes a step: how many are done with it, its loss, rate and norm.
    pub fn step(
        &mut self,
        step: u64,
        loss: f64,
        learning_rate: f32,
        gradient_norm: f64,
    ) -> Result<()> {
        self.write(&Line::Step {
            step,
            loss,
            learning_rate,
            gradient_norm,
        })
    }

    /// Notes figures on held-out captions.
    pub fn evaluation(&mut self, evaluation: Evaluation) -> Result<()> {
        self.write(&Line::Evaluation {
            held_out: evaluation,
        })
    }

    /// Brings all lines to disk. It comes before the checkpoint of their last step, so that a run that
    /// goes on there misses none.
    pub fn flush(&mut self) -> Result<()> {
        let failed = |source| Error::io(&self.path, source);
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_data().map_err(failed)
    }

    /// Draws the curve of all lines that are on disk.
    pub fn draw(&self, folder: &Path) -> Result<()> {
        let lines: Vec<Line> = read(&self.path)?
            .into_iter()
            .map(|(line, _)| line)
            .collect();
        draw_loss_curve(&folder.join(LOSS_CURVE_FILE), &lines)
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let failed = |source| Error::io(&self.path, source);
        let json = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        writeln!(self.file, "{json}").map_err(failed)
    }
}

/// The lines of a file, each with its text.
fn read(path: &Path) -> Result<Vec<(Line, String)>> {
    if !fs::exists(path).unwrap_or(false) {
        return Ok(Vec::new());
    }
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let mut lines = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|source| Error::io(path, source))?;
        // A run that was killed may have left half a line.
        lines.extend(
            serde_json::from_str(&line)
                .ok()
                .map(|parsed| (parsed, line)),
        );
    }
    Ok(lines)
}

/// Draws the training loss (means of neighbouring steps) and the held-out loss over steps.
fn draw_loss_curve(path: &Path, lines: &[Line]) -> Result<()> {
    let training = smooth(lines);
    let held_out: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Evaluation { held_out } => Some((held_out.step as f64, held_out.loss)),
            Line::Step { .. } => None,
        })
        .collect();
    let points = || training.iter().chain(&held_out);
    let Some(last_step) = points().map(|point| point.0).reduce(f64::max) else {
        return Ok(());
    };
    let lowest = points()
        .map(|point| point.1)
        .fold(f64::INFINITY, f64::min)
        .floor();
    let highest = points()
        .map(|point| point.1)
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil();
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, (800, 450)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..last_step.max(1.0), lowest..highest.max(lowest + 1.0))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_labels(8)
            .x_label_formatter(&|step| format!("{step:.0}"))
            .x_desc("step")
            .y_desc("cross-entropy of a token (grey: training, red: held out)")
            .draw()?;
        chart.draw_series(LineSeries::new(
            training.iter().copied(),
            &RGBColor(110, 110, 110),
        ))?;
        chart.draw_series(LineSeries::new(
            held_out.iter().copied(),
            RED.stroke_width(2),
        ))?;
        area.present()
    })();
    drawn.map_err(|error| Error::model(path, format!("cannot be drawn: {error}")))?;
    write_atomically(path, |file| file.write_all(svg.as_bytes()))
}

fn smooth(lines: &[Line]) -> Vec<(f64, f64)> {
    let steps: Vec<(u64, f64)> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Step { step, loss, .. } => Some((*step, *loss)),
            Line::Evaluation { .. } => None,
        })
        .collect();
    let mean = |steps: &[(u64, f64)]| {
        let sum: f64 = steps.iter().map(|step| step.1).sum();
        let last = steps.last().map_or(0, |step| step.0);
        (last as f64, sum / steps.len() as f64)
    };
    steps
        .chunks(steps.len().div_ceil(CURVE_POINTS).max(1))
        .map(mean)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_checkpoint_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (mut metrics, _) = Metrics::open(folder.path(), 0).unwrap();
        for step in 1..=5 {
            metrics
                .step(step, 5.0 - step as f64 / 2.0, 1e-3, 1.0)
                .unwrap();
        }
        metrics.flush().unwrap();
        drop(metrics);
        let path = folder.path().join(METRICS_FILE);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\":6,\"lo");
        fs::write(&path, text).unwrap();
        let (_, history) = Metrics::open(folder.path(), 3).unwrap();
        let keep = 0.5_f64.powf(1.0 / SMOOTHING_STEPS);
        let mean = [4.5, 4.0, 3.5]
            .into_iter()
            .reduce(|mean, loss| keep * mean + (1.0 - keep) * loss);
        assert_eq!(history.smoothed_loss, mean, "as if never stopped");
        let steps: Vec<u64> = read(&path)
            .unwrap()
            .iter()
            .map(|(line, _)| line.step())
            .collect();
        assert_eq!(steps, [1, 2, 3]);
    }

    #[test]
    fn the_curve_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let (mut metrics, _) = Metrics::open(folder.path(), 0).unwrap();
        metrics.flush().unwrap();
        metrics.draw(folder.path()).unwrap();
        assert!(
            !folder.path().join(LOSS_CURVE_FILE).exists(),
            "nothing to draw yet"
        );
        for step in 1..=1000 {
            metrics
                .step(step, 8.0 / (step as f64).sqrt(), 1e-3, 1.0)
                .unwrap();
        }
        let figures = Evaluation {
            step: 1000,
            loss: 2.0,
            token_accuracy: 0.5,
            reconstruction_bleu4: 0.3,
            captions: 10,
        };
        metrics.evaluation(figures).unwrap();
        metrics.flush().unwrap();
        metrics.draw(folder.path()).unwrap();
        let svg = fs::read_to_string(folder.path().join(LOSS_CURVE_FILE)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("polyline"));
    }
}
