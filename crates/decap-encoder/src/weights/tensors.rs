//! Named tensors of a safetensors file, checked when they are taken out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::Bytes;
use crate::error::{Error, Result};

/// Values that one thread widens at a time.
const CHUNK_VALUES: usize = 1 << 16;

/// The tensors of one safetensors file; its bytes stay mapped.
#[derive(Debug, Clone)]
pub struct Tensors {
    path: PathBuf,
    bytes: Bytes,
    entries: HashMap<String, Entry>,
    metadata: HashMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// One tensor's shape and raw little-endian bytes.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Extent of each axis.
    pub shape: &'a [usize],
    /// The elements, row-major.
    pub bytes: &'a [u8],
}

impl Tensors {
    /// Reads the header of the safetensors file in `bytes`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] where the header is damaged, or claims more than the file holds.
    pub fn read(path: impl AsRef<Path>, bytes: Bytes) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let broken = |error| Error::model(&path, format!("not a whole safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let view = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let base = bytes.as_ptr() as usize;
        let entries = view
            .iter()
            .map(|(name, tensor)| {
                // Offsets into our own bytes, so that no borrow of them is kept.
                let start = tensor.data().as_ptr() as usize - base;
                let entry = Entry {
                    dtype: tensor.dtype(),
                    shape: tensor.shape().to_vec(),
                    start,
                    end: start + tensor.data().len(),
                };
                (name.to_owned(), entry)
            })
            .collect();
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self {
            path,
            bytes,
            entries,
            metadata,
        })
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text entries of the header.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// [`Error::Model`] where there is none.
    pub fn get(&self, name: &str) -> Result<Tensor<'_>> {
        let entry = self
            .entries
            .get(name)
            .ok_or_else(|| Error::model(&self.path, format!("tensor `{name}` is missing")))?;
        Ok(Tensor {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &self.bytes[entry.start..entry.end],
        })
    }

    /// The raw bytes of the tensor `name`, sharing the file's.
    ///
    /// # Errors
    /// [`Error::Model`] where there is none.
    pub fn bytes(&self, name: &str) -> Result<Bytes> {
        self.get(name)?;
        let entry = &self.entries[name];
        Ok(self.bytes.slice(entry.start..entry.end))
    }

    /// The tensor `name`, widened to f32 from f32, f16 or bf16, of exactly `shape`.
    ///
    /// # Errors
    /// [`Error::Model`] where it is missing, of another shape or type, or holds a NaN or infinity.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.get(name)?.shape.iter().product()];
        self.f32_into(name, shape, &mut values)?;
        Ok(values)
    }

    /// As [`Tensors::f32`], into `target` of as many values, on all cores.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// When `target` does not hold as many values as `shape`.
    pub fn f32_into(&self, name: &str, shape: &[usize], target: &mut [f32]) -> Result<()> {
        let tensor = self.get(name)?;
        if tensor.shape != shape {
            return Err(Error::model(
                &self.path,
                format!(
                    "tensor `{name}`: expected shape {shape:?}, got {:?}",
                    tensor.shape
                ),
            ));
        }
        let broken = |message| {
            Err(Error::model(
                &self.path,
                format!("tensor `{name}`: {message}"),
            ))
        };
        let size = match tensor.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => return broken(format!("expected f32, f16 or bf16, got {other:?}")),
        };
        assert_eq!(
            target.len() * size,
            tensor.bytes.len(),
            "values of `{name}`"
        );
        let chunks = target.par_chunks_mut(CHUNK_VALUES);
        let chunks = chunks.zip(tensor.bytes.par_chunks(CHUNK_VALUES * size));
        let first_broken = chunks
            .enumerate()
            .filter_map(|(chunk, (values, bytes))| {
                widen(tensor.dtype, bytes, values);
                let place = values.iter().position(|value| !value.is_finite())?;
                Some(chunk * CHUNK_VALUES + place)
            })
            .min();
        match first_broken {
            Some(index) => broken(format!(
                "value {index} is {}, expected a number",
                target[index]
            )),
            None => Ok(()),
        }
    }
}

impl Tensor<'_> {
    /// The elements as f32, or `None` for a type that is not f32, f16 or bf16.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let size = match self.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            _ => return None,
        };
        let mut values = vec![0.0; self.bytes.len() / size];
        widen(self.dtype, self.bytes, &mut values);
        Some(values)
    }
}

/// Little-endian f32, f16 or bf16 as f32.
fn widen(dtype: Dtype, bytes: &[u8], values: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (value, four) in values.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            }
        }
        Dtype::F16 => {
            for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = f16::from_le_bytes([pair[0], pair[1]]).to_f32();
            }
        }
        _ => {
            for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = bf16::from_le_bytes([pair[0], pair[1]]).to_f32();
            }
        }
    }
}
