//! `decap embed`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::count::at_least_one;
use super::limits::{FetchArgs, LimitArgs};
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap embed photos/ --output photos.npy\n  \
    decap embed --text captions.txt --output captions.jsonl")]
pub struct EmbedArgs {
    /// Photos, folders, globs, archives or tables, as for `caption`; `-` reads paths from standard input.
    #[arg(
        value_name = "PATH",
        required_unless_present = "text",
        conflicts_with = "text"
    )]
    pub paths: Vec<PathBuf>,
    /// The column of tables that holds the photos' paths (default: a usual name).
    #[arg(long, value_name = "NAME", conflicts_with = "text")]
    pub column: Option<String>,
    /// A file of sentences instead of photos.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Encoder or model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub encoder: String,
    /// FILE.npy (float32, [inputs, width]) or FILE.jsonl.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Look into folders within folders.
    #[arg(short, long)]
    pub recursive: bool,
    /// Keep each embedding in this folder by its file's content, and do not encode again what was seen before, under
    /// whatever name, by whatever run.
    #[arg(long, value_name = "DIR", conflicts_with = "text")]
    pub cache: Option<PathBuf>,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
}
