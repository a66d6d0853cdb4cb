//! `decap tune`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::caption::GenerateArgs;
use super::choosing::RerankArg;
use super::count::{at_least_one, positive};
use super::limits::LimitArgs;
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap tune dataset_coco.json --photos coco/ --split val --limit 400 --model my-model\n  \
    decap tune pairs.jsonl --model my-model --save\n  \
    decap tune --model my-model                      without photos, from its sentences alone\n\n\
    Photos that are tuned on should not be those that are scored later.")]
pub struct TuneArgs {
    /// Caption files that name photos (COCO, Karpathy, nocaps, Flickr, MSR-VTT, JSON lines, ...), or
    /// folders with a manifest.jsonl. Without one, the memory's sentences alone decide.
    #[arg(value_name = "DATASET")]
    pub dataset: Vec<PathBuf>,
    /// The folder that photo paths are relative to (default: the caption file's).
    #[arg(long, value_name = "FOLDER", requires = "dataset")]
    pub photos: Option<PathBuf>,
    /// Split, or nocaps domain; `all` for everything (default: `val` where there is one).
    #[arg(long, value_name = "NAME", requires = "dataset")]
    pub split: Option<String>,
    /// Only the first N photos.
    #[arg(long, value_name = "N", value_parser = at_least_one(), requires = "dataset")]
    pub limit: Option<usize>,
    /// Model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// Use this support memory, or the lines of this text file as one.
    #[arg(long, value_name = "DIR|FILE.txt")]
    pub memory: Option<PathBuf>,
    /// Temperatures to try [default: 0.005 to 0.1, eight of them].
    #[arg(long, value_name = "TAU,...", value_delimiter = ',', value_parser = positive)]
    pub taus: Vec<f32>,
    /// Numbers of nearest sentences to try, `all` among them [default: all,10,30,100,300].
    #[arg(long, value_name = "K,...", value_delimiter = ',', value_parser = nearest)]
    pub top_k: Vec<Nearest>,
    /// Shares of query expansion to try [default: 0,0.25,0.5].
    #[arg(long, value_name = "SHARE,...", value_delimiter = ',', value_parser = share)]
    pub query_expansion: Vec<f32>,
    /// How captions are chosen among several (default: the model's); `none` is three times as fast.
    #[arg(long, value_enum, value_name = "HOW", requires = "dataset")]
    pub rerank: Option<RerankArg>,
    /// Without photos: how near a photo is thought to lie to its captions, as a cosine.
    #[arg(long, default_value_t = 0.5, value_name = "C", value_parser = positive, conflicts_with = "dataset")]
    pub noise_cosine: f32,
    /// Without photos: how many sentences are held out.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = at_least_one(), conflicts_with = "dataset")]
    pub held_out: usize,
    /// Write the best setting into the model.
    #[arg(long)]
    pub save: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub generate: GenerateArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// Folder that keeps embeddings (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// How many of the nearest sentences; nothing for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearest(pub Option<usize>);

fn nearest(typed: &str) -> Result<Nearest, String> {
    match (typed, typed.parse()) {
        ("all", _) => Ok(Nearest(None)),
        (_, Ok(count @ 1..)) => Ok(Nearest(Some(count))),
        _ => Err(format!(
            "expected whole numbers from 1, or `all`, got `{typed}`"
        )),
    }
}

fn share(typed: &str) -> Result<f32, String> {
    let share = typed.parse().ok();
    share
        .filter(|share: &f32| share.is_finite() && *share >= 0.0)
        .ok_or_else(|| format!("expected numbers from 0, got `{typed}`"))
}
