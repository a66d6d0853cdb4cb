//! `decap caption`: what can be typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use decap::Method;
use decap::decoder::RepeatedWords;
use decap_eval::Gallery;
use decap_sources::shard::Share;

use super::choosing::ChoosingArgs;
use super::count::{at_least_one, frames, positive};
use super::limits::{FetchArgs, LimitArgs};
use super::precision::PrecisionArgs;
use super::write::WriteArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap caption photo.jpg\n  \
    decap caption photos/ --recursive --json --output captions.jsonl --resume\n  \
    decap caption 'photos/*.jpg' --beam 5 --evidence 3\n  \
    decap caption 'shards/{000..015}.tar' --output captions.jsonl\n  \
    decap caption photos.csv --column file_name\n  \
    find . -name '*.png' | decap caption -\n  \
    decap caption photo.jpg --memory my-sentences.txt\n  \
    decap caption photos/ --write xmp --alt-text --keep-times\n  \
    decap caption photos/ --undo")]
pub struct CaptionArgs {
    /// Photos, videos, folders or globs; `https://` addresses of photos; archives (.tar, .tar.gz, .zip),
    /// .parquet, and tables that list photos (.csv, .tsv, .jsonl); `-` reads paths from standard input, one a line.
    #[arg(value_name = "PATH", required_unless_present = "retry_failed")]
    pub paths: Vec<PathBuf>,
    /// The column of tables that holds the photos' paths or addresses (default: `path`, `file_name` or another usual name).
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
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
    /// Show this many memory sentences that each caption came from; 0 for none.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub evidence: usize,
    /// Leave a caption out where its confidence is below this: a number from 0 to 1, or `auto` for what the
    /// model recommends.
    #[arg(long, value_name = "P|auto", value_parser = min_confidence)]
    pub min_confidence: Option<MinConfidence>,
    /// Print one JSON object a line.
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
    /// Look into folders within folders.
    #[arg(short, long)]
    pub recursive: bool,
    /// Write to this file instead of standard output; it appears when all is done. A name in .jsonl gets
    /// JSON lines, one in .csv, .tsv or .parquet a table, one in .tar samples with their photos, one in .json COCO results;
    /// `metadata.jsonl` is what Hugging Face's `imagefolder` reads.
    #[arg(short, long, value_name = "FILE", conflicts_with = "dry_run")]
    pub output: Option<PathBuf>,
    /// Make a page of the captions in this folder, with small photos and evidence; it needs no server. Captions can be
    /// edited there, and downloaded as a table for `decap write`.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "undo", "dry_run"])]
    pub gallery: Option<PathBuf>,
    /// Keep what an interrupted run with the same --output wrote, and do the rest.
    #[arg(long)]
    pub resume: bool,
    /// When all is captioned, wait for new files in the folders and behind the globs, and caption each once it no
    /// longer changes; Ctrl-C ends.
    #[arg(long, conflicts_with_all = ["shard", "undo"])]
    pub watch: bool,
    /// Write a line of JSON for each input that failed to this file.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "undo")]
    pub failures: Option<PathBuf>,
    /// Try again what the --failures file of an earlier run lists.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "undo")]
    pub retry_failed: Option<PathBuf>,
    /// Caption each Nth input alone, from the Ith on, such as 1/4, 2/4, 3/4 and 4/4 in four processes.
    #[arg(long, value_name = "I/N", value_parser = Share::parse, conflicts_with = "undo")]
    pub shard: Option<Share>,
    /// Keep each embedding in this folder by its file's content, and do not encode again what was seen before, under
    /// whatever name, by whatever run.
    #[arg(long, value_name = "DIR", conflicts_with = "undo")]
    pub cache: Option<PathBuf>,
    /// Give photos that look nearly the same the caption of the first of them, such as frames of a video: those with
    /// a cosine of at least C to one of the last 64 with a caption of their own (0.98 where C is not given).
    #[arg(long, value_name = "C", num_args = 0..=1, require_equals = true, default_missing_value = "0.98", value_parser = positive)]
    pub near_duplicates: Option<f32>,
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
    pub write: WriteArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
}

impl CaptionArgs {
    /// With what is to be tried again among the paths.
    pub fn with_failed(mut self) -> Self {
        self.paths.extend(self.retry_failed.take());
        self
    }

    /// The file that captions are written to, where they are.
    pub fn output_file(&self) -> Option<PathBuf> {
        let gallery = self.gallery.as_ref();
        let of_gallery = gallery.map(|folder| folder.join(Gallery::CAPTIONS));
        of_gallery.or_else(|| self.output.clone())
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub struct GenerateArgs {
    /// Beam search with this many beams instead of greedy (default: the model's).
    #[arg(long, value_name = "N", value_parser = at_least_one(), conflicts_with = "temperature")]
    pub beam: Option<usize>,
    /// Divide a beam's log-probability by its length to this power: above 1 longer captions
    /// (default: the model's).
    #[arg(long, value_name = "X", conflicts_with = "temperature")]
    pub length_penalty: Option<f32>,
    /// Sample at this temperature instead of taking the likeliest token.
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Sample from the smallest set of tokens with this much probability (default: 0.8).
    #[arg(long, value_name = "P", requires = "temperature")]
    pub top_p: Option<f32>,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub seed: u64,
    /// Fewest tokens in a caption, all within one sentence (default: none).
    #[arg(long, value_name = "N")]
    pub min_length: Option<usize>,
    /// Most tokens in a caption (default: the model's).
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Make tokens that were already written less likely (1 = off; default: the model's).
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    /// Never write the same N tokens in a row twice (0 = off; default: the model's).
    #[arg(long, value_name = "N")]
    pub no_repeat_ngram: Option<usize>,
    /// Whether a caption may say a content word twice, singular and plural as one (default: the
    /// model's).
    #[arg(long, value_enum, value_name = "HOW")]
    pub repeated_words: Option<RepeatedWordsArg>,
    /// Never write this word or phrase, or its plural in s (may be given several times).
    #[arg(long, value_name = "WORDS")]
    pub ban: Vec<String>,
    /// Start captions with a capital letter and end them with a full stop.
    #[arg(long)]
    pub sentence_case: bool,
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
    /// Of the nearest memory sentences the one that the others agree with most, word for word.
    Consensus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepeatedWordsArg {
    /// It may.
    Allow,
    /// It never does.
    Forbid,
}

impl RepeatedWordsArg {
    /// This choice as the library calls it.
    pub fn repeated_words(self) -> RepeatedWords {
        match self {
            Self::Allow => RepeatedWords::Allow,
            Self::Forbid => RepeatedWords::Forbid,
        }
    }
}

impl MethodArg {
    /// This method as the library calls it.
    pub fn method(self) -> Method {
        match self {
            Self::Projection => Method::Projection,
            Self::Visual => Method::Visual,
            Self::Nearest => Method::Nearest,
            Self::Retrieval => Method::Retrieval,
            Self::Consensus => Method::Consensus,
        }
    }
}

/// Below which confidence captions are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MinConfidence {
    /// What the model recommends.
    Auto,
    /// This, from 0 to 1.
    Number(f32),
}

pub(super) fn min_confidence(text: &str) -> Result<MinConfidence, String> {
    match (text, text.parse::<f32>()) {
        ("auto", _) => Ok(MinConfidence::Auto),
        (_, Ok(least)) if (0.0..=1.0).contains(&least) => Ok(MinConfidence::Number(least)),
        _ => Err(format!(
            "expected a number from 0 to 1, or auto, got `{text}`"
        )),
    }
}
