//! Safetensors files, written.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::error::{Error, Result};
use crate::output::write_atomically;

/// A tensor ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// The type of an element.
    pub dtype: Dtype,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// The elements, row-major, little-endian.
    pub bytes: Vec<u8>,
}

impl NewTensor {
    /// An f32 tensor under `name`.
    pub fn f32(name: String, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self {
            name,
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes,
        }
    }
}

/// Writes tensors and at most one metadata entry: with several, their order in the file would
/// differ from run to run.
///
/// # Errors
/// [`Error::Io`]; [`Error::Model`] where a tensor's bytes do not fit its shape.
pub fn write_safetensors(
    path: &Path,
    tensors: &[NewTensor],
    metadata: Option<(&str, String)>,
) -> Result<()> {
    let unusable = |error| Error::model(path, format!("cannot be written: {error}"));
    let views = tensors
        .iter()
        .map(|tensor| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
            Ok((tensor.name.as_str(), view.map_err(unusable)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = metadata.map(|(key, value)| [(key.to_owned(), value)].into());
    let bytes = safetensors::serialize(views, metadata).map_err(unusable)?;
    write_atomically(path, |file| file.write_all(&bytes))
}
