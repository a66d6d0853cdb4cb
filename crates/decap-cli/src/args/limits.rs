//! How much a photo or video may claim.

use std::time::Duration;

use clap::Args;
use decap::media::{Limits, VideoOptions};
use decap_sources::fetch::Reach;

use super::count::{mebibytes, millions, seconds};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Largest file, in MiB.
    #[arg(long = "max-file-mib", default_value = "512", value_name = "MIB", value_parser = mebibytes)]
    pub max_file_bytes: u64,
    /// Largest photo or video frame, in millions of pixels.
    #[arg(long = "max-megapixels", default_value = "256", value_name = "MP", value_parser = millions)]
    pub max_pixels: u64,
    /// Time limit for extracting the frames of a video, in seconds.
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = seconds())]
    pub max_video_seconds: usize,
}

/// Where photos of the web may come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct FetchArgs {
    /// Fetch photos also from this machine and its network, when their URLs or redirects lead there.
    #[arg(long)]
    pub allow_private_urls: bool,
}

impl FetchArgs {
    /// From where addresses of the web are fetched.
    pub fn reach(&self) -> Reach {
        match self.allow_private_urls {
            true => Reach::Everywhere,
            false => Reach::Public,
        }
    }
}

impl LimitArgs {
    /// These limits as the library takes them.
    pub fn limits(&self) -> Limits {
        let mut options = Limits::default();
        options.file_bytes = self.max_file_bytes;
        options.pixels = self.max_pixels;
        options
    }

    /// How videos are looked at within these limits, `frames` of each.
    pub fn video(&self, frames: usize) -> VideoOptions {
        let mut options = VideoOptions::default();
        options.frames = frames;
        options.limits = self.limits();
        options.timeout = Duration::from_secs(self.max_video_seconds as u64);
        options
    }
}
