//! `decap train`: what can be typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use decap::Precision;
use decap::decoder::WeightsDtype;

use super::count::{at_least_one, positive};
use super::memory::MemoryBuildArgs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Ours: compact vocabulary, a small decoder, minutes on a laptop.
    Fast,
    /// As fast, with prefixes projected onto the other captions, as photos will be: words are repeated less.
    Robust,
    /// As fast, with CapDec's noise of variance 0.016 on prefixes.
    Capdec,
    /// The reference's recipe to the letter.
    Paper,
}

impl PresetArg {
    /// The name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Robust => "robust",
            Self::Capdec => "capdec",
            Self::Paper => "paper",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrefixArg {
    /// Its embedding.
    Own,
    /// The projection of its embedding onto other captions, without those that say nearly the same.
    Projected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VocabularyArg {
    /// Learned from the captions.
    Captions,
    /// The encoder's tokenizer.
    Encoder,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap train captions.txt --out my-model\n  \
    decap train dataset_coco.json --split train,restval --encoder clip/ \\\n      --preset paper --out paper-model\n  \
    decap train captions.txt --out my-model --resume     go on after Ctrl-C")]
pub struct TrainArgs {
    /// Caption files: one a line, JSON list, COCO or Karpathy JSON.
    #[arg(value_name = "CAPTIONS", required = true)]
    pub captions: Vec<PathBuf>,
    /// Take the captions of these splits alone, where a file names them: train,restval.
    #[arg(long, value_name = "SPLIT,...", value_delimiter = ',')]
    pub split: Vec<String>,
    /// The model folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Encoder or model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub encoder: String,
    /// Start from this trained model of the same encoder and rehearse its sentences, so that few captions are
    /// enough; `none` starts from nothing. Default: for fewer than 20,000 captions the model that --encoder
    /// names, where it is one, as `tiny` is.
    #[arg(long, value_name = "MODEL|none")]
    pub from: Option<String>,
    /// Recipe; single options below override it.
    #[arg(long, value_enum, default_value_t = PresetArg::Fast)]
    pub preset: PresetArg,
    /// What is computed in: the text tower, and training (which knows f32 and bf16; default: the preset's).
    #[arg(long, value_name = "auto|f32|bf16|int8")]
    pub precision: Option<Precision>,
    /// Go on from the last checkpoint, bit for bit as if never stopped.
    #[arg(long)]
    pub resume: bool,
    /// Words that the decoder can write: learned from the captions, which it then writes as they are written,
    /// or those of the encoder's tokenizer [default: captions; paper: encoder].
    #[arg(long, value_enum, value_name = "captions|encoder")]
    pub vocabulary: Option<VocabularyArg>,
    /// Passes over the captions [default: 5, or as many as --least-steps takes].
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Steps at least, unless more of them better nothing [default: 1000; 20 to 150 from a trained model; 0 with
    /// --epochs].
    #[arg(long, value_name = "N")]
    pub least_steps: Option<u64>,
    /// Stop after this many steps, whatever --epochs says.
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Captions a step.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub batch: Option<usize>,
    /// Peak learning rate.
    #[arg(long, value_name = "LR")]
    pub learning_rate: Option<f32>,
    /// Variance, per value, of the noise on the prefix (CapDec uses 0.016); 0 = none.
    #[arg(long, value_name = "VAR")]
    pub noise_variance: Option<f32>,
    /// Noise on the prefix by the mean cosine that it leaves, instead of a variance: photos' projections have
    /// 0.64 with their captions by the bundled encoder, 0.75 by CLIP ViT-B/32.
    #[arg(long, value_name = "C", conflicts_with = "noise_variance")]
    pub noise_cosine: Option<f32>,
    /// What the decoder learns to write a caption from [default: own; robust: projected].
    #[arg(long, value_enum, value_name = "own|projected")]
    pub prefix: Option<PrefixArg>,
    /// Decoder width.
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// Decoder layers.
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// Attention heads.
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42, value_name = "SEED")]
    pub seed: u64,
    /// Share of the captions that is held out to measure on.
    #[arg(long, value_name = "SHARE")]
    pub held_out: Option<f32>,
    /// Steps between checkpoints.
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<u64>,
    /// How the decoder's weights are stored.
    #[arg(long, default_value = "f32", value_name = "f32|f16|bf16|int8", value_parser = weights_dtype)]
    pub weights_dtype: WeightsDtype,
    /// Softmax temperature of the projection that the model will use.
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub tau: Option<f32>,
    /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub memory: MemoryBuildArgs,
}

fn weights_dtype(name: &str) -> Result<WeightsDtype, String> {
    match name {
        "f32" => Ok(WeightsDtype::F32),
        "f16" => Ok(WeightsDtype::F16),
        "bf16" => Ok(WeightsDtype::Bf16),
        "int8" => Ok(WeightsDtype::Int8),
        other => Err(format!("expected f32, f16, bf16 or int8, got `{other}`")),
    }
}
