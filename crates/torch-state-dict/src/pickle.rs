//! A pickle, read.

use super::machine::Machine;
use super::object::{Object, Ref};

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
