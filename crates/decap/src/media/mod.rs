//! Photos and videos: bytes to pixels, within limits.

pub mod image;

pub use image::RgbImage;
