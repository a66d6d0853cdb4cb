//! Towers exported to ONNX, run by `rten`.

mod export;
mod image_tower;
mod session;
mod text_tower;
mod wire;

pub use export::EXPORT_FILES;
pub(crate) use export::{EXPORTED_IMAGE_TOWER, describe_export, is_export};
pub use image_tower::{OnnxImageOptions, OnnxImageTower};
pub use session::Pooling;
pub use text_tower::{LetterCase, OnnxTextOptions, OnnxTextTower, Padding};

use crate::error::Result;
use crate::weights::Folder;

/// Counts the weights of the network in the file `name` of `folder`.
///
/// # Errors
/// As [`OnnxTextTower::open`].
pub(crate) fn parameters(folder: &Folder, name: &str) -> Result<usize> {
    Ok(session::Session::open(folder, name)?.parameters())
}
