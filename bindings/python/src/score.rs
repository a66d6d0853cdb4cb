//! `decap.score`, natively: the field's metrics by the field's names.

use std::path::{Path, PathBuf};

use caption_metrics::{MissingIds, Options, Predictions, References};
use decap_cli::{Failure, open_meteor, read_predictions, read_references};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::exception;

/// References: a file, or `(id, captions)` each.
#[derive(FromPyObject)]
pub enum GivenReferences {
    Images(Vec<(String, Vec<String>)>),
    File(PathBuf),
}

/// Predictions: a file, or `(id, caption)` each.
#[derive(FromPyObject)]
pub enum GivenPredictions {
    Images(Vec<(String, String)>),
    File(PathBuf),
}

/// Scores of predictions against references; METEOR with its data alone.
#[pyfunction]
pub fn score<'py>(
    py: Python<'py>,
    references: GivenReferences,
    predictions: GivenPredictions,
    meteor: Option<PathBuf>,
    allow_missing: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let scores = py.detach(|| {
        let references = match references {
            GivenReferences::Images(images) => References::new(images)?,
            GivenReferences::File(path) => read_references(&path)?,
        };
        let predictions = match predictions {
            GivenPredictions::Images(images) => Predictions::new(images)?,
            GivenPredictions::File(path) => read_predictions(&path)?,
        };
        let mut options = Options::default();
        options.meteor = meteor
            .as_deref()
            .map(Path::new)
            .map(open_meteor)
            .transpose()?;
        if allow_missing {
            options.missing_ids = MissingIds::LeaveOut;
        }
        Ok::<_, Failure>(caption_metrics::score(&references, &predictions, &options)?)
    });
    let values = PyDict::new(py);
    for (name, value) in scores.map_err(exception)?.corpus.named() {
        values.set_item(name, value)?;
    }
    Ok(values)
}
