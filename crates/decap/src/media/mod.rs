//! Photos and videos: bytes to pixels, within limits.

pub mod image;
mod jpeg;
pub mod resize;
pub mod video;

pub use image::{Limits, RgbImage};
pub use resize::Filter;
pub use video::{SampledFrames, VideoOptions, is_video, is_video_head};
