//! Where weights come from: bytes that are mapped or compiled in, folders, safetensors.

mod bytes;
mod checkpoint;
mod folder;
mod stored;
mod tensors;
mod torch;
mod writing;

pub use bytes::Bytes;
pub use checkpoint::{Checkpoint, CheckpointForm};
pub use folder::Folder;
pub use tensors::{Tensor, Tensors};
pub(crate) use torch::{TorchTensor, write_torch};
pub use writing::{check_folder_is_own, write_atomically, write_folder_atomically};
