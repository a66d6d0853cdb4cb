//! What can be typed: commands, options, their help; a file a command.

mod align;
mod bench;
mod caption;
mod caption_shard;
mod choosing;
mod count;
mod embed;
mod eval;
mod import;
mod limits;
mod make;
mod memory;
mod model;
mod precision;
mod score;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod train;
mod tune;
mod write;

use std::ffi::OsString;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use align::AlignArgs;
pub use bench::BenchArgs;
pub use caption::{CaptionArgs, GenerateArgs, MinConfidence};
pub use caption_shard::CaptionShardArgs;
pub use choosing::ChoosingArgs;
pub use embed::EmbedArgs;
pub use eval::{EvalArgs, SweepArg};
pub use import::{ExportArgs, ExportForm, ImportArgs};
pub use make::MakeArgs;
pub use memory::{MemoryBuildArgs, MemoryCommand};
pub use model::ModelCommand;
pub use score::ScoreArgs;
pub use search::SearchArgs;
#[cfg(feature = "serve")]
pub use serve::{LogArg, ServeArgs};
pub use train::{PrefixArg, PresetArg, TrainArgs, VocabularyArg};
pub use tune::TuneArgs;
pub use write::{PlaceArgs, WriteArg, WriteTableArgs};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Caption photos and videos, by a captioner that learns from text alone.
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
        Exit code: 0 all went well, 1 some input failed, 2 wrong usage, 130 stopped by Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Tell errors alone: no progress, no hints.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Cli {
    /// What was typed, the program's name first.
    ///
    /// # Errors
    /// Wrong usage; and where help or the version was asked for, what there is to tell.
    pub fn typed(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches: ArgMatches = command().try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
    }
}

/// The command line. Each option takes a negative number for a value, not for an option, so that its
/// own message says what is wrong with it.
fn command() -> clap::Command {
    fn with_numbers(command: clap::Command) -> clap::Command {
        let options = command.mut_args(|arg| {
            let takes_value = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_value)
        });
        options.mut_subcommands(with_numbers)
    }
    with_numbers(Cli::command())
}

#[derive(Debug, Subcommand)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and it is parsed once"
)]
pub enum Command {
    /// Write a caption for each photo or video.
    Caption(CaptionArgs),
    /// Caption one archive or table into one file, which appears whole or not at all.
    CaptionShard(CaptionShardArgs),
    /// Write the captions of a table into its photos.
    Write(WriteTableArgs),
    /// Turn photos or sentences into unit vectors.
    Embed(EmbedArgs),
    /// Train a captioner from a text file of captions.
    Train(TrainArgs),
    /// Choose a model's temperature, and what else its projection depends on, by photos or by text alone.
    Tune(TuneArgs),
    /// Make a captioner of CLIP or SigLIP in one command, and find it by its name.
    Make(MakeArgs),
    /// Find photos and videos that show what you describe.
    Search(SearchArgs),
    /// Caption over HTTP, for programs and on a page.
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
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
    Eval(Box<EvalArgs>),
    /// BLEU, METEOR, ROUGE-L and CIDEr without Java.
    Score(ScoreArgs),
    /// Say what a model is, or download one.
    #[command(subcommand)]
    Model(ModelCommand),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_negative_number_is_a_value() {
        for (option, said) in [
            ("--tau", "expected a number above 0, got `-1`"),
            (
                "--beam",
                "expected a whole number from 1 to 1000000000, got `-1`",
            ),
            ("--max-megapixels", "expected a number above 0, got `-1`"),
        ] {
            let typed = ["decap", "caption", "a.jpg", option, "-1"];
            let error = command()
                .try_get_matches_from(typed)
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        }
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
