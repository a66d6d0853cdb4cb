//! `decap.Captioner`, natively: photos through the one door.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use decap::decoder::Method as Generation;
use decap::memory::{Evidence, Memory as SupportMemory, MemoryOptions};
use decap::pipeline::{ReadOptions, embed_each};
use decap::{Caption, CaptionOptions, Embeddings, Error, Method, Precision, Rerank};
use decap_cli::Failure;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Halt, exception, of_model, told};
use crate::inputs::PyInputs;
use crate::memory::{Memory, bytes_of, embed_texts};
use crate::process;

/// A caption for Python: text, score, evidence, whence its words are.
type Told = (String, f32, Option<f32>, Vec<(String, f32)>, &'static str);

/// Encoder, memory and decoder, open.
#[pyclass(frozen, module = "decap._decap")]
pub struct Captioner {
    captioner: decap::Captioner,
}

#[pymethods]
impl Captioner {
    #[new]
    fn open(py: Python<'_>, reference: String, precision: &str) -> PyResult<Self> {
        process::check()?;
        let precision = named_precision(precision)?;
        let captioner = py
            .detach(|| decap_cli::open_captioner(&reference, precision))
            .map_err(of_model)?;
        Ok(Self { captioner })
    }

    /// Calls `consume(name, caption or None, (kind, message) or None, warnings)` for each of `inputs`.
    #[pyo3(signature = (inputs, consume, batch, method=None, evidence=None, beam=None, rerank=None))]
    #[allow(
        clippy::too_many_arguments,
        reason = "each is a keyword of the Python method"
    )]
    fn caption_each(
        &self,
        py: Python<'_>,
        inputs: Py<PyAny>,
        consume: Py<PyAny>,
        batch: usize,
        method: Option<&str>,
        evidence: Option<usize>,
        beam: Option<usize>,
        rerank: Option<&str>,
    ) -> PyResult<()> {
        process::check()?;
        let options = self.chosen(method, evidence, beam, rerank)?;
        let (inputs, notes) = PyInputs::new(inputs);
        let stop = AtomicBool::new(false);
        py.detach(|| {
            let read = read_options(batch);
            let captioned = self
                .captioner
                .caption_each(inputs, &read, &options, &stop, |one| {
                    let name = one.input.name().to_string_lossy().into_owned();
                    let (caption, error) = match (notes.next_refusal(), one.result) {
                        (Some(refusal), _) => (None, Some(refusal)),
                        (None, Ok(caption)) => (Some(for_python(caption)), None),
                        (None, Err(error)) => {
                            let (kind, message) = told(error);
                            (None, Some((kind.to_owned(), message)))
                        }
                    };
                    Python::attach(|py| {
                        py.check_signals()?;
                        consume.call1(py, (name, caption, error, one.warnings))?;
                        Ok::<_, Halt>(())
                    })
                });
            captioned.map_err(Halt::of_inputs)
        })?;
        notes.finish()
    }

    /// Calls `consume(name, embedding or None, (kind, message) or None)` for each of `inputs`; an embedding is
    /// `[width]`, f32, as bytes.
    fn embed_each(
        &self,
        py: Python<'_>,
        inputs: Py<PyAny>,
        consume: Py<PyAny>,
        batch: usize,
    ) -> PyResult<()> {
        process::check()?;
        let (inputs, notes) = PyInputs::new(inputs);
        let stop = AtomicBool::new(false);
        py.detach(|| {
            let encoder = self.captioner.encoder();
            let embedded = embed_each(encoder, inputs, &read_options(batch), &stop, |one| {
                let name = one.input.name().to_string_lossy().into_owned();
                let result = match (notes.next_refusal(), one.result) {
                    (Some(refusal), _) => Err(refusal),
                    (None, Ok((embedding, ()))) => Ok(bytes_of(embedding.as_slice())),
                    (None, Err(error)) => {
                        let (kind, message) = told(error);
                        Err((kind.to_owned(), message))
                    }
                };
                Python::attach(|py| {
                    py.check_signals()?;
                    let (embedding, error) = match &result {
                        Ok(bytes) => (Some(PyBytes::new(py, bytes)), None),
                        Err(error) => (None, Some(error.clone())),
                    };
                    consume.call1(py, (name, embedding, error))?;
                    Ok::<_, Halt>(())
                })
            });
            embedded.map_err(Halt::of_inputs)
        })?;
        notes.finish()
    }

    /// The embeddings `[texts, width]`, f32, as bytes.
    fn embed_texts<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        process::check()?;
        let embeddings = embed_texts(py, self.captioner.encoder(), &texts)?;
        Ok(PyBytes::new(py, &bytes_of(embeddings.as_slice())))
    }

    /// Captions of `values` `[rows, width]`.
    #[pyo3(signature = (values, method=None, evidence=None, beam=None, rerank=None))]
    fn caption_embeddings(
        &self,
        py: Python<'_>,
        values: Vec<f32>,
        method: Option<&str>,
        evidence: Option<usize>,
        beam: Option<usize>,
        rerank: Option<&str>,
    ) -> PyResult<Vec<Told>> {
        process::check()?;
        let options = self.chosen(method, evidence, beam, rerank)?;
        let captions = py.detach(|| {
            let rows = Embeddings::new(values, self.captioner.encoder().width())?;
            self.captioner.caption_embeddings(&rows, &options)
        });
        let (captions, _) = captions.map_err(|error| exception(error.into()))?;
        Ok(captions.into_iter().map(for_python).collect())
    }

    /// This captioner with another memory; encoder and decoder are shared.
    fn with_memory(&self, memory: &Memory) -> PyResult<Self> {
        let mut captioner = self.captioner.clone();
        captioner
            .set_memory(memory.memory.clone())
            .map_err(|error| exception(error.into()))?;
        Ok(Self { captioner })
    }

    /// A memory of `texts` by this captioner's encoder.
    fn memory_of(&self, py: Python<'_>, texts: Vec<String>) -> PyResult<Memory> {
        process::check()?;
        let encoder = self.captioner.encoder();
        let built = py.detach(|| {
            SupportMemory::build(
                encoder,
                &texts,
                MemoryOptions::default(),
                "sentences given by the caller",
                None,
                |_| (),
                &AtomicBool::new(false),
            )
        });
        let memory = built.map_err(|error| exception(error.into()))?;
        Ok(Memory::new(memory, Some(Arc::clone(encoder))))
    }

    /// The support memory.
    fn memory(&self) -> Memory {
        let encoder = Arc::clone(self.captioner.encoder());
        Memory::new(self.captioner.memory().clone(), Some(encoder))
    }

    /// Tells apart all that decides a caption.
    #[pyo3(signature = (method=None, evidence=None, beam=None, rerank=None))]
    fn run_key(
        &self,
        py: Python<'_>,
        method: Option<&str>,
        evidence: Option<usize>,
        beam: Option<usize>,
        rerank: Option<&str>,
    ) -> PyResult<String> {
        let options = self.chosen(method, evidence, beam, rerank)?;
        let key = py.detach(|| self.captioner.run_key(&options));
        let key = key.map_err(|error| of_model(error.into()))?;
        Ok(key.as_str().to_owned())
    }

    /// The model's name.
    #[getter]
    fn name(&self) -> &str {
        &self.captioner.description().name
    }

    /// The width of an embedding.
    #[getter]
    fn width(&self) -> usize {
        self.captioner.encoder().width()
    }

    /// Softmax temperature of the projection.
    #[getter]
    fn tau(&self) -> f32 {
        self.captioner.options().tau
    }
}

impl Captioner {
    /// The model's options with what the caller chose.
    fn chosen(
        &self,
        method: Option<&str>,
        evidence: Option<usize>,
        beam: Option<usize>,
        rerank: Option<&str>,
    ) -> PyResult<CaptionOptions> {
        let mut options = self.captioner.options();
        if let Some(name) = method {
            options.method = named_method(name)?;
        }
        options.evidence = evidence.unwrap_or(options.evidence);
        if let Some(beam) = beam {
            let length_penalty = self.captioner.description().writing.length_penalty;
            options.generate.method = Generation::beam(beam, length_penalty);
        }
        if let Some(name) = rerank {
            options.rerank = named_rerank(name)?;
        }
        Ok(options)
    }
}

fn read_options(batch: usize) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.batch = batch;
    options
}

fn for_python(caption: Caption) -> Told {
    let evidence = caption.evidence.into_iter();
    let evidence = evidence.map(|Evidence { text, weight }| (text, weight));
    let from = caption.chosen_from.name();
    (
        caption.text,
        caption.score,
        caption.confidence,
        evidence.collect(),
        from,
    )
}

fn named_method(name: &str) -> PyResult<Method> {
    let known = Method::ALL.into_iter().find(|method| method.name() == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        unknown("method", &names, name)
    })
}

fn named_rerank(name: &str) -> PyResult<Rerank> {
    let all = [Rerank::None, Rerank::Encoder, Rerank::Consensus];
    let known = all.into_iter().find(|rerank| rerank.name() == name);
    known.ok_or_else(|| unknown("rerank", &all.map(Rerank::name), name))
}

/// What parts compute in, by its name.
fn named_precision(name: &str) -> PyResult<Precision> {
    name.parse().map_err(|error: Error| exception(error.into()))
}

fn unknown(what: &str, names: &[&str], got: &str) -> PyErr {
    let message = format!("{what}: expected one of {}, got `{got}`", names.join(", "));
    exception(Failure::Library(Error::Usage(message)))
}
