//! Named tensors of somebody else's checkpoint: safetensors, sharded or not, and PyTorch files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use torch_state_dict::{Form, StateDict, StoredTensor, element_size, widen};

use super::Bytes;
use crate::error::{Error, Result};

/// Most shards of a checkpoint; the largest public ones have some two hundred.
const MAX_SHARDS: usize = 4096;

/// The tensors of a checkpoint in any common form; their bytes stay mapped.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    form: CheckpointForm,
    files: Vec<Bytes>,
    tensors: BTreeMap<String, CheckpointTensor>,
}

/// A tensor and which of the checkpoint's files it is in.
#[derive(Debug, Clone)]
struct CheckpointTensor {
    file: usize,
    stored: StoredTensor,
}

/// How a checkpoint is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointForm {
    /// One safetensors file, or several with an index.
    Safetensors,
    /// `torch.save`, parsed without running it.
    Torch,
    /// `torch.jit.save`: the attributes of the scripted module.
    TorchScript,
}

impl Checkpoint {
    /// Opens the file at `path`: safetensors, a `*.index.json` of shards, or a PyTorch file (a ZIP
    /// archive, TorchScript, or the form before PyTorch 1.6).
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened; [`Error::Model`] where it is damaged, of another kind,
    /// big-endian, claims more than it holds, or is a pickle that names anything but tensors and plain
    /// containers. Pickles are parsed, never executed.
    pub fn open(path: &Path) -> Result<Self> {
        let is_index = path.to_string_lossy().ends_with(".index.json");
        if is_index {
            Self::open_sharded(path)
        } else {
            Self::open_single(path)
        }
    }

    fn open_single(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if metadata.is_dir() {
            return Err(Error::io(path, std::io::ErrorKind::IsADirectory.into()));
        }
        let bytes = Bytes::map(path)?;
        let (form, tensors) = if StateDict::is_torch(&bytes) {
            let state =
                StateDict::parse(&bytes).map_err(|error| Error::model(path, error.to_string()))?;
            let form = match state.form {
                Form::TorchScript => CheckpointForm::TorchScript,
                _ => CheckpointForm::Torch,
            };
            (form, state.tensors)
        } else if bytes.starts_with(b"version https://git-lfs") {
            let message = "expected weights, got a Git LFS pointer: the weights were never fetched";
            return Err(Error::model(path, message));
        } else {
            let tensors = read_safetensors(&bytes).map_err(|error| Error::model(path, error))?;
            (CheckpointForm::Safetensors, tensors)
        };
        Ok(Self {
            path: path.to_path_buf(),
            form,
            files: vec![bytes],
            tensors: tensors
                .into_iter()
                .map(|(name, stored)| (name, CheckpointTensor { file: 0, stored }))
                .collect(),
        })
    }

    fn open_sharded(path: &Path) -> Result<Self> {
        let bytes = Bytes::map(path)?;
        let index: ShardIndex = serde_json::from_slice(&bytes)
            .map_err(|error| Error::model(path, format!("expected an index of shards: {error}")))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let mut checkpoint = Self {
            path: path.to_path_buf(),
            form: CheckpointForm::Safetensors,
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let mut names_of_shard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, shard) in &index.weight_map {
            names_of_shard.entry(shard).or_default().push(name);
        }
        if names_of_shard.len() > MAX_SHARDS {
            return Err(Error::model(
                path,
                format!("expected at most {MAX_SHARDS} shards, got more"),
            ));
        }
        for (shard, names) in names_of_shard {
            // A shard lies beside its index; anything else would read files that were not named.
            if Path::new(shard).file_name() != Some(shard.as_ref()) {
                let message =
                    format!("expected the name of a file beside the index, got {shard:?}");
                return Err(Error::model(path, message));
            }
            let mut opened = Self::open_single(&folder.join(shard))?;
            checkpoint.form = opened.form;
            let file = checkpoint.files.len();
            checkpoint.files.append(&mut opened.files);
            for name in names {
                let mut tensor = opened.tensors.remove(name).ok_or_else(|| {
                    Error::model(folder.join(shard), format!("tensor `{name}` is missing"))
                })?;
                tensor.file = file;
                checkpoint.tensors.insert(name.to_owned(), tensor);
            }
        }
        Ok(checkpoint)
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is written down.
    pub fn form(&self) -> CheckpointForm {
        self.form
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The extent of each axis of tensor `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors
            .get(name)
            .map(|tensor| tensor.stored.shape.as_slice())
    }

    /// The element type of tensor `name`.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|tensor| tensor.stored.dtype)
    }

    /// Renames every tensor; those for which `rename` gives `None` are dropped.
    pub fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors
            .into_iter()
            .filter_map(|(name, tensor)| Some((rename(&name)?, tensor)))
            .collect();
        self
    }

    /// The tensor `name`, widened to f32 from f64, f32, f16 or bf16, row-major, of exactly `shape`.
    /// Borrowed from the map where it lies there as f32.
    ///
    /// # Errors
    /// [`Error::Model`] where it is missing, of another shape or type, or holds a NaN or infinity.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>> {
        let fail = |message| {
            Err(Error::model(
                &self.path,
                format!("tensor `{name}`{message}"),
            ))
        };
        let Some(tensor) = self.tensors.get(name) else {
            return fail(" is missing".to_owned());
        };
        if tensor.stored.shape != shape {
            return fail(format!(
                ": expected shape {shape:?}, got {:?}",
                tensor.stored.shape
            ));
        }
        let Some(values) = self.values(tensor) else {
            return fail(format!(
                ": expected f32, f64, f16 or bf16, got {:?}",
                tensor.stored.dtype
            ));
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return fail(format!(
                ": value {index} is {}, expected a number",
                values[index]
            ));
        }
        Ok(values)
    }

    /// Says that tensor `name` has been copied: its pages need not stay in memory.
    pub fn release(&self, name: &str) {
        if let Some(tensor) = self.tensors.get(name)
            && let Some(file) = self.files.get(tensor.file)
        {
            file.release(tensor.stored.bytes.clone());
        }
    }

    /// At most `count` values of tensor `name`, evenly spread: what a fingerprint looks at.
    pub(crate) fn sample(&self, name: &str, count: usize) -> Option<Vec<f32>> {
        let tensor = self.tensors.get(name)?;
        let bytes = self.storage(tensor);
        let tensor = &tensor.stored;
        let total: usize = tensor.shape.iter().product();
        let size = element_size(tensor.dtype)?;
        let step = total.div_ceil(count.max(1)).max(1);
        (0..total)
            .step_by(step)
            .map(|index| {
                let at = tensor.element(index) * size;
                widen(tensor.dtype, bytes.get(at..at + size)?)?
                    .first()
                    .copied()
            })
            .collect()
    }

    fn storage(&self, tensor: &CheckpointTensor) -> &[u8] {
        // Ranges were checked against their file when they were read.
        self.files
            .get(tensor.file)
            .and_then(|file| file.get(tensor.stored.bytes.clone()))
            .unwrap_or_default()
    }

    fn values(&self, tensor: &CheckpointTensor) -> Option<Cow<'_, [f32]>> {
        let storage = self.storage(tensor);
        let tensor = &tensor.stored;
        let size = element_size(tensor.dtype)?;
        let total: usize = tensor.shape.iter().product();
        if tensor.is_contiguous() {
            let start = tensor.offset * size;
            let bytes = storage.get(start..start + total * size)?;
            if tensor.dtype == Dtype::F32
                && cfg!(target_endian = "little")
                && let Ok(values) = bytemuck::try_cast_slice(bytes)
            {
                return Some(Cow::Borrowed(values));
            }
            return widen(tensor.dtype, bytes).map(Cow::Owned);
        }
        let all = widen(tensor.dtype, storage)?;
        let values = (0..total).map(|index| all.get(tensor.element(index)).copied());
        values.collect::<Option<Vec<f32>>>().map(Cow::Owned)
    }
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

fn read_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, StoredTensor>, String> {
    let broken = |error| format!("expected safetensors or a PyTorch file: {error}");
    let view = SafeTensors::deserialize(bytes).map_err(broken)?;
    let base = bytes.as_ptr() as usize;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in view.iter() {
        let start = tensor.data().as_ptr() as usize - base;
        let range = start..start + tensor.data().len();
        let stored = StoredTensor::dense(range, tensor.dtype(), tensor.shape().to_vec());
        tensors.insert(name.to_owned(), stored);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safetensors file with this header and this many bytes of data.
    fn with_header(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    #[test]
    fn hostile_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let three_gigabytes =
            r#"{"a":{"dtype":"F32","shape":[750000000],"data_offsets":[0,3000000000]}}"#;
        let shape_lies = r#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}"#;
        let overflows =
            r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,16]}}"#;
        let whole = with_header(
            r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
            16,
        );
        let mut long_header = vec![0xff; 8];
        long_header.resize(1024, b'{');
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (Vec::new(), "expected safetensors or a PyTorch file"),
            (vec![1, 2, 3], "expected safetensors or a PyTorch file"),
            (
                b"<!DOCTYPE html><html>Not found</html>".to_vec(),
                "expected safetensors",
            ),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n".to_vec(),
                "a Git LFS pointer",
            ),
            (long_header, "expected safetensors"),
            (with_header(three_gigabytes, 1024), "expected safetensors"),
            (with_header(shape_lies, 16), "expected safetensors"),
            (with_header(overflows, 16), "expected safetensors"),
            (whole[..whole.len() - 1].to_vec(), "expected safetensors"),
            (b"PK\x03\x04 and nothing more".to_vec(), "cut short"),
        ];
        for (bytes, message) in cases {
            fs::write(&path, &bytes).unwrap();
            let error = Checkpoint::open(&path).unwrap_err();
            assert_eq!(error.kind(), "model");
            assert!(
                error.to_string().contains(message),
                "{error} lacks {message:?}"
            );
        }
        fs::write(&path, &whole).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.f32("a", &[4]).unwrap().as_ref(), [0.0; 4]);
        assert!(
            checkpoint
                .f32("a", &[2, 2])
                .unwrap_err()
                .to_string()
                .contains("got [4]")
        );
        assert!(
            checkpoint
                .f32("b", &[4])
                .unwrap_err()
                .to_string()
                .contains("`b` is missing")
        );
        assert_eq!(Checkpoint::open(folder.path()).unwrap_err().kind(), "io");
        assert_eq!(
            Checkpoint::open(&folder.path().join("none"))
                .unwrap_err()
                .kind(),
            "not_found"
        );
    }

    #[test]
    fn shards_lie_beside_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        let shard = with_header(
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4,
        );
        fs::write(folder.path().join("one.safetensors"), shard).unwrap();
        let open = |map: &str| {
            fs::write(&index, format!("{{\"weight_map\": {map}}}")).unwrap();
            Checkpoint::open(&index)
        };
        assert!(open(r#"{"a": "one.safetensors"}"#).unwrap().contains("a"));
        let cases = [
            (r#"{"a": "../one.safetensors"}"#, "beside the index"),
            (r#"{"a": "/etc/passwd"}"#, "beside the index"),
            (r#"{"a": ".."}"#, "beside the index"),
            (r#"{"a": ""}"#, "beside the index"),
            (r#"{"a": "two.safetensors"}"#, "two.safetensors"),
            (r#"{"b": "one.safetensors"}"#, "tensor `b` is missing"),
            ("3", "expected an index of shards"),
        ];
        for (map, message) in cases {
            let error = open(map).unwrap_err().to_string();
            assert!(error.contains(message), "{error} lacks {message:?}");
        }
    }
}
