//! `decap align`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::count::{at_least_one, positive};

#[derive(Debug, Args)]
#[command(
    after_help = "A line of PAIRS.jsonl: {\"image\": \"photos/1.jpg\", \"captions\": [\"a dog\"], \
    \"split\": \"train\"}\nPaths are relative to the file; split `test` is held out.\n\n\
    Example:\n  decap align pairs.jsonl --image-tower towers/image.json \\\n      \
    --text-tower towers/text.json --out my-encoder"
)]
pub struct AlignArgs {
    /// Photo-caption pairs.
    #[arg(value_name = "PAIRS.jsonl", required = true)]
    pub pairs: Vec<PathBuf>,
    /// Description of an ONNX image tower; several are concatenated.
    #[arg(long, value_name = "TOWER.json", required = true)]
    pub image_tower: Vec<PathBuf>,
    /// Description of an ONNX text tower.
    #[arg(long, value_name = "TOWER.json")]
    pub text_tower: PathBuf,
    /// The encoder folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A name for the encoder.
    #[arg(long, default_value = "aligned", value_name = "NAME")]
    pub name: String,
    /// Width of the shared space.
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// Hidden units beside the image head's linear map; 0 for a linear head.
    #[arg(long, value_name = "N")]
    pub hidden: Option<usize>,
    /// Passes over the pairs.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Pairs a step.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub batch: Option<usize>,
    /// Further captions a step that its photos are told apart from.
    #[arg(long, value_name = "N")]
    pub negatives: Option<usize>,
    /// Peak learning rate.
    #[arg(long, value_name = "LR")]
    pub learning_rate: Option<f32>,
    /// Share of features that dropout zeroes.
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f32>,
    /// Views of a photo to learn from: 1 the photo, 2 its mirror image too, more: parts of it.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub views: Option<usize>,
    /// The encoder averages each photo with its mirror image: twice the work, a steadier embedding.
    #[arg(long)]
    pub mirror: bool,
    /// How often photos with a `label` are seen in a pass; 0 leaves them out.
    #[arg(long, value_name = "N")]
    pub class_repeats: Option<usize>,
    /// Softmax temperature that the encoder recommends for projections.
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub tau: Option<f32>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Folder that keeps the towers' features for the next run (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}
