//! PyTorch files, parsed and never executed: `torch.save` archives, TorchScript archives, and the
//! form before PyTorch 1.6 (<https://github.com/pytorch/pytorch/blob/v2.6.0/torch/serialization.py>).
//!
//! A pickle is a program. This crate runs none: it reads the opcodes that state dicts are made of,
//! knows the few globals that build tensors and plain containers, and refuses every other by name.
//! What it returns are places within the file, so that the bytes can stay mapped.
//!
//! ```
//! use torch_state_dict::{NewTensor, StateDict, write};
//!
//! let weight = NewTensor { name: "weight", shape: &[2, 2], values: &[1.0, 2.0, 3.0, 4.0] };
//! let mut file = Vec::new();
//! write(&mut file, &[weight])?; // torch.load(path, weights_only=True) reads it
//!
//! let state = StateDict::parse(&file)?;
//! let weight = &state.tensors["weight"];
//! assert_eq!(weight.shape, [2, 2]);
//! assert_eq!(weight.to_f32(&file).unwrap(), [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod globals;
mod machine;
mod object;
mod pickle;
mod reduce;
mod stored;
#[cfg(test)]
mod tests;
mod writer;
mod zip;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use safetensors::Dtype;

pub use stored::{StoredTensor, element_size, widen};
pub use writer::{NewTensor, write};

use globals::Global;
use object::{Object, Ref};
use pickle::Pickle;

/// Largest pickle within an archive; those of the largest checkpoints have a few megabytes.
const MAX_PICKLE_BYTES: usize = 64 << 20;

/// Deepest nesting of containers, and most entries visited, in the search for tensors.
const MAX_DEPTH: usize = 64;
const MAX_ENTRIES: usize = 1 << 20;

/// What the first pickle of the legacy form holds: 0x1950a86a20f9469cfc6c, little-endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Names under which training scripts keep the weights beside other things.
const WEIGHT_KEYS: &[&str] = &["state_dict", "model_state_dict", "model"];

type Tensors = BTreeMap<String, StoredTensor>;

/// The tensors of a PyTorch file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StateDict {
    /// Which of PyTorch's forms the file has.
    pub form: Form,
    /// Where each tensor's elements lie, by name; nested names are joined by dots.
    pub tensors: BTreeMap<String, StoredTensor>,
}

/// How PyTorch wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// `torch.save`, as an archive or in the form before PyTorch 1.6.
    Torch,
    /// `torch.jit.save`: the attributes of the scripted module.
    TorchScript,
}

/// Why a file is no state dict: damaged, cut short, big-endian, claiming more than it holds, or a
/// pickle that names anything but tensors and plain containers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl StateDict {
    /// Whether `file` begins as a PyTorch file does.
    pub fn is_torch(file: &[u8]) -> bool {
        file.starts_with(zip::MAGIC)
            || (file.len() > 1 && file[0] == 0x80 && (1..=5).contains(&file[1]))
    }

    /// Finds the tensors of `file`, the whole of a PyTorch file. Nothing in it is executed.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(file: &[u8]) -> Result<Self, ParseError> {
        let (form, tensors) = if file.starts_with(zip::MAGIC) {
            read_archive(file)
        } else {
            read_legacy(file)
        }
        .map_err(ParseError)?;
        Ok(Self { form, tensors })
    }
}

fn read_archive(file: &[u8]) -> Result<(Form, Tensors), String> {
    let members = zip::members(file)?;
    // All lies in one folder whose name is the archive's.
    let pickle_name = members
        .keys()
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .min_by_key(|name| name.len())
        .ok_or_else(|| {
            "expected a PyTorch archive with a stored `data.pkl`, got none".to_owned()
        })?;
    let folder = pickle_name.trim_end_matches("data.pkl");
    let member = |name: &str| members.get(&format!("{folder}{name}")).cloned();
    if let Some(order) = member("byteorder")
        && file
            .get(order.clone())
            .is_some_and(|order| order.trim_ascii() != b"little")
    {
        let order = String::from_utf8_lossy(&file[order]);
        return Err(format!(
            "expected little-endian tensors, got byte order {order:?}"
        ));
    }
    let range = members.get(pickle_name).cloned().unwrap_or_default();
    if range.len() > MAX_PICKLE_BYTES {
        return Err(format!(
            "expected a pickle of at most {MAX_PICKLE_BYTES} bytes, got {}",
            range.len()
        ));
    }
    let (pickle, _) = Pickle::read(&file[range])?;
    let storages = |key: &str| member(&format!("data/{key}"));
    let is_script = matches!(pickle.get(pickle.root), Object::Module(_));
    let form = if is_script {
        Form::TorchScript
    } else {
        Form::Torch
    };
    Ok((form, collect_tensors(&pickle, &storages)?))
}

/// Magic number, protocol, system, object and storage keys are pickles one after the other; then each
/// storage as its number of elements and its bytes.
fn read_legacy(file: &[u8]) -> Result<(Form, Tensors), String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, String> {
        let end = file.len().min(at + MAX_PICKLE_BYTES);
        let (pickle, length) = Pickle::read(&file[at..end])?;
        at += length;
        Ok(pickle)
    };
    let magic = next()?;
    if !matches!(magic.get(magic.root), Object::BigInt(digits) if *digits == LEGACY_MAGIC) {
        return Err("expected a PyTorch file, got another pickle".to_owned());
    }
    let (_protocol, system, pickle, keys) = (next()?, next()?, next()?, next()?);
    if dict_value(&system, system.root, "little_endian").map(|value| system.get(value))
        == Some(&Object::Bool(false))
    {
        return Err("expected little-endian tensors, got big-endian ones".to_owned());
    }
    let dtypes = storage_dtypes(&pickle);
    let mut ranges = HashMap::new();
    for &key in keys.items(keys.root).unwrap_or_default() {
        let key = keys
            .text(key)
            .ok_or_else(|| "expected the key of a storage".to_owned())?;
        let truncated = || format!("storage `{key}`: the file ends before it does");
        let header = file.get(at..at + 8).ok_or_else(truncated)?;
        let mut count = [0; 8];
        count.copy_from_slice(header);
        let size = dtypes.get(key).copied().flatten().and_then(element_size);
        let size =
            size.ok_or_else(|| format!("storage `{key}`: expected a tensor that uses it"))?;
        let length = usize::try_from(u64::from_le_bytes(count)).ok();
        let length = length
            .and_then(|count| count.checked_mul(size))
            .ok_or_else(truncated)?;
        let start = at + 8;
        let end = start
            .checked_add(length)
            .filter(|&end| end <= file.len())
            .ok_or_else(truncated)?;
        ranges.insert(key.to_owned(), start..end);
        at = end;
    }
    let storages = |key: &str| ranges.get(key).cloned();
    Ok((Form::Torch, collect_tensors(&pickle, &storages)?))
}

/// The element type of each storage that the pickle refers to.
fn storage_dtypes(pickle: &Pickle) -> HashMap<String, Option<Dtype>> {
    pickle
        .persistent_ids()
        .filter_map(|id| {
            let storage = Storage::read(pickle, id).ok()?;
            Some((storage.key, storage.dtype))
        })
        .collect()
}

fn collect_tensors(
    pickle: &Pickle,
    storages: &dyn Fn(&str) -> Option<Range<usize>>,
) -> Result<Tensors, String> {
    let mut walk = Walk {
        pickle,
        storages,
        tensors: Tensors::new(),
        visited: 0,
    };
    let root = WEIGHT_KEYS
        .iter()
        .filter_map(|key| dict_value(pickle, pickle.root, key))
        .find(|&value| matches!(pickle.get(value), Object::Dict(_)))
        .unwrap_or(pickle.root);
    walk.visit("", root, 0)?;
    let mut tensors = walk.tensors;
    // What `DataParallel` puts before every name.
    if !tensors.is_empty() && tensors.keys().all(|name| name.starts_with("module.")) {
        let strip = |name: String| name["module.".len()..].to_owned();
        tensors = tensors
            .into_iter()
            .map(|(name, tensor)| (strip(name), tensor))
            .collect();
    }
    Ok(tensors)
}

fn dict_value(pickle: &Pickle, dict: Ref, key: &str) -> Option<Ref> {
    let Object::Dict(entries) = pickle.get(dict) else {
        return None;
    };
    let found = entries
        .iter()
        .rev()
        .find(|(name, _)| pickle.text(*name) == Some(key));
    found.map(|(_, value)| *value)
}

struct Walk<'a> {
    pickle: &'a Pickle,
    storages: &'a dyn Fn(&str) -> Option<Range<usize>>,
    tensors: Tensors,
    visited: usize,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, value: Ref, depth: usize) -> Result<(), String> {
        self.visited += 1;
        if depth > MAX_DEPTH || self.visited > MAX_ENTRIES {
            return Err(format!(
                "expected containers {MAX_DEPTH} deep with {MAX_ENTRIES} entries at most, got more"
            ));
        }
        match self.pickle.get(value) {
            Object::Dict(entries) => {
                for &(key, value) in entries {
                    let key = match self.pickle.get(key) {
                        Object::Text(key) => key.clone(),
                        Object::Int(key) => key.to_string(),
                        _ => continue,
                    };
                    let full = if name.is_empty() {
                        key
                    } else {
                        format!("{name}.{key}")
                    };
                    self.visit(&full, value, depth + 1)?;
                }
            }
            Object::Module(Some(attributes)) => self.visit(name, *attributes, depth + 1)?,
            Object::Tensor(arguments) => {
                let tensor = self
                    .tensor(arguments)
                    .map_err(|message| format!("tensor `{name}`: {message}"))?;
                self.tensors.insert(name.to_owned(), tensor);
            }
            _ => {}
        }
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`.
    fn tensor(&self, arguments: &[Ref]) -> Result<StoredTensor, String> {
        let [storage, offset, size, stride, ..] = *arguments else {
            return Err("expected storage, offset, size and stride, got fewer".to_owned());
        };
        let Object::Persistent(id) = *self.pickle.get(storage) else {
            return Err("expected a storage, got another value".to_owned());
        };
        let storage = Storage::read(self.pickle, id)?;
        let dtype = storage
            .dtype
            .ok_or_else(|| "expected a typed storage".to_owned())?;
        let bytes = (self.storages)(&storage.key)
            .ok_or_else(|| format!("storage `{}` is missing", storage.key))?;
        let claimed = element_size(dtype).and_then(|size| storage.elements.checked_mul(size));
        if claimed.is_none_or(|claimed| claimed > bytes.len()) {
            return Err(format!(
                "storage `{}`: expected {} elements, got {} bytes",
                storage.key,
                storage.elements,
                bytes.len()
            ));
        }
        let number = |value: Ref| self.pickle.int(value).and_then(|v| usize::try_from(v).ok());
        let offset = number(offset).ok_or_else(|| "expected an offset".to_owned())?;
        let shape = self
            .pickle
            .sizes(size)
            .ok_or_else(|| "expected sizes".to_owned())?;
        let strides = self
            .pickle
            .sizes(stride)
            .ok_or_else(|| "expected strides".to_owned())?;
        let tensor = StoredTensor {
            bytes,
            dtype,
            shape,
            offset,
            strides,
        };
        tensor.check()?;
        Ok(tensor)
    }
}

/// What a persistent id says: `("storage", torch.FloatStorage, key, device, elements)`.
struct Storage {
    key: String,
    dtype: Option<Dtype>,
    elements: usize,
}

impl Storage {
    fn read(pickle: &Pickle, id: Ref) -> Result<Self, String> {
        let malformed = || "expected the name of a storage, got another value".to_owned();
        let [kind, class, key, _device, elements, ..] = *pickle.items(id).ok_or_else(malformed)?
        else {
            return Err(malformed());
        };
        let Object::Global(Global::Storage(dtype)) = *pickle.get(class) else {
            return Err(malformed());
        };
        if pickle.text(kind) != Some("storage") {
            return Err(malformed());
        }
        Ok(Self {
            key: pickle.text(key).ok_or_else(malformed)?.to_owned(),
            dtype,
            elements: pickle
                .int(elements)
                .and_then(|elements| usize::try_from(elements).ok())
                .ok_or_else(malformed)?,
        })
    }
}
