//! What can be typed: commands, options, their help.

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand, ValueEnum};
use decap::media::image::Limits;
use decap::{Method, Precision};

use crate::eval::args::EvalArgs;
use crate::score::args::ScoreArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Caption photos and videos; learn to from a text file, without a single picture.
#[derive(Debug, Parser)]
#[command(
    name = "decap",
    version,
    styles = STYLES,
    arg_required_else_help = true,
    after_help = "Start here:\n  \
        decap caption photo.jpg                      one photo, bundled model, offline\n  \
        decap caption holiday/ --recursive --json    a folder, one JSON object a line\n  \
        decap caption photo.jpg --evidence 3         and the sentences it came from\n  \
        decap train captions.txt --out my-model      your own vocabulary, from text alone\n\n\
        Results go to standard output, messages to standard error.\n\
        Exit code: 0 all went well, 1 some input failed, 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a caption for each photo or video.
    Caption(CaptionArgs),
    /// Turn photos or sentences into unit vectors.
    Embed(EmbedArgs),
    /// Train a captioner from a text file of captions.
    Train(TrainArgs),
    /// Bring an image tower and a text tower into one space.
    Align(AlignArgs),
    /// Build, inspect, search or extend a support memory.
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// Make a model of a DeCap checkpoint that PyTorch trained.
    Import(ImportArgs),
    /// Write a model's decoder as the checkpoint that the reference code loads.
    Export(ExportArgs),
    /// Time the work that captioning and training are made of.
    Bench(BenchArgs),
    /// Caption a data set's photos by each method, score the captions, write a report.
    Eval(EvalArgs),
    /// BLEU, METEOR, ROUGE-L and CIDEr without Java.
    Score(ScoreArgs),
    /// Say what a model is.
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap caption photo.jpg\n  \
    decap caption photos/ --recursive --json --output captions.jsonl --resume\n  \
    decap caption 'photos/*.jpg' --beam 5 --evidence 3\n  \
    find . -name '*.png' | decap caption -\n  \
    decap caption photo.jpg --memory my-sentences.txt")]
pub struct CaptionArgs {
    /// Photos, videos, folders or globs; `-` reads paths from standard input, one a line.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// Use this support memory, or the lines of this text file as one.
    #[arg(long, value_name = "DIR|FILE.txt")]
    pub memory: Option<PathBuf>,
    /// How a photo's embedding becomes a caption.
    #[arg(long, value_enum, default_value_t = MethodArg::Projection)]
    pub method: MethodArg,
    /// Softmax temperature of the projection (default: the model's).
    #[arg(long, value_name = "TAU")]
    pub tau: Option<f32>,
    /// Show this many memory sentences that each caption came from.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub evidence: usize,
    #[command(flatten)]
    pub generate: GenerateArgs,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Look into folders within folders.
    #[arg(short, long)]
    pub recursive: bool,
    /// Write to this file instead of standard output; it appears when all is done.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Keep what an interrupted run with the same --output wrote, and do the rest.
    #[arg(long, requires = "output")]
    pub resume: bool,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    /// Frames sampled from a video.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub frames: usize,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub struct GenerateArgs {
    /// Beam search with this many beams instead of greedy (default: the model's).
    #[arg(long, value_name = "N", value_parser = at_least_one(), conflicts_with = "temperature")]
    pub beam: Option<usize>,
    /// Sample at this temperature instead of taking the likeliest token.
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Sample from the smallest set of tokens with this much probability.
    #[arg(long, value_name = "P", requires = "temperature")]
    pub top_p: Option<f32>,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Fewest tokens in a caption.
    #[arg(long, value_name = "N")]
    pub min_length: Option<usize>,
    /// Most tokens in a caption.
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Make tokens that were already written less likely (1 = off).
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    /// Never write the same N tokens in a row twice.
    #[arg(long, value_name = "N")]
    pub no_repeat_ngram: Option<usize>,
    /// Never write these words (may be given several times).
    #[arg(long, value_name = "WORD")]
    pub ban: Vec<String>,
    /// Start captions with a capital letter and end them with a full stop.
    #[arg(long)]
    pub sentence_case: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Largest file, in MiB.
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub max_file_mib: u64,
    /// Largest photo, in millions of pixels.
    #[arg(long, default_value_t = 256, value_name = "MP")]
    pub max_megapixels: u64,
}

impl LimitArgs {
    /// These limits as the library takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            file_bytes: self.max_file_mib.saturating_mul(1 << 20),
            pixels: self.max_megapixels.saturating_mul(1_000_000),
            ..Limits::default()
        }
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub struct PrecisionArgs {
    /// What networks compute in: f32 is the reference, auto the fastest that agrees with it.
    #[arg(long, default_value_t = Precision::Auto, value_name = "auto|f32|bf16|int8")]
    pub precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// Project onto the memory, then decode (DeCap).
    Projection,
    /// Decode the photo's own embedding.
    Visual,
    /// Decode the nearest memory sentence's embedding.
    Nearest,
    /// The nearest memory sentence, word for word.
    Retrieval,
}

impl MethodArg {
    /// This method as the library calls it.
    pub fn method(self) -> Method {
        match self {
            Self::Projection => Method::Projection,
            Self::Visual => Method::Visual,
            Self::Nearest => Method::Nearest,
            Self::Retrieval => Method::Retrieval,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap embed photos/ --output photos.npy\n  \
    decap embed --text captions.txt --output captions.jsonl")]
pub struct EmbedArgs {
    /// Photos, folders or globs; `-` reads paths from standard input.
    #[arg(
        value_name = "PATH",
        required_unless_present = "text",
        conflicts_with = "text"
    )]
    pub paths: Vec<PathBuf>,
    /// A file of sentences instead of photos.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Encoder or model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub encoder: String,
    /// FILE.npy (float32, [inputs, width]) or FILE.jsonl.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Look into folders within folders.
    #[arg(short, long)]
    pub recursive: bool,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Ours: compact vocabulary, a small decoder, minutes on a laptop.
    Fast,
    /// The reference's recipe to the letter.
    Paper,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap train captions.txt --out my-model\n  \
    decap train dataset_coco.json --split train,restval --encoder clip/ --preset paper --out paper-model\n  \
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
    /// Encoder or model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub encoder: String,
    /// Recipe; single options below override it.
    #[arg(long, value_enum, default_value_t = PresetArg::Fast)]
    pub preset: PresetArg,
    /// What is computed in: the text tower, and training (which knows f32 and bf16; default: the preset's).
    #[arg(long, value_name = "auto|f32|bf16|int8")]
    pub precision: Option<Precision>,
    /// Go on from the last checkpoint, bit for bit as if never stopped.
    #[arg(long)]
    pub resume: bool,
    /// Passes over the captions.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
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
    #[arg(long, default_value = "f32", value_name = "f32|f16|bf16|int8")]
    pub weights_dtype: String,
    /// Softmax temperature of the projection that the model will use.
    #[arg(long, value_name = "TAU")]
    pub tau: Option<f32>,
    /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub memory: MemoryBuildArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Support memory")]
pub struct MemoryBuildArgs {
    /// Most captions in the memory, drawn at random.
    #[arg(long, default_value_t = 500_000, value_name = "N", value_parser = at_least_one())]
    pub memory_rows: usize,
    /// How rows are stored.
    #[arg(long, default_value = "f16", value_name = "f32|f16|int8")]
    pub memory_dtype: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A line of PAIRS.jsonl: {\"image\": \"photos/1.jpg\", \"captions\": [\"a dog\"], \
    \"split\": \"train\"}\nPaths are relative to the file; split `test` is held out.\n\n\
    Example:\n  decap align pairs.jsonl --image-tower towers/image.json \
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
    #[arg(long, value_name = "TAU")]
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
        /// Encoder or model folder, or `tiny` for the bundled one.
        #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
        encoder: String,
        /// Seed of the draw.
        #[arg(long, default_value_t = 0, value_name = "SEED")]
        seed: u64,
        /// Folder that keeps text embeddings for the next run (default: the user's cache folder).
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        #[command(flatten)]
        options: MemoryBuildArgs,
        #[command(flatten)]
        precision: PrecisionArgs,
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
        /// Encoder folder (default: the model's).
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
    Add {
        /// The memory folder.
        #[arg(value_name = "DIR")]
        memory: PathBuf,
        /// Caption files.
        #[arg(value_name = "CAPTIONS", required = true)]
        captions: Vec<PathBuf>,
        /// Encoder or model folder, or `tiny` for the bundled one.
        #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
        encoder: String,
        #[command(flatten)]
        precision: PrecisionArgs,
    },
}

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
    #[arg(long, value_name = "TAU")]
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

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Encoder, decoder, memory, sizes and where it comes from.
    Info {
        /// Model or encoder folder, or `tiny` for the bundled one.
        #[arg(default_value = "tiny", value_name = "DIR|ID")]
        model: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download an encoder or a model from the Hugging Face Hub and print its folder.
    #[command(after_help = "Examples:\n  \
        decap model pull openai/clip-vit-base-patch32\n  \
        decap model pull laion/CLIP-ViT-H-14-laion2B-s32B-b79K@main\n\n\
        HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the proxy variables are \
        followed; a download that broke off is taken up where it was.")]
    Pull {
        /// OWNER/NAME, or OWNER/NAME@REVISION: a branch, a tag or a commit.
        #[arg(value_name = "ID")]
        model: String,
    },
}

/// A count that must not be zero.
pub fn at_least_one() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::builder::RangedU64ValueParser::<u64>::new()
        .range(1..=1_000_000_000)
        .map(|value| value as usize)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_recipes_can_be_typed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let mut commands = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            // Only what stands in blocks of commands; a line may go on below.
            for block in text.split("```sh\n").skip(1) {
                let block = block.split("```").next().unwrap().replace("\\\n", " ");
                for line in block.lines().map(str::trim) {
                    if line.starts_with("decap ") {
                        let words = line.split_whitespace().map(|word| word.trim_matches('"'));
                        let parsed = Cli::try_parse_from(words);
                        assert!(parsed.is_ok(), "{}: {line}: {parsed:?}", path.display());
                        commands += 1;
                    }
                }
            }
        }
        assert!(commands > 15, "{commands} commands were found");
    }
}
