//! Photos as Python hands them over, one at a time: the one door reads ahead of what it captions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use decap::media::RgbImage;
use decap::{Error, Input};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::told;

/// Why one input cannot be used: a short word, and the message.
pub type Refusal = (String, String);

/// An input, as `decap/_inputs.py` makes it of whatever the caller has.
#[derive(FromPyObject)]
enum Given<'py> {
    /// `(name, width, height, pixels)`, `[height, width, 3]`, 8 bits.
    Pixels(String, u32, u32, Bound<'py, PyBytes>),
    /// `(name, kind, message)`: it could not be used.
    Refused(String, String, String),
    /// `(name, bytes)`: a file's content.
    Bytes(String, Bound<'py, PyBytes>),
    /// A file or video.
    Path(std::path::PathBuf),
}

/// What the iterator notes, in order, for whoever takes the results.
#[derive(Default)]
struct Notes {
    /// For each input that was handed over and not told yet, why Python could not use it.
    refusals: VecDeque<Option<Refusal>>,
    /// What the caller's iterator raised; nothing comes after it.
    raised: Option<PyErr>,
}

/// The caller's inputs.
pub struct PyInputs {
    iterator: Py<PyAny>,
    notes: Arc<Mutex<Notes>>,
}

/// The other end of [`PyInputs`].
pub struct InputNotes(Arc<Mutex<Notes>>);

impl PyInputs {
    /// The inputs of a Python iterator over what `decap/_inputs.py` makes.
    pub fn new(iterator: Py<PyAny>) -> (Self, InputNotes) {
        let notes = Arc::<Mutex<Notes>>::default();
        let inputs = Self {
            iterator,
            notes: Arc::clone(&notes),
        };
        (inputs, InputNotes(notes))
    }
}

impl Iterator for PyInputs {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        let next = Python::attach(|py| -> PyResult<Option<_>> {
            let mut iterator = self.iterator.bind(py).try_iter()?;
            iterator
                .next()
                .map(|given| given.and_then(|given| Ok(taken(given.extract::<Given<'_>>()?))))
                .transpose()
        });
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Ok(Some((input, refusal))) => {
                notes.refusals.push_back(refusal);
                Some(input)
            }
            Ok(None) => None,
            Err(raised) => {
                notes.raised = Some(raised);
                None
            }
        }
    }
}

impl InputNotes {
    /// Why the input whose result comes next could not be used by Python, if that is so.
    pub fn next_refusal(&self) -> Option<Refusal> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.refusals.pop_front().flatten()
    }

    /// What the caller's iterator raised.
    ///
    /// # Errors
    /// That.
    pub fn finish(&self) -> PyResult<()> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.raised.take().map_or(Ok(()), Err)
    }
}

/// The input, and why it cannot be used.
fn taken(given: Given<'_>) -> (Input, Option<Refusal>) {
    // Stands in its place, so that the order stays.
    let nothing = |name: String| Input::from(Vec::new()).named(name);
    match given {
        Given::Path(path) => (path.into(), None),
        Given::Bytes(name, bytes) => (Input::from(bytes.as_bytes()).named(name), None),
        Given::Refused(name, kind, message) => (nothing(name), Some((kind, message))),
        Given::Pixels(name, width, height, pixels) => {
            match RgbImage::new(width, height, pixels.as_bytes().to_vec()) {
                Ok(image) => (Input::from(image).named(name), None),
                Err(error) => {
                    let (kind, message) = told(Error::from(error));
                    (nothing(name), Some((kind.to_owned(), message)))
                }
            }
        }
    }
}
