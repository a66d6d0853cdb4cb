//! `decap bench`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "The networks have the shapes of CLIP ViT-B/32 and of the reference's decoder, \
    and seeded random weights.\nDECAP_KERNELS forces a kernel set, RAYON_NUM_THREADS the threads; \
    run it on an idle machine.\n\n\
    Examples:\n  \
    decap bench\n  \
    decap bench --json --work image_tower_b16 --precision f32\n  \
    decap bench --work project_5m_q32 --work image_tower_b256"
)]
pub struct BenchArgs {
    /// Time this work alone (may be given several times); --list has the names.
    #[arg(long, value_name = "NAME")]
    pub work: Vec<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Print the names of the works and how others are named.
    #[arg(long, conflicts_with_all = ["work", "json"])]
    pub list: bool,
    /// Time spent on each work, in seconds, after it was prepared.
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    pub seconds: f64,
    /// The photo of photo_to_caption (default: one of 640 x 480 pixels that is built in).
    #[arg(long, value_name = "FILE")]
    pub photo: Option<PathBuf>,
    #[command(flatten)]
    pub precision: PrecisionArgs,
}
