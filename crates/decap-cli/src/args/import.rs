//! `decap import` and `decap export`: what can be typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::count::positive;

use super::memory::MemoryBuildArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  decap import coco_prefix-009.pt --captions coco_train.json \\\n    \
    --encoder clip-vit-base-patch32/ --out my-model"
)]
pub struct ImportArgs {
    /// The checkpoint: `torch.save` of a state dict, or safetensors. It is read, never executed.
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// Caption files for the support memory.
    #[arg(long, value_name = "CAPTIONS", required = true, num_args = 1..)]
    pub captions: Vec<PathBuf>,
    /// Take the captions of these splits alone, where a file names them: train,restval.
    #[arg(long, value_name = "SPLIT,...", value_delimiter = ',')]
    pub split: Vec<String>,
    /// The encoder that the checkpoint was trained with.
    #[arg(long, value_name = "DIR|ID")]
    pub encoder: String,
    /// The model folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Softmax temperature of the projection (default: the encoder's).
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub tau: Option<f32>,
    /// Seed of the draw from the captions.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub memory: MemoryBuildArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// `torch.save` of the reference's state dict.
    DecapPt,
    /// The same tensors as safetensors.
    Safetensors,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  decap export --model my-model --to decap-pt --output decoder.pt"
)]
pub struct ExportArgs {
    /// Model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// The form of the file.
    #[arg(long, value_enum)]
    pub to: ExportForm,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}
