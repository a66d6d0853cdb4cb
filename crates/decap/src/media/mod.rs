//! Photos and videos: bytes to pixels, within limits.

pub mod image;
mod jpeg;
pub(crate) mod resize;
#[cfg(feature = "eval")]
mod thumbnail;
pub mod video;

pub use image::{Limits, RgbImage};
pub use resize::Filter;
#[cfg(feature = "eval")]
pub use thumbnail::thumbnail_jpeg;
pub use video::{SampledFrames, VideoOptions, is_video, is_video_head};
