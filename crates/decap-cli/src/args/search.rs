//! `decap search`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::count::{at_least_one, frames};
use super::limits::LimitArgs;
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap search 'a dog on a beach' photos/ --recursive\n  \
    decap search 'a birthday cake' photos/ -r --top 1 --open\n\n\
    Photos are embedded once. Their embeddings are kept in the user's cache folder, so that the next\n\
    search of the same folder takes a moment.")]
pub struct SearchArgs {
    /// What the photos should show, in a few words or a sentence.
    #[arg(value_name = "WORDS")]
    pub words: String,
    /// Photos, videos, folders or globs; `-` reads paths from standard input.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Encoder or model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub encoder: String,
    /// Show this many photos, best first.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = at_least_one())]
    pub top: usize,
    /// Print one JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Open the photos that are shown with the system's viewer.
    #[arg(long)]
    pub open: bool,
    /// Look into folders within folders.
    #[arg(short, long)]
    pub recursive: bool,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    /// Frames sampled from a video.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = frames())]
    pub frames: usize,
    /// Folder that keeps the photos' embeddings (default: the user's cache folder).
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}
