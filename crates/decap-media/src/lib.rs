//! Photos and videos: bytes to pixels, within limits.

#[cfg(feature = "avif")]
mod avif;
mod bmp;
mod bmp_runs;
mod boxes;
mod directory;
mod error;
mod gif;
pub mod image;
mod jpeg;
mod jpeg_components;
#[cfg(feature = "jxl")]
mod jpeg_xl;
mod kind;
mod limits;
mod memory;
mod orientation;
mod png;
mod raw;
pub mod resize;
mod samples;
mod tiff;
pub mod video;
mod webp;

pub use error::{Error, InputFault, Limit, Result};
pub use image::RgbImage;
pub use kind::{HEAD_BYTES, PHOTO_ENDINGS, PhotoKind, is_named_like_a_photo, kind_of_head};
pub use limits::Limits;
pub use memory::memory_to_decode;
pub use resize::Filter;
pub use video::{SampledFrames, VideoOptions, is_video, is_video_head};
