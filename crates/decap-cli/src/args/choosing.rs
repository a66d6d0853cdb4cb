//! How a caption is chosen among several: what can be typed after `caption` and `eval`.

use clap::{Args, ValueEnum};
use decap::Rerank;

use super::count::{at_least_one, positive};

#[derive(Debug, Args)]
#[command(next_help_heading = "Choosing")]
pub struct ChoosingArgs {
    /// How the caption is chosen among several, with `--method projection` (default: the model's).
    #[arg(long, value_enum, value_name = "HOW")]
    pub rerank: Option<RerankArg>,
    /// Choose among what the decoder writes only: never a memory sentence.
    #[arg(long)]
    pub written_only: bool,
    /// Add this much of its projection to an embedding before it is projected (default: the model's, 0 for
    /// most).
    #[arg(long, value_name = "SHARE")]
    pub query_expansion: Option<f32>,
    /// Project onto this many of the nearest memory sentences (default: the model's, all for most).
    #[arg(long, value_name = "K", value_parser = at_least_one())]
    pub top_k: Option<usize>,
    /// Weight of the encoder's cosine between photo and caption in the consensus (default: the
    /// model's, 0 for most).
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    pub rerank_cosine: Option<f32>,
    /// Compare with this many memory sentences (default: a hundredth of the memory, but 50 to 500).
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub consensus_voters: Option<usize>,
    /// Softmax temperature of their weights (default: the model's, 0.1 for most).
    #[arg(long, value_name = "TAU", value_parser = positive)]
    pub consensus_tau: Option<f32>,
    /// What a candidate loses for a word said twice, in standard deviations (default: the model's,
    /// 0.5 for most).
    #[arg(long, value_name = "X")]
    pub consensus_penalty: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RerankArg {
    /// The likeliest that the decoder can write.
    None,
    /// The nearest to the photo, by the encoder.
    Encoder,
    /// What the nearest memory sentences agree on: among six beams and the 50 nearest sentences.
    Consensus,
}

impl RerankArg {
    /// This choice as the library calls it.
    pub fn rerank(self) -> Rerank {
        match self {
            Self::None => Rerank::None,
            Self::Encoder => Rerank::Encoder,
            Self::Consensus => Rerank::Consensus,
        }
    }
}
