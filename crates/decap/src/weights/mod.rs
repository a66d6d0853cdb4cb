//! Where weights come from: bytes that are mapped or compiled in, folders, safetensors.

mod bytes;
mod checkpoint;
mod folder;
mod safetensors;
mod tensors;
mod writing;

pub use self::safetensors::{NewTensor, write_safetensors};
pub use bytes::Bytes;
pub use checkpoint::{Checkpoint, CheckpointForm};
pub use folder::Folder;
pub use tensors::{Tensor, Tensors};
pub use writing::{check_folder_is_own, write_atomically, write_folder_atomically};
