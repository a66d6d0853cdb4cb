//! Calls of Python's functions and classes: the plain values that stand for their results.

use super::globals::Global;
use super::object::{Object, Ref};

/// What a call gives.
pub(super) enum Reduced {
    /// One of its arguments, unchanged.
    Argument(Ref),
    /// A new value.
    Value(Object),
}

/// Most arguments of a call; `_rebuild_tensor_v2` has seven.
const MAX_ARGUMENTS: usize = 16;

/// The result of calling `global` with `arguments`.
pub(super) fn reduce(global: Global, arguments: &[Ref]) -> Result<Reduced, String> {
    if arguments.len() > MAX_ARGUMENTS {
        return Err(format!(
            "expected at most {MAX_ARGUMENTS} arguments, got {}",
            arguments.len()
        ));
    }
    let first = arguments.first().copied();
    Ok(match (global, first) {
        (Global::RebuildTensor, _) => Reduced::Value(Object::Tensor(arguments.to_vec())),
        (Global::FirstArgument, Some(first)) => Reduced::Argument(first),
        (Global::FirstArgument, None) => {
            return Err("expected a value to wrap, got no argument".to_owned());
        }
        // The containers are filled afterwards, or made of the one that is their argument.
        (Global::Dict, _) => Reduced::Value(Object::Dict(Vec::new())),
        (Global::List | Global::Set | Global::Tuple, Some(first)) => Reduced::Argument(first),
        (Global::List, None) => Reduced::Value(Object::List(Vec::new())),
        (Global::Set, None) => Reduced::Value(Object::Set(Vec::new())),
        (Global::Tuple, None) => Reduced::Value(Object::Tuple(Vec::new())),
        (Global::Opaque, _) => Reduced::Value(Object::None),
        (Global::ScriptClass, _) => Reduced::Value(Object::Module(None)),
        (Global::Storage(_), _) => {
            return Err("expected a storage by reference, got a storage to build".to_owned());
        }
    })
}
