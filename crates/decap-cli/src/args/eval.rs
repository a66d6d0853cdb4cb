//! What can be typed after `decap eval`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, ValueEnum};
use decap::Method;
use decap_eval::Benchmark;

use super::caption::GenerateArgs;
use super::caption::MethodArg;
use super::choosing::ChoosingArgs;
use super::count::{at_least_one, draws, frames, pixels, positive};
use super::limits::LimitArgs;
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap eval dataset_coco.json --photos coco/ --model my-model --methods all --report report/\n  \
    decap eval pairs.jsonl --report report/ --sweep tau=0.005,0.01,0.02,0.05\n  \
    decap eval pairs.jsonl --report report/ --memory captions.txt --sweep memory=1000,10000\n  \
    decap eval pairs.jsonl --report report/ --sweep model=model-560,model-5k,model-50k\n\n\
    The report folder keeps embeddings and captions in kept/: the same command goes on where it\n\
    was interrupted, and another method or sweep does only what is new.")]
pub struct EvalArgs {
    /// Caption files that name photos (COCO, Karpathy, nocaps, Flickr, MSR-VTT, JSON lines, ...), or
    /// folders with a manifest.jsonl.
    #[arg(value_name = "DATASET", required = true)]
    pub dataset: Vec<PathBuf>,
    /// The folder that photo paths are relative to (default: the caption file's).
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
    /// Split, or nocaps domain; `all` for everything (default: `test` where there is one).
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Only the first N photos: a quick look.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub limit: Option<usize>,
    /// Model folder, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// Use this support memory, or the lines of this text file as one.
    #[arg(long, value_name = "DIR|FILE.txt")]
    pub memory: Option<PathBuf>,
    /// Methods, with commas between them, or `all`.
    #[arg(
        long,
        default_value = "projection",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = methods()
    )]
    pub methods: Vec<Methods>,
    /// Softmax temperature of the projection (default: the model's).
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub tau: Option<f32>,
    /// Scores along a choice: tau=0.01,0.02, memory=1000,5000 or model=DIR,DIR (may be given several
    /// times).
    #[arg(long, value_name = "WHAT=VALUES")]
    pub sweep: Vec<SweepArg>,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub metrics: MetricArgs,
    #[command(flatten)]
    pub generate: GenerateArgs,
    #[command(flatten)]
    pub choosing: ChoosingArgs,
    /// Photos encoded at a time.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    /// Frames sampled from a video.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = frames())]
    pub frames: usize,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// Folder that keeps the embeddings of a memory's text file (default: the user's cache folder).
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Write report.html, predictions.json, scores.json and plots into this folder.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Go on from what an interrupted run left, as happens by itself.
    #[arg(long, requires = "report", conflicts_with = "fresh")]
    pub resume: bool,
    /// Encode and caption all photos anew, whatever the report folder keeps.
    #[arg(long, requires = "report")]
    pub fresh: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Memory sentences to show for each photo.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub evidence: usize,
    /// Longer edge of the report's small photos, in pixels; 0 for none.
    #[arg(long, default_value_t = 192, value_name = "N", value_parser = pixels())]
    pub thumbnails: usize,
    /// Put these published figures beside ours, where the photos were not recognised.
    #[arg(long, value_name = "NAME", value_parser = benchmark())]
    pub published: Option<Benchmark>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub struct MetricArgs {
    /// METEOR's data, as `decap score --prepare-meteor` makes it; without it METEOR is left out.
    #[arg(long, value_name = "FILE", env = "DECAP_METEOR")]
    pub meteor: Option<PathBuf>,
    /// The folder of Python's pycocoevalcap package, for SPICE by its Java program.
    #[arg(long, value_name = "DIR")]
    pub spice: Option<PathBuf>,
    /// Add CLIPScore and RefCLIPScore by the model's own encoder.
    #[arg(long)]
    pub clip_score: bool,
    /// Count the captions that are not in these caption files as novel.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub training_text: Vec<PathBuf>,
    /// Draws of the photos behind intervals and significance.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = draws())]
    pub draws: usize,
}

/// One method, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    All,
    One(Method),
}

/// What a sweep goes along.
#[derive(Debug, Clone, PartialEq)]
pub enum SweepArg {
    Tau(Vec<f32>),
    Memory(Vec<usize>),
    Model(Vec<String>),
}

impl EvalArgs {
    /// The methods, each once, in the order in which they were typed.
    pub fn methods(&self) -> Vec<Method> {
        let mut chosen = Vec::new();
        for typed in &self.methods {
            let methods = match typed {
                Methods::All => Method::ALL.to_vec(),
                Methods::One(method) => vec![*method],
            };
            for method in methods {
                if !chosen.contains(&method) {
                    chosen.push(method);
                }
            }
        }
        chosen
    }
}

impl FromStr for SweepArg {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let (what, values) = typed
            .split_once('=')
            .ok_or_else(|| "expected tau=..., memory=... or model=...".to_owned())?;
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        match what {
            "tau" => {
                let taus = numbers::<f32>(&values)?;
                match taus.iter().find(|tau| !(tau.is_finite() && **tau > 0.0)) {
                    Some(tau) => Err(format!("expected temperatures above 0, got {tau}")),
                    None => Ok(Self::Tau(taus)),
                }
            }
            "memory" => match numbers::<usize>(&values)? {
                rows if rows.contains(&0) => Err("expected at least one sentence, got 0".into()),
                rows => Ok(Self::Memory(rows)),
            },
            "model" if values.contains(&"") => {
                Err("expected model folders, got an empty one".into())
            }
            "model" => Ok(Self::Model(values.into_iter().map(str::to_owned).collect())),
            _ => Err(format!(
                "expected tau=..., memory=... or model=..., got {what:?}"
            )),
        }
    }
}

fn numbers<T: FromStr>(values: &[&str]) -> Result<Vec<T>, String> {
    let parse = |value: &&str| {
        value
            .parse()
            .map_err(|_| format!("expected numbers with commas between them, got {value:?}"))
    };
    values.iter().map(parse).collect()
}

fn methods() -> impl clap::builder::TypedValueParser<Value = Methods> {
    let names = MethodArg::value_variants().iter();
    let names = names.filter_map(MethodArg::to_possible_value);
    PossibleValuesParser::new(names.chain(["all".into()])).map(|name| {
        MethodArg::from_str(&name, false).map_or(Methods::All, |one| Methods::One(one.method()))
    })
}

fn benchmark() -> impl clap::builder::TypedValueParser<Value = Benchmark> {
    PossibleValuesParser::new(Benchmark::ALL.map(Benchmark::name)).map(|name| {
        let named = Benchmark::ALL.into_iter().find(|one| one.name() == name);
        // The parser lets no other name through.
        named.unwrap_or(Benchmark::Coco)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_are_read_and_nonsense_is_not() {
        let read = |typed: &str| typed.parse::<SweepArg>();
        assert_eq!(read("tau=0.01, 0.02"), Ok(SweepArg::Tau(vec![0.01, 0.02])));
        assert_eq!(read("memory=1000"), Ok(SweepArg::Memory(vec![1000])));
        let models = SweepArg::Model(vec!["a/b".into(), "tiny".into()]);
        assert_eq!(read("model=a/b,tiny"), Ok(models));
        for typed in [
            "tau",
            "tau=",
            "tau=0",
            "tau=-1",
            "tau=x",
            "tau=nan",
            "memory=0",
            "memory=1.5",
            "model=",
            "model=a,,b",
            "beams=3",
        ] {
            assert!(read(typed).is_err(), "{typed}");
        }
    }
}
