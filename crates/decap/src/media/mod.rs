//! Photos and videos: bytes to pixels, within limits.

mod bmp;
mod gif;
pub mod image;
mod jpeg;
mod jpeg_components;
mod kind;
mod orientation;
mod png;
pub(crate) mod resize;
mod samples;
#[cfg(feature = "eval")]
mod thumbnail;
mod tiff;
pub mod video;

pub use image::{Limits, RgbImage};
pub use kind::{HEAD_BYTES, PhotoKind, kind_of_head};
pub use resize::Filter;
#[cfg(feature = "eval")]
pub use thumbnail::thumbnail_jpeg;
pub use video::{VideoOptions, is_video};
