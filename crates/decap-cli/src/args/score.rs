//! What can be typed after `decap score`.

use std::path::PathBuf;

use clap::Args;

use super::count::draws;

#[derive(Debug, Args)]
#[command(
    after_help = "References: COCO JSON, {\"id\": [\"ref\", ...]}, JSONL, CSV or plain lines.\n\
    Predictions: COCO results, {\"id\": \"caption\"}, JSONL, CSV or plain lines.\n\
    Scores are printed times 100; with --json they are fractions, as pycocoevalcap prints them.\n\n\
    Examples:\n  decap score --references refs.json --predictions captions.json --per-image scores.csv\n  \
    decap score --references refs.json --predictions old.json --compare new.json\n  \
    decap score --references refs.json --predictions captions.json --photos photos/ --encoder clip/\n  \
    decap score --prepare-meteor site-packages/pycocoevalcap --meteor meteor.bin"
)]
pub struct ScoreArgs {
    /// Human captions.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "prepare_meteor",
        requires = "predictions"
    )]
    pub references: Option<PathBuf>,
    /// The captions to score, one an id.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "prepare_meteor",
        requires = "references"
    )]
    pub predictions: Option<PathBuf>,
    /// Another system's captions of the same photos: is it better, or is it chance?
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Print one JSON object with the field's keys.
    #[arg(long)]
    pub json: bool,
    /// Write each image's scores to this CSV file.
    #[arg(long, value_name = "FILE.csv")]
    pub per_image: Option<PathBuf>,
    /// Score the ids that both sides have, and say how many were left out.
    #[arg(long)]
    pub allow_missing: bool,
    /// Captions are tokens with spaces between already.
    #[arg(long)]
    pub tokenized: bool,
    /// Draws of the images behind intervals and significance; 0 for no intervals.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = draws())]
    pub draws: usize,
    /// METEOR's data, as --prepare-meteor makes it; without it METEOR is left out.
    #[arg(long, value_name = "FILE", env = "DECAP_METEOR")]
    pub meteor: Option<PathBuf>,
    /// Make METEOR's data from the folder of Python's pycocoevalcap package; with nothing to score,
    /// that is all.
    #[arg(long, value_name = "DIR", requires = "meteor")]
    pub prepare_meteor: Option<PathBuf>,
    /// The folder of Python's pycocoevalcap package, for SPICE by its Java program.
    #[arg(long, value_name = "DIR")]
    pub spice: Option<PathBuf>,
    /// Document frequencies for CIDEr, in place of the references' own.
    #[arg(long, value_name = "FILE")]
    pub df: Option<PathBuf>,
    /// Write the references' document frequencies to this file, for --df.
    #[arg(long, value_name = "FILE")]
    pub write_df: Option<PathBuf>,
    /// Photos for CLIPScore and RefCLIPScore: paths in the references, or files named by id.
    #[arg(long, value_name = "FOLDER", requires = "encoder")]
    pub photos: Option<PathBuf>,
    /// The encoder of CLIPScore: folder, model folder, `tiny` or a Hub id.
    #[arg(long, value_name = "DIR|ID", requires = "photos")]
    pub encoder: Option<String>,
    /// Count the predictions that are not in these caption files as novel.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub training_text: Vec<PathBuf>,
    /// Several captions of each image, in a form of references, for self-CIDEr.
    #[arg(long, value_name = "FILE")]
    pub several: Option<PathBuf>,
}
