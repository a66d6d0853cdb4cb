//! Where weights come from: bytes that are mapped or compiled in, folders, safetensors.

mod bytes;
mod checkpoint;
mod folder;
mod safetensors;
mod tensors;

pub use self::safetensors::{NewTensor, write_safetensors};
pub use bytes::Bytes;
pub use checkpoint::{Checkpoint, CheckpointForm};
pub use folder::{CompiledFile, Folder};
pub use tensors::{Tensor, Tensors};
