//! What comes out of a captioner, and what may be chosen about it.

use crate::consensus::{ConsensusOptions, Rerank};
use crate::decoder::{Case, GenerateOptions};
use crate::memory::Evidence;
use decap_encoder::encoder::REFERENCE_TAU;
use serde::{Deserialize, Serialize};

/// Memory sentences that are shown with a caption unless the caller says otherwise.
const DEFAULT_EVIDENCE: usize = 3;

/// How a photo's embedding becomes a caption; the names are the paper's (section 3 and 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// PD: projected onto the memory, then decoded.
    #[default]
    Projection,
    /// VD: decoded as it is.
    Visual,
    /// NND: the nearest memory row, decoded.
    Nearest,
    /// CLIPRe: the nearest memory sentence, word for word.
    Retrieval,
    /// Of the nearest memory sentences the one that the others agree with most, word for word; not in
    /// the paper.
    Consensus,
}

/// What the caller may choose for each caption; [`Captioner::options`](crate::Captioner::options)
/// has the model's choice.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CaptionOptions {
    /// From embedding to caption.
    pub method: Method,
    /// Softmax temperature of the projection.
    pub tau: f32,
    /// How much of an embedding's projection is added to it before it is projected (query expansion: Chum et
    /// al., *Total Recall*, 2007), 0 for none.
    pub query_expansion: f32,
    /// How many of the nearest memory sentences a photo is projected onto; `None`: onto all, as in the paper.
    pub top_k: Option<usize>,
    /// Memory sentences to show for each caption. Default 3.
    pub evidence: usize,
    /// How a projection's caption is chosen among several. The other methods are the paper's baselines,
    /// which stay as they are.
    pub rerank: Rerank,
    /// How candidates are found and judged, where there are several.
    pub consensus: ConsensusOptions,
    /// Photos of at least this cosine to one of the last 64 that got captions get its caption: frames of a video,
    /// bursts. `None`: each gets its own. It is for [`Captioner::caption_each`](crate::Captioner::caption_each).
    pub near_duplicates: Option<f32>,
    /// How the decoder writes.
    pub generate: GenerateOptions,
    /// Letter case of the caption.
    pub case: Case,
}

impl Default for CaptionOptions {
    /// The reference's: projection at 1/100, greedy, 30 tokens; with three pieces of evidence.
    fn default() -> Self {
        Self {
            method: Method::default(),
            tau: REFERENCE_TAU,
            query_expansion: 0.0,
            top_k: None,
            evidence: DEFAULT_EVIDENCE,
            rerank: Rerank::default(),
            consensus: ConsensusOptions::default(),
            near_duplicates: None,
            generate: GenerateOptions::default(),
            case: Case::default(),
        }
    }
}

impl CaptionOptions {
    /// How the caption of this method is chosen among several.
    pub fn rerank_in_use(&self) -> Rerank {
        match self.method {
            Method::Projection => self.rerank,
            _ => Rerank::None,
        }
    }

    /// Whether memory sentences vote.
    pub(crate) fn is_by_consensus(&self) -> bool {
        self.method == Method::Consensus || self.rerank_in_use() == Rerank::Consensus
    }
}

/// A caption and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// The caption.
    pub text: String,
    /// Mean log-probability of its tokens, whoever wrote it; for the methods `Retrieval` and `Consensus`,
    /// the cosine to the photo.
    pub score: f32,
    /// How likely it is right, 0 to 1, where the model knows: see [`Calibration`](crate::Calibration).
    pub confidence: Option<f32>,
    /// Whether the decoder wrote it.
    pub chosen_from: ChosenFrom,
    /// The memory sentences that it comes from, heaviest first: of a projection those with the largest
    /// weights, of [`Method::Consensus`] those that voted, of
    /// [`Method::Nearest`] and [`Method::Retrieval`] the one, of [`Method::Visual`] none.
    pub evidence: Vec<Evidence>,
    /// What the decoder wrote, best first: several where one of them was to be chosen
    /// ([`CaptionOptions::rerank_in_use`]), none of [`Method::Retrieval`] and [`Method::Consensus`].
    pub candidates: Vec<Candidate>,
}

/// A caption that the decoder wrote, chosen or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its words.
    pub text: String,
    /// Mean log-probability of its tokens.
    pub score: f32,
}

/// Where a caption's words come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenFrom {
    /// The decoder wrote it.
    #[default]
    Written,
    /// It is a sentence of the memory.
    Memory,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timings {
    /// Reading and decoding.
    pub decode_ms: f64,
    /// Through the image tower.
    pub encode_ms: f64,
    /// Onto the memory.
    pub project_ms: f64,
    /// Through the decoder.
    pub generate_ms: f64,
    /// Choosing among candidates.
    pub choose_ms: f64,
}

impl ChosenFrom {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Memory => "memory",
        }
    }
}

impl Method {
    /// All of them, the paper's own first.
    pub const ALL: [Self; 5] = [
        Self::Projection,
        Self::Nearest,
        Self::Retrieval,
        Self::Visual,
        Self::Consensus,
    ];

    /// Whether the decoder writes the caption.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Retrieval | Self::Consensus)
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Visual => "visual",
            Self::Nearest => "nearest",
            Self::Retrieval => "retrieval",
            Self::Consensus => "consensus",
        }
    }
}
