//! The plain values of a pickle.

use super::globals::Global;
use super::machine::Machine;

/// A value's place in the arena of its [`Pickle`].
pub(super) type Ref = u32;

/// A value that a pickle builds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, as PyTorch's legacy magic number; little-endian.
    BigInt(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Ref>),
    Tuple(Vec<Ref>),
    Set(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    /// A function or class that is allowed.
    Global(Global),
    /// What the archive keeps outside of the pickle: the tuple that names a storage.
    Persistent(Ref),
    /// The arguments of `torch._utils._rebuild_tensor_v2`.
    Tensor(Vec<Ref>),
    /// An instance of a TorchScript class and its attributes.
    Module(Option<Ref>),
}

/// The values of one pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    pub(super) root: Ref,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`; returns it and how many bytes it took.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), String> {
        let (objects, root, length) = Machine::run(bytes)?;
        Ok((Self { objects, root }, length))
    }

    pub(super) fn get(&self, reference: Ref) -> &Object {
        // References come from this arena alone.
        self.objects
            .get(reference as usize)
            .unwrap_or(&Object::None)
    }

    /// The tuples that name storages.
    pub(super) fn persistent_ids(&self) -> impl Iterator<Item = Ref> {
        self.objects.iter().filter_map(|object| match object {
            Object::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    pub(super) fn int(&self, reference: Ref) -> Option<i64> {
        match self.get(reference) {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn text(&self, reference: Ref) -> Option<&str> {
        match self.get(reference) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(super) fn items(&self, reference: Ref) -> Option<&[Ref]> {
        match self.get(reference) {
            Object::List(items) | Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A list or tuple of sizes.
    pub(super) fn sizes(&self, reference: Ref) -> Option<Vec<usize>> {
        let items = self.items(reference)?;
        items
            .iter()
            .map(|&item| usize::try_from(self.int(item)?).ok())
            .collect()
    }
}
