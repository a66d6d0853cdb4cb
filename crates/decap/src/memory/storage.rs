//! A memory on disk: `memory.safetensors` and `captions.txt` in one folder.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, View, serialize};
use serde::{Deserialize, Serialize};

use super::{Captions, Memory, MemoryDtype, MemoryInfo, Rows};
use crate::error::{Error, Result};
use crate::weights::{Folder, Tensors, write_atomically};

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
        let captions = Captions::read(&folder.path(CAPTIONS_FILE), folder.bytes(CAPTIONS_FILE)?)?;
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

    /// Writes the two files into `folder`, each whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let header = Header {
            format_version: FORMAT_VERSION,
            info: self.info.clone(),
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
        write_atomically(&folder.join(CAPTIONS_FILE), |file| {
            file.write_all(self.captions.as_bytes())
        })?;
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
