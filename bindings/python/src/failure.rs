//! Errors as Python's exceptions, with the words of the command line.

use decap::Error;
use decap_cli::Failure;
use pyo3::prelude::*;

/// What ends a call: an error of the library, or an exception that Python raised within it.
pub enum Halt {
    /// From the library.
    Library(Error),
    /// From Python: Ctrl-C, or what the caller's code raised.
    Python(PyErr),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<PyErr> for Halt {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl Halt {
    /// The exception of a call on photos or sentences.
    pub fn of_inputs(self) -> PyErr {
        match self {
            Self::Library(error) => exception(Failure::Library(error)),
            Self::Python(error) => error,
        }
    }
}

/// A short word for programs, and the message with its remedy, of one input's error.
pub fn told(error: Error) -> (&'static str, String) {
    (error.kind(), Failure::Library(error).to_string())
}

/// `decap.ModelError` for a model, encoder or memory that cannot be used; `KeyboardInterrupt` for work that
/// was stopped; `decap.InputError` for all else.
pub fn exception(failure: Failure) -> PyErr {
    let class = match &failure {
        Failure::Library(error) | Failure::WithRemedy(error, _) => match error {
            Error::Model { .. }
            | Error::Unsupported { .. }
            | Error::Mismatch(_)
            | Error::Unavailable(_) => "ModelError",
            _ => "InputError",
        },
        _ => "InputError",
    };
    raised(class, &failure)
}

/// As [`exception`], for a call that opens a model: whatever goes wrong is about it.
pub fn of_model(failure: Failure) -> PyErr {
    raised("ModelError", &failure)
}

/// A `decap.ModelError` of this kind.
pub fn model_error(kind: &str, message: &str) -> PyErr {
    instance("ModelError", kind, message)
}

fn raised(class: &str, failure: &Failure) -> PyErr {
    let kind = match failure {
        Failure::Library(error) | Failure::WithRemedy(error, _) => error.kind(),
        Failure::Scoring(_) => "scoring",
        Failure::Usage(_) => "usage",
        _ => "io",
    };
    if kind == "interrupted" {
        return pyo3::exceptions::PyKeyboardInterrupt::new_err(failure.to_string());
    }
    instance(class, kind, &failure.to_string())
}

fn instance(class: &str, kind: &str, message: &str) -> PyErr {
    Python::attach(|py| {
        let made = py
            .import("decap._errors")
            .and_then(|module| module.getattr(class))
            .and_then(|class| class.call1((message, kind)));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}
