//! What comes out of a captioner, and what may be chosen about it.

use crate::decoder::{Case, GenerateOptions};
use crate::memory::Evidence;
use decap_encoder::encoder::REFERENCE_TAU;

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
    /// Memory sentences to show for each caption. Default 3.
    pub evidence: usize,
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
            evidence: DEFAULT_EVIDENCE,
            generate: GenerateOptions::default(),
            case: Case::default(),
        }
    }
}

/// A caption and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// The caption.
    pub text: String,
    /// Mean log-probability of its tokens; for retrieval, the cosine to the photo.
    pub score: f32,
    /// The memory sentences that it comes from, heaviest first: of a projection those with the largest
    /// weights, of [`Method::Nearest`] and [`Method::Retrieval`] the one, of [`Method::Visual`] none.
    pub evidence: Vec<Evidence>,
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
}

impl Method {
    /// All of them, the paper's own first.
    pub const ALL: [Self; 4] = [
        Self::Projection,
        Self::Nearest,
        Self::Retrieval,
        Self::Visual,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Visual => "visual",
            Self::Nearest => "nearest",
            Self::Retrieval => "retrieval",
        }
    }
}
