//! `decap memory`: what can be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use decap::memory::MemoryDtype;

use super::count::at_least_one;
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(next_help_heading = "Support memory")]
pub struct MemoryBuildArgs {
    /// Most captions in the memory, drawn at random.
    #[arg(long, default_value_t = 500_000, value_name = "N", value_parser = at_least_one())]
    pub memory_rows: usize,
    /// How rows are stored.
    #[arg(long, default_value = "f16", value_name = "f32|f16|int8", value_parser = str::parse::<MemoryDtype>)]
    pub memory_dtype: MemoryDtype,
}

#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// Build a memory from caption files.
    #[command(after_help = "Example:\n  decap memory build captions.txt --out my-memory")]
    Build {
        /// Caption files: one a line, JSON list, COCO or Karpathy JSON.
        #[arg(value_name = "CAPTIONS", required = true)]
        captions: Vec<PathBuf>,
        /// Take the captions of these splits alone, where a file names them: train,restval.
        #[arg(long, value_name = "SPLIT,...", value_delimiter = ',')]
        split: Vec<String>,
        /// The memory folder to make.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Encoder or model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
        #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
        encoder: String,
        /// Seed of the draw.
        #[arg(long, default_value_t = 0, value_name = "SEED")]
        seed: u64,
        /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        #[command(flatten)]
        precision: PrecisionArgs,
        #[command(flatten)]
        options: MemoryBuildArgs,
    },
    /// Say what a memory holds.
    Info {
        /// Memory or model folder, or `tiny` for the bundled one.
        #[arg(default_value = "tiny", value_name = "DIR|ID")]
        memory: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Find the memory sentences nearest to a text or a photo.
    #[command(after_help = "Examples:\n  \
        decap memory search 'a dog on a beach'\n  \
        decap memory search photo.jpg --top 20")]
    Search {
        /// A sentence, or the path of a photo.
        #[arg(value_name = "TEXT|PHOTO")]
        query: String,
        /// Memory or model folder, or `tiny` for the bundled one.
        #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
        memory: String,
        /// Encoder or model folder, or a Hub id (default: the model's, for a mere memory `tiny`).
        #[arg(long, value_name = "DIR|ID")]
        encoder: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 10, value_name = "N")]
        top: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        precision: PrecisionArgs,
    },
    /// Add captions to a memory; rows that are there stay as they are.
    #[command(after_help = "Example:\n  decap memory add my-memory more-captions.txt")]
    Add {
        /// The memory folder.
        #[arg(value_name = "DIR")]
        memory: PathBuf,
        /// Caption files.
        #[arg(value_name = "CAPTIONS", required = true)]
        captions: Vec<PathBuf>,
        /// Encoder or model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
        #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
        encoder: String,
        /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        #[command(flatten)]
        precision: PrecisionArgs,
    },
}
