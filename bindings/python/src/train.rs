//! `decap.train`, natively: `decap train` on sentences that Python has.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use decap_cli::{read_captions, train_captions};
use decap_train::{Evaluation, Plan, Progress, StepReport};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::{exception, of_model};
use crate::process;

/// The sentences, or files that hold them.
#[derive(FromPyObject)]
pub enum GivenTexts {
    /// One string a caption.
    Texts(Vec<String>),
    /// A caption file.
    File(PathBuf),
}

/// Tells Python how far the work is, and hears Ctrl-C.
struct Listener<'a> {
    /// `progress(what, done, total, note)`.
    progress: Option<&'a Py<PyAny>>,
    stop: &'a AtomicBool,
    raised: Option<PyErr>,
}

impl Listener<'_> {
    fn tell(&mut self, what: &str, done: u64, total: u64, note: &str) {
        if self.raised.is_some() {
            return;
        }
        let told = Python::attach(|py| {
            py.check_signals()?;
            if let Some(progress) = self.progress {
                progress.call1(py, (what, done, total, note))?;
            }
            Ok(())
        });
        if let Err(error) = told {
            // Training writes a checkpoint first.
            self.stop.store(true, Ordering::Relaxed);
            self.raised = Some(error);
        }
    }
}

impl Progress for Listener<'_> {
    fn started(&mut self, plan: &Plan) {
        self.tell("steps", plan.steps_done, plan.steps, "");
    }

    fn stepped(&mut self, report: &StepReport) {
        let note = format!("loss {:.3}", report.smoothed_loss);
        self.tell("steps", report.step, report.steps, &note);
    }

    fn evaluated(&mut self, _evaluation: &Evaluation) {}
}

/// Trains a captioner into the folder `out`; `options` are those of `decap train`, a word each.
#[pyfunction]
pub fn train<'py>(
    py: Python<'py>,
    texts: GivenTexts,
    out: PathBuf,
    options: Vec<OsString>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    process::check()?;
    let texts = match texts {
        GivenTexts::Texts(texts) => texts,
        GivenTexts::File(path) => {
            let captions = py.detach(|| read_captions(&path)).map_err(exception)?;
            captions.into_texts()
        }
    };
    let stop = AtomicBool::new(false);
    let mut encoding = Listener {
        progress: progress.as_ref(),
        stop: &stop,
        raised: None,
    };
    let mut training = Listener {
        progress: progress.as_ref(),
        stop: &stop,
        raised: None,
    };
    let trained = py.detach(|| {
        let encoded = |encoded: decap::memory::EncodingProgress| {
            encoding.tell("captions", encoded.done as u64, encoded.total as u64, "");
        };
        train_captions(&texts, &out, options, encoded, &mut training, &stop)
    });
    if let Some(raised) = encoding.raised.or(training.raised) {
        return Err(raised);
    }
    let report = trained.map_err(|failure| match &failure {
        decap_cli::Failure::Usage(_) => exception(failure),
        decap_cli::Failure::Library(decap::Error::Usage(_)) => exception(failure),
        _ => of_model(failure),
    })?;
    let facts = PyDict::new(py);
    facts.set_item("steps", report.steps)?;
    facts.set_item("loss", report.smoothed_loss)?;
    facts.set_item("seconds", report.seconds)?;
    Ok(facts)
}
