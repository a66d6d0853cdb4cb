//! `decap caption-shard`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::caption::{GenerateArgs, MethodArg, MinConfidence, min_confidence};
use super::choosing::ChoosingArgs;
use super::count::{at_least_one, frames, positive};
use super::limits::{FetchArgs, LimitArgs};
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap caption-shard shards/000.tar captions/000.jsonl\n  \
    decap caption-shard shards/000.tar captioned/000.tar\n  \
    ls shards | xargs -P 4 -I{} decap caption-shard shards/{} captions/{}.jsonl\n\n\
    OUT is written under another name and renamed when it is whole, so a process may be killed and the \
    same command run again. Where OUT is there already, nothing is done. To do failed photos again, \
    remove OUT.")]
pub struct CaptionShardArgs {
    /// An archive (.tar, .tar.gz, .zip) or a table that lists or holds photos (.csv, .tsv, .jsonl, .parquet).
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// JSON lines (.jsonl), as `caption --json` writes them; a table (.parquet); or the photos with their captions
    /// (.tar): a tar archive is copied and captions are added to it.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// Use this support memory, or the lines of this text file as one.
    #[arg(long, value_name = "DIR|FILE.txt")]
    pub memory: Option<PathBuf>,
    /// How a photo's embedding becomes a caption.
    #[arg(long, value_enum, default_value_t = MethodArg::Projection)]
    pub method: MethodArg,
    /// Softmax temperature of the projection (default: the model's).
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub tau: Option<f32>,
    /// Write this many memory sentences that each caption came from; 0 for none.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub evidence: usize,
    /// Leave a caption out where its confidence is below this: a number from 0 to 1, or `auto` for what the
    /// model recommends.
    #[arg(long, value_name = "P|auto", value_parser = min_confidence)]
    pub min_confidence: Option<MinConfidence>,
    /// The column of a table that holds the photos' paths (default: a usual name).
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Keep each embedding in this folder by its file's content, and do not encode again what was seen before, under
    /// whatever name, by whatever run.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    /// Frames sampled from a video.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = frames())]
    pub frames: usize,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    // Headings last: what follows a flattened group in the struct stands below its heading.
    #[command(flatten)]
    pub generate: GenerateArgs,
    #[command(flatten)]
    pub choosing: ChoosingArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
}
