//! A memory on disk: `memory.safetensors` and `captions.txt` in one folder.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, View, serialize};
use serde::{Deserialize, Serialize};

use super::{Captions, Memory, MemoryDtype, MemoryInfo, Rows};
use decap_encoder::output::write_atomically;
use decap_encoder::weights::{Folder, Tensors};
use decap_encoder::{Error, Result};

/// The rows' file: tensors `rows` `[rows, width]` and, for int8, `scales` `[rows]`.
pub const ROWS_FILE: &str = "memory.safetensors";
/// The sentences' file, one a line.
pub const CAPTIONS_FILE: &str = "captions.txt";

/// The one entry of the rows file's metadata; one, because a map's order is not reproducible.
const HEADER_KEY: &str = "decap-memory";
/// The newest memory that this crate reads, and the one it writes.
const FORMAT_VERSION: u32 = 1;

/// What is written under [`HEADER_KEY`], as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    info: MemoryInfo,
    /// How much of [`CAPTIONS_FILE`] the rows belong to; all of it where nothing is said. More than
    /// that was appended by a [`Memory::save_extended`] that was cut off before it wrote its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captions_bytes: Option<u64>,
}

impl Memory {
    /// Opens the memory in `folder`; rows and captions stay mapped.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is not there, [`Error::Model`] where one is damaged, does not
    /// fit the other, or has a future format version.
    pub fn open(folder: &Folder) -> Result<Self> {
        let path = folder.path(ROWS_FILE);
        let tensors = Tensors::read(&path, folder.bytes(ROWS_FILE)?)?;
        let header = tensors
            .metadata()
            .get(HEADER_KEY)
            .map(|json| serde_json::from_str(json));
        let Some(Ok(Header {
            format_version,
            info,
            captions_bytes,
        })) = header
        else {
            return Err(Error::model(
                path,
                "not a memory: its header does not say so",
            ));
        };
        if format_version != FORMAT_VERSION {
            return Err(Error::model(
                path,
                format!(
                    "expected memory format version {FORMAT_VERSION}, got {format_version}: \
                     made by a newer decap?"
                ),
            ));
        }
        let (dtype, width) = match tensors.get("rows")? {
            tensor if tensor.shape.len() != 2 => {
                let shape = tensor.shape;
                return Err(Error::model(
                    path,
                    format!("tensor `rows`: expected shape [rows, width], got {shape:?}"),
                ));
            }
            tensor => (memory_dtype(tensor.dtype), tensor.shape[1]),
        };
        let dtype =
            dtype.ok_or_else(|| Error::model(&path, "tensor `rows`: expected f32, f16 or int8"))?;
        let scales = match dtype {
            MemoryDtype::Int8 => tensors.f32("scales", &[tensors.get("rows")?.shape[0]])?,
            _ => Vec::new(),
        };
        let rows = Rows::from_bytes(dtype, width, tensors.bytes("rows")?, scales)
            .map_err(|message| Error::model(&path, format!("tensor `rows`: {message}")))?;
        let path = folder.path(CAPTIONS_FILE);
        let bytes = folder.bytes(CAPTIONS_FILE)?;
        let bytes = match captions_bytes.and_then(|length| usize::try_from(length).ok()) {
            None => bytes,
            Some(length) if length <= bytes.len() => bytes.slice(0..length),
            Some(length) => {
                return Err(Error::model(
                    path,
                    format!("expected {length} bytes of captions, got {}", bytes.len()),
                ));
            }
        };
        let captions = Captions::read(&path, bytes)?;
        if captions.len() != rows.len() {
            return Err(Error::model(
                folder.path(CAPTIONS_FILE),
                format!(
                    "expected {} captions, one a row, got {}",
                    rows.len(),
                    captions.len()
                ),
            ));
        }
        Self::new(rows, captions, info)
    }

    /// The files of a memory's folder, for [`decap_encoder::output::write_folder_atomically`].
    pub const FILES: [&str; 2] = [ROWS_FILE, CAPTIONS_FILE];

    /// Writes the two files into `folder`, each whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.save_captions(folder)?;
        self.save_rows(folder)
    }

    /// Replaces this memory in `folder` by `extended`, which begins with the same sentences. Where
    /// that is cut off, at whatever point, the folder holds the one or the other, whole.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Mismatch`] where `extended` begins otherwise.
    pub fn save_extended(&self, extended: &Self, folder: &Path) -> Result<()> {
        let (old, new) = (self.captions.as_bytes(), extended.captions.as_bytes());
        if !new.starts_with(old) {
            return Err(Error::Mismatch(
                "expected a memory that begins with the sentences of the old one".to_owned(),
            ));
        }
        // The rows say first how many of the captions are theirs, so that more can lie behind them.
        self.save_rows(folder)?;
        extended.save_captions(folder)?;
        extended.save_rows(folder)
    }

    fn save_captions(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(CAPTIONS_FILE), |file| {
            file.write_all(self.captions.as_bytes())
        })
    }

    fn save_rows(&self, folder: &Path) -> Result<()> {
        let header = Header {
            format_version: FORMAT_VERSION,
            info: self.info.clone(),
            captions_bytes: Some(self.captions.as_bytes().len() as u64),
        };
        let header = serde_json::to_string(&header)
            .map_err(|error| Error::model(folder, format!("cannot be written: {error}")))?;
        let metadata = HashMap::from([(HEADER_KEY.to_owned(), header)]);
        let mut tensors = vec![(
            "rows",
            Stored {
                dtype: safetensors_dtype(self.rows.dtype()),
                shape: vec![self.rows.len(), self.rows.width()],
                bytes: self.rows.as_bytes(),
            },
        )];
        if !self.rows.scales().is_empty() {
            tensors.push((
                "scales",
                Stored {
                    dtype: Dtype::F32,
                    shape: vec![self.rows.len()],
                    bytes: bytemuck::cast_slice(self.rows.scales()),
                },
            ));
        }
        let rows_path = folder.join(ROWS_FILE);
        let bytes = serialize(tensors, Some(metadata))
            .map_err(|error| Error::model(&rows_path, format!("cannot be written: {error}")))?;
        write_atomically(&rows_path, |file| file.write_all(&bytes))
    }
}

fn memory_dtype(dtype: Dtype) -> Option<MemoryDtype> {
    match dtype {
        Dtype::F32 => Some(MemoryDtype::F32),
        Dtype::F16 => Some(MemoryDtype::F16),
        Dtype::I8 => Some(MemoryDtype::Int8),
        _ => None,
    }
}

fn safetensors_dtype(dtype: MemoryDtype) -> Dtype {
    match dtype {
        MemoryDtype::F32 => Dtype::F32,
        MemoryDtype::F16 => Dtype::F16,
        MemoryDtype::Int8 => Dtype::I8,
    }
}

/// A tensor as the safetensors crate wants to see it.
struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryBuilder, MemoryOptions};
    use decap_encoder::Embeddings;

    fn memory(sentences: &[&str]) -> Memory {
        let options = MemoryOptions::default();
        let values = (0..sentences.len()).flat_map(|index| [1.0, index as f32]);
        let embeddings = Embeddings::new(values.collect(), 2).unwrap();
        let info = MemoryInfo {
            encoder_fingerprint: "0123".to_owned(),
            encoder_name: "test".to_owned(),
            source: "test".to_owned(),
        };
        let chosen = MemoryBuilder::choose(sentences, options).unwrap();
        chosen.finish(&embeddings, info).unwrap()
    }

    fn sentences(folder: &Path) -> Vec<String> {
        let memory = Memory::open(&Folder::disk(folder)).unwrap();
        assert_eq!(memory.rows().len(), memory.captions().len());
        memory.captions().iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_extension_that_is_cut_off_leaves_a_whole_memory() {
        let (old, new) = (
            memory(&["a dog", "a cat"]),
            memory(&["a dog", "a cat", "a bear"]),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        old.save(path).unwrap();
        // The steps of `save_extended`, one at a time.
        old.save_rows(path).unwrap();
        assert_eq!(sentences(path), ["a dog", "a cat"]);
        new.save_captions(path).unwrap();
        assert_eq!(sentences(path), ["a dog", "a cat"]);
        assert_eq!(std::fs::read(path.join(CAPTIONS_FILE)).unwrap().len(), 19);
        new.save_rows(path).unwrap();
        assert_eq!(sentences(path), ["a dog", "a cat", "a bear"]);
        // The same when it is tried again after it was cut off.
        old.save(path).unwrap();
        new.save_captions(path).unwrap();
        let again = Memory::open(&Folder::disk(path)).unwrap();
        again.save_extended(&new, path).unwrap();
        assert_eq!(sentences(path), ["a dog", "a cat", "a bear"]);
        let other = memory(&["a bird", "a cat", "a bear"]);
        let error = again.save_extended(&other, path).unwrap_err();
        assert_eq!(error.kind(), "mismatch", "{error}");
    }

    #[test]
    fn another_width_or_encoder_is_refused() {
        let memory = memory(&["a dog", "a cat"]);
        let wide = Embeddings::new(vec![1.0, 0.0, 0.0], 3).unwrap();
        for error in [
            memory.project(&wide, 0.01, 1).unwrap_err(),
            memory.nearest(&wide).unwrap_err(),
            memory.extended(&["a bear".to_owned()], &wide).unwrap_err(),
        ] {
            assert_eq!(error.kind(), "mismatch", "{error}");
            assert!(error.to_string().contains("width"), "{error}");
        }
        assert!(memory.check_encoder("0123", "same").is_ok());
        let error = memory.check_encoder("4567", "other").unwrap_err();
        assert!(error.to_string().contains("`other` (4567)"), "{error}");
    }

    #[test]
    fn captions_that_were_cut_short_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        memory(&["a dog", "a cat"]).save(folder.path()).unwrap();
        std::fs::write(folder.path().join(CAPTIONS_FILE), "a dog\n").unwrap();
        let error = Memory::open(&Folder::disk(folder.path())).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected 12 bytes of captions, got 6"),
            "{error}"
        );
    }
}
