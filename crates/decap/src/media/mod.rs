//! Photos and videos: bytes to pixels, within limits.

pub mod image;
mod jpeg;
pub(crate) mod resize;

pub use image::{Limits, RgbImage};
pub use resize::Filter;
