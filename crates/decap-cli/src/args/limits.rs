//! How much a photo or video may claim.

use clap::Args;
use decap::media::Limits;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Largest file, in MiB.
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub max_file_mib: u64,
    /// Largest photo or video frame, in millions of pixels.
    #[arg(long, default_value_t = 256, value_name = "MP")]
    pub max_megapixels: u64,
}

impl LimitArgs {
    /// These limits as the library takes them.
    pub fn limits(&self) -> Limits {
        let mut options = Limits::default();
        options.file_bytes = self.max_file_mib.saturating_mul(1 << 20);
        options.pixels = self.max_megapixels.saturating_mul(1_000_000);
        options
    }
}
