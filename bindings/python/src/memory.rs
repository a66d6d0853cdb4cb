//! `decap.Memory`, natively: sentences and their embeddings.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use decap::encoder::Encoder;
use decap::memory::{Memory as SupportMemory, MemoryOptions};
use decap::output::write_folder_atomically;
use decap::{Embedding, Embeddings, Error, Precision};
use decap_cli::Failure;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Halt, exception, of_model};
use crate::process;

/// A memory, and its encoder where that is known.
#[pyclass(frozen, module = "decap._decap")]
pub struct Memory {
    pub(crate) memory: SupportMemory,
    encoder: Option<Arc<Encoder>>,
}

impl Memory {
    /// A memory, and its encoder where that is known.
    pub fn new(memory: SupportMemory, encoder: Option<Arc<Encoder>>) -> Self {
        Self { memory, encoder }
    }
}

#[pymethods]
impl Memory {
    /// The memory of a memory's folder, a model's folder, `tiny`, or an id of the Hub.
    #[staticmethod]
    fn open(py: Python<'_>, reference: String) -> PyResult<Self> {
        process::check()?;
        let memory = py.detach(|| decap_cli::open_memory(&reference));
        Ok(Self::new(memory.map_err(of_model)?, None))
    }

    /// A memory of `texts`; `progress(done, total)` is called meanwhile.
    #[staticmethod]
    fn build(
        py: Python<'_>,
        texts: Vec<String>,
        encoder: String,
        max_rows: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        process::check()?;
        let precision = Precision::Auto;
        let encoder = py.detach(|| decap_cli::open_encoder(&encoder, precision));
        let encoder = encoder.map_err(of_model)?;
        let mut options = MemoryOptions::default();
        options.max_rows = max_rows;
        let source = "sentences given by the caller";
        let stop = AtomicBool::new(false);
        let mut raised = None;
        let built = py.detach(|| {
            SupportMemory::build(
                &encoder,
                &texts,
                options,
                source,
                None,
                |encoding| {
                    let told = Python::attach(|py| {
                        py.check_signals()?;
                        if let Some(progress) = &progress {
                            progress.call1(py, (encoding.done, encoding.total))?;
                        }
                        Ok(())
                    });
                    if let Err(error) = told {
                        stop.store(true, std::sync::atomic::Ordering::Relaxed);
                        raised = Some(error);
                    }
                },
                &stop,
            )
        });
        if let Some(raised) = raised {
            return Err(raised);
        }
        let memory = built.map_err(|error| Halt::Library(error).of_inputs())?;
        Ok(Self::new(memory, Some(encoder)))
    }

    /// Writes it into a new folder.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        if folder.join(SupportMemory::FILES[0]).exists() {
            return Err(exception(Failure::Usage(format!(
                "{}: there is a memory already\n  choose another folder",
                folder.display()
            ))));
        }
        py.detach(|| write_folder_atomically(&folder, &[], |folder| self.memory.save(folder)))
            .map_err(|error| exception(error.into()))
    }

    /// `(text, cosine)` of the rows nearest to a sentence.
    fn search_text(
        &self,
        py: Python<'_>,
        query: String,
        count: usize,
    ) -> PyResult<Vec<(String, f32)>> {
        process::check()?;
        let Some(encoder) = &self.encoder else {
            return Err(exception(Failure::Library(Error::Usage(format!(
                "this memory was opened without its encoder `{}`: give an embedding, as \
                 Captioner.embed_texts makes it",
                self.memory.info().encoder_name
            )))));
        };
        let embeddings = embed_texts(py, encoder, &[query])?;
        self.search_embedding(py, embeddings.as_slice().to_vec(), count)
    }

    /// `(text, cosine)` of the rows nearest to an embedding `[width]`.
    fn search_embedding(
        &self,
        py: Python<'_>,
        query: Vec<f32>,
        count: usize,
    ) -> PyResult<Vec<(String, f32)>> {
        process::check()?;
        let found = py.detach(|| self.memory.search(&Embedding::new(query)?, count));
        let found = found.map_err(|error| exception(error.into()))?;
        Ok(found
            .into_iter()
            .map(|one| (one.text, one.cosine))
            .collect())
    }

    /// The sentences.
    fn texts(&self) -> Vec<String> {
        self.memory.captions().iter().map(str::to_owned).collect()
    }

    /// The embeddings `[rows, width]`, f32, as bytes.
    fn embeddings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| {
            let mut bytes = Vec::with_capacity(self.memory.len() * self.memory.width() * 4);
            for row in 0..self.memory.len() {
                bytes.extend(bytes_of(self.memory.row(row)?.as_slice()));
            }
            Ok::<_, Error>(bytes)
        });
        let bytes = bytes.map_err(|error| exception(error.into()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The width of an embedding.
    #[getter]
    fn width(&self) -> usize {
        self.memory.width()
    }

    /// The encoder that made it.
    #[getter]
    fn encoder_name(&self) -> &str {
        &self.memory.info().encoder_name
    }

    fn __len__(&self) -> usize {
        self.memory.len()
    }
}

/// Embeddings of `texts` `[texts, width]`; Ctrl-C is heard between batches.
pub fn embed_texts(py: Python<'_>, encoder: &Encoder, texts: &[String]) -> PyResult<Embeddings> {
    /// Few enough to stop soon.
    const TEXTS_AT_A_TIME: usize = 512;
    let mut embeddings = Embeddings::empty(encoder.width());
    for chunk in texts.chunks(TEXTS_AT_A_TIME) {
        py.check_signals()?;
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let encoded = py.detach(|| encoder.encode_texts(&chunk));
        encoded
            .and_then(|encoded| embeddings.extend(&encoded))
            .map_err(|error| exception(error.into()))?;
    }
    Ok(embeddings)
}

/// f32 values as numpy reads them: little-endian.
pub fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
