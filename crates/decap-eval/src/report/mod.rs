//! The folder that an evaluation leaves: a page, predictions, scores, plots.

mod curve_chart;
mod date;
mod facts;
mod histogram;
mod interval_chart;
mod metric;
mod page;
mod photos;
mod predictions;
mod scale;
mod scores;
mod svg;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use caption_metrics::Bootstrap;

use super::evaluator::{System, compare_systems};
use super::photos::EncodedPhotos;
use super::published::Benchmark;
use super::set::EvalSet;
use super::sweep::Curve;
use decap::Captioner;
use decap::output::write_atomically;
use decap::{Error, Result};

/// All scores, for programs.
const SCORES_FILE: &str = "scores.json";

/// All that a report is made of.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was evaluated.
    pub set: &'a EvalSet,
    /// Its photos.
    pub photos: &'a EncodedPhotos,
    /// The model.
    pub model: ReportModel,
    /// The methods, the most important first.
    pub systems: &'a [System],
    /// Scores along choices.
    pub curves: &'a [Curve],
    /// Whose published results are shown below ours; [`EvalSet::benchmark`] where it is known.
    pub benchmark: Option<Benchmark>,
    /// How significance was found.
    pub bootstrap: Bootstrap,
    /// The command that made the report, for people; empty where there was none.
    pub command: String,
    /// The program that made it, with its version: `decap 0.1.0`; empty for none.
    pub program: String,
    /// When it was made.
    pub made_at: SystemTime,
}

/// What the report says of the model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ReportModel {
    /// Its name.
    pub name: String,
    /// Its encoder's name.
    pub encoder: String,
    /// How many sentences its decoder learned.
    pub training_sentences: usize,
    /// The files they were in.
    pub training_text: String,
    /// Sentences in the memory.
    pub memory_sentences: usize,
    /// Where the memory's sentences are from.
    pub memory_text: String,
    /// Temperature of the projection.
    pub tau: f64,
}

impl ReportModel {
    /// What there is to say of `captioner`, projecting at `tau`.
    pub fn new(captioner: &Captioner, tau: f32) -> Self {
        let description = captioner.description();
        Self {
            name: description.name.clone(),
            encoder: captioner.encoder().name().to_owned(),
            training_sentences: description.provenance.captions,
            training_text: description.provenance.captions_from.clone(),
            memory_sentences: captioner.memory().len(),
            memory_text: captioner.memory().info().source.clone(),
            tau: shortest(tau),
        }
    }
}

/// Refuses a folder with files in it that holds no report, before the work whose report it is to hold. No
/// folder and an empty one are fine.
///
/// # Errors
/// [`Error::Usage`] that names what is there; [`Error::Io`] where the folder cannot be read.
pub fn check_report_folder(folder: &Path) -> Result<()> {
    /// What there is at the latest when the first photos are encoded, and at the end.
    const OF_REPORT: [&str; 3] = ["kept", SCORES_FILE, "report.html"];
    let failed = |source| Error::io(folder, source);
    let mut entries = match fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    if OF_REPORT.iter().any(|name| folder.join(name).exists()) {
        return Ok(());
    }
    match entries.next().transpose().map_err(failed)? {
        None => Ok(()),
        Some(entry) => Err(Error::Usage(format!(
            "{}: expected a new or an empty folder, or that of a report, got one with `{}` in it; choose \
             another",
            folder.display(),
            entry.file_name().to_string_lossy()
        ))),
    }
}

/// Refuses a folder with the report of another model.
///
/// # Errors
/// [`Error::Usage`] that names the other model.
pub fn check_report_model(folder: &Path, model: &ReportModel) -> Result<()> {
    // What cannot be read is no report any more.
    let scores = fs::read(folder.join(SCORES_FILE)).unwrap_or_default();
    let scores: serde_json::Value = serde_json::from_slice(&scores).unwrap_or_default();
    let there = &scores["model"];
    let is_same = there["name"] == model.name.as_str()
        && there["encoder"] == model.encoder.as_str()
        && there["training_text"] == model.training_text.as_str()
        && there["training_sentences"] == model.training_sentences;
    match there.is_null() || is_same {
        true => Ok(()),
        false => Err(Error::Usage(format!(
            "{}: the report of another model, `{}`, is here already",
            folder.display(),
            there["name"].as_str().unwrap_or_default()
        ))),
    }
}

impl Report<'_> {
    /// Writes into `folder`: `report.html`, which opens without a server; `scores.json`;
    /// `predictions.json` of the first method in COCO's result form, and
    /// `predictions_METHOD.json` of each where there are several; `CURVE.svg` for each curve.
    /// Each file appears whole or not at all, the page last. The page names no absolute path; it
    /// links to originals that lie near `folder`.
    ///
    /// # Errors
    /// [`Error::Io`](decap::Error::Io).
    pub fn write(&self, folder: &Path) -> Result<()> {
        let comparisons = compare_systems(self.systems, &self.bootstrap)?;
        for (place, system) in self.systems.iter().enumerate() {
            if place == 0 {
                self.write_predictions(system, &folder.join("predictions.json"))?;
            }
            if self.systems.len() > 1 {
                let name = format!("predictions_{}.json", system.options.method.name());
                self.write_predictions(system, &folder.join(name))?;
            }
        }
        let mut plots = Vec::new();
        for curve in self.curves {
            let Some(svg) = curve_chart::draw(curve) else {
                continue;
            };
            let path = folder.join(format!("{}.svg", curve.over.name()));
            write_atomically(&path, |file| file.write_all(svg.file().as_bytes()))?;
            plots.push((curve, svg));
        }
        let scores = serde_json::to_string_pretty(&self.scores(&comparisons)).unwrap_or_default();
        write_atomically(&folder.join(SCORES_FILE), |file| writeln!(file, "{scores}"))?;
        let page = self.page(folder, &comparisons, &plots);
        write_atomically(&folder.join("report.html"), |file| {
            file.write_all(page.as_bytes())
        })
    }
}

/// `value` as it is printed, not as the nearest f64.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
