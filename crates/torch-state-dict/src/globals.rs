//! The Python names that a checkpoint may use.

use safetensors::Dtype;

/// A Python function or class that is known to build plain values or tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `torch.FloatStorage` and its kin; `None` for `UntypedStorage`.
    Storage(Option<Dtype>),
    /// `torch._utils._rebuild_tensor_v2`: storage, offset, size, stride, ...
    RebuildTensor,
    /// A wrapper whose first argument is the value: `torch._utils._rebuild_parameter`.
    FirstArgument,
    /// `dict`, `OrderedDict`, `defaultdict`: filled later.
    Dict,
    /// `list` and the typed lists of TorchScript.
    List,
    Set,
    Tuple,
    /// `torch.device`, `torch.float32`, bytes and the like: of no use here.
    Opaque,
    /// A class of a TorchScript archive (`__torch__.…`).
    ScriptClass,
}

impl Global {
    /// The allow-list; `None` for any name that is not on it.
    pub(super) fn allowed(module: &str, name: &str) -> Option<Self> {
        if module == "__torch__" || module.starts_with("__torch__.") {
            return Some(Self::ScriptClass);
        }
        Some(match (module, name) {
            ("torch" | "torch.storage" | "torch.cuda", name) if name.ends_with("Storage") => {
                Self::Storage(storage_dtype(name)?)
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::FirstArgument
            }
            ("torch.jit._pickle", "restore_type_tag") => Self::FirstArgument,
            (
                "torch.jit._pickle",
                "build_intlist" | "build_doublelist" | "build_boollist" | "build_tensorlist",
            ) => Self::FirstArgument,
            ("torch", "Size") => Self::Tuple,
            ("torch", "device") => Self::Opaque,
            // How protocol 2 writes bytes: text and the name of a code page.
            ("_codecs", "encode") => Self::Opaque,
            (
                "torch",
                "float32" | "float64" | "float16" | "bfloat16" | "int64" | "int32" | "int16"
                | "int8" | "uint8" | "bool",
            ) => Self::Opaque,
            ("collections", "OrderedDict" | "defaultdict") => Self::Dict,
            ("builtins" | "__builtin__", "dict") => Self::Dict,
            ("builtins" | "__builtin__", "list") => Self::List,
            ("builtins" | "__builtin__", "set" | "frozenset") => Self::Set,
            ("builtins" | "__builtin__", "tuple") => Self::Tuple,
            ("builtins" | "__builtin__", "int" | "float" | "bool" | "str") => Self::Opaque,
            _ => return None,
        })
    }
}

fn storage_dtype(name: &str) -> Option<Option<Dtype>> {
    Some(Some(match name {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "UntypedStorage" => return Some(None),
        _ => return None,
    }))
}
