//! Photos and videos to pixels, on as many threads as there are, in memory that they share.

use std::path::Path;

use crate::budget::Budget;
use decap_encoder::Result;
use decap_media::{Limits, RgbImage, SampledFrames, VideoOptions, image, memory_to_decode, video};

/// What `ffmpeg` and the frames that it sends take, as far as it can be told before it starts.
const VIDEO_BYTES: u64 = 256 << 20;

/// Memory for all that is being loaded at once: what would take more together waits, and what takes
/// more by itself is loaded alone.
///
/// Work is done inside, while its share is held. It must not load anything else.
#[derive(Debug)]
pub struct LoadingMemory {
    // Who reads may wait for who decodes and never the other way round, so nobody waits for ever.
    read: Budget,
    decoded: Budget,
}

impl LoadingMemory {
    /// Shares `bytes`: a quarter for files, the rest for what is decoded of them.
    pub fn new(bytes: u64) -> Self {
        let read = bytes / 4;
        Self {
            read: Budget::new(read),
            decoded: Budget::new(bytes - read),
        }
    }

    /// Does `work` on the content of the photo at `path`.
    ///
    /// # Errors
    /// As [`image::read_within`], and those of `work`.
    pub fn read<T>(
        &self,
        path: &Path,
        limits: &Limits,
        work: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        // What is longer than the limit is refused before it is read.
        let length = path.metadata().map_or(0, |file| file.len());
        let _held = self.read.take(length.min(limits.file_bytes));
        work(&image::read_within(path, limits.file_bytes)?)
    }

    /// Does `work` on the pixels of the photo in `bytes`; `name` and `least_side` as in
    /// [`image::decode_to_fit`].
    ///
    /// # Errors
    /// As [`image::decode_to_fit`], and those of `work`.
    pub fn decode<T>(
        &self,
        bytes: &[u8],
        name: &Path,
        limits: &Limits,
        least_side: Option<u32>,
        work: impl FnOnce(RgbImage) -> Result<T>,
    ) -> Result<T> {
        let _held = self.decoded.take(memory_to_decode(bytes, least_side));
        work(image::decode_to_fit(bytes, name, limits, least_side)?)
    }

    /// Does `work` on frames of the video at `path`.
    ///
    /// # Errors
    /// As [`video::sample`], and those of `work`.
    pub fn sample<T>(
        &self,
        path: &Path,
        options: &VideoOptions,
        work: impl FnOnce(SampledFrames) -> Result<T>,
    ) -> Result<T> {
        let _held = self.decoded.take(VIDEO_BYTES);
        work(video::sample(path, options)?)
    }
}
