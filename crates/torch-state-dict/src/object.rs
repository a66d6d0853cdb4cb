//! The plain values of a pickle.

use super::globals::Global;

/// A value's place in the arena of its pickle.
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
