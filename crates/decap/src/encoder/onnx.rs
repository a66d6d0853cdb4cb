//! Towers exported to ONNX, run by `rten`.

mod image_tower;
mod session;
mod text_tower;

pub use image_tower::{OnnxImageOptions, OnnxImageTower};
pub use session::Pooling;
pub use text_tower::{OnnxTextOptions, OnnxTextTower, Padding, TooLong};
