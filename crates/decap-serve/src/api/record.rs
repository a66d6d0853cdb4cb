//! What `POST /v1/caption` tells of a photo: the keys of `decap caption --json`, but for the run.

use decap::{Caption, Timings};
use serde::Serialize;
use utoipa::ToSchema;

use super::rounded;
use crate::error::ApiError;

/// A photo's caption, or why it has none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Record {
    /// Its caption.
    Captioned(Captioned),
    /// What is wrong with it.
    Failed(Failed),
}

/// A caption and what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Captioned {
    /// The name of the photo as it was sent.
    #[schema(example = "cat.jpg")]
    path: String,
    /// The caption.
    #[schema(example = "a close up of a cat laying on a bench")]
    caption: String,
    /// Mean log-probability of the caption's tokens; for the methods `retrieval` and `consensus`, the cosine
    /// to the photo.
    #[schema(example = -1.37)]
    score: f64,
    /// `written` by the decoder, or a sentence of the `memory`.
    #[schema(example = "written")]
    chosen_from: &'static str,
    /// The memory sentences behind the caption, heaviest first.
    evidence: Vec<EvidenceRecord>,
    /// The model's name.
    #[schema(example = "tiny")]
    model: String,
    /// Where the time went, in milliseconds.
    ms: StageTimes,
    /// How likely the caption is right, 0 to 1. Only with the model's own memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    /// The scenes of a video, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Segment>>,
    /// What a person should know of a video: it is damaged or cut short, and was seen in part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What the decoder wrote, best first; only where `candidates` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<CandidateRecord>>,
}

/// A scene of a video.
#[derive(Debug, Serialize, ToSchema)]
pub struct Segment {
    /// When it begins, in seconds.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// Its caption.
    pub caption: String,
    /// As of the whole.
    pub score: f64,
}

/// A caption that the decoder wrote, chosen or not.
#[derive(Debug, Serialize, ToSchema)]
pub struct CandidateRecord {
    /// The caption.
    text: String,
    /// Mean log-probability of its tokens.
    score: f64,
}

/// A memory sentence and its weight.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvidenceRecord {
    /// The sentence.
    #[schema(example = "A close up shot of a cat laying down.")]
    text: String,
    /// Its share of the projection, 0 to 1.
    #[schema(example = 0.09)]
    weight: f64,
}

/// Milliseconds by stage.
#[derive(Debug, Serialize, ToSchema)]
pub struct StageTimes {
    /// Reading and decoding the photo.
    decode: f64,
    /// Through the image tower.
    encode: f64,
    /// Onto the memory.
    project: f64,
    /// Through the decoder.
    generate: f64,
    /// Choosing among candidates.
    choose: f64,
}

/// A photo that has no caption.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failed {
    /// The name of the photo as it was sent.
    path: String,
    /// What is wrong with it.
    error: Fault,
}

/// What is wrong with a photo.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fault {
    /// A stable word for programs.
    #[schema(example = "unsupported")]
    kind: &'static str,
    /// A sentence for people.
    message: String,
}

impl Captioned {
    /// The record of this caption, by the model of this name.
    pub fn new(name: &str, caption: &Caption, timings: Timings, model: &str) -> Self {
        let ms = |value: f64| (value * 1e3).round() / 1e3;
        let evidence = caption.evidence.iter().map(|it| EvidenceRecord {
            text: it.text.clone(),
            weight: rounded(it.weight, 6),
        });
        Self {
            path: name.to_owned(),
            caption: caption.text.clone(),
            score: rounded(caption.score, 6),
            chosen_from: caption.chosen_from.name(),
            evidence: evidence.collect(),
            model: model.to_owned(),
            ms: StageTimes {
                decode: ms(timings.decode_ms),
                encode: ms(timings.encode_ms),
                project: ms(timings.project_ms),
                generate: ms(timings.generate_ms),
                choose: ms(timings.choose_ms),
            },
            confidence: caption.confidence.map(|it| rounded(it, 4)),
            segments: None,
            warnings: Vec::new(),
            candidates: None,
        }
    }

    /// This record of a video, with its scenes where the video tells its length.
    pub fn of_scenes(self, segments: Vec<Segment>, warnings: Vec<String>) -> Self {
        Self {
            segments: (!segments.is_empty()).then_some(segments),
            warnings,
            ..self
        }
    }

    /// This record with up to `most` of the caption's candidates, where they are asked for.
    pub fn with(self, most: usize, caption: &Caption) -> Self {
        let candidates = caption.candidates.iter().take(most);
        let candidates = candidates.map(|it| CandidateRecord {
            text: it.text.clone(),
            score: rounded(it.score, 6),
        });
        Self {
            candidates: (most > 0).then(|| candidates.collect()),
            ..self
        }
    }
}

impl Record {
    /// The record of a photo that failed.
    pub fn failed(name: &str, error: &ApiError) -> Self {
        let (_, kind) = error.status();
        let (path, message) = (name.to_owned(), error.message());
        Self::Failed(Failed {
            path,
            error: Fault { kind, message },
        })
    }

    /// The name of its event in a stream.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Captioned(_) => "caption",
            Self::Failed(_) => "error",
        }
    }

    /// Its line in an answer of text.
    pub fn line(&self) -> String {
        match self {
            Self::Captioned(it) => format!("{}\n", it.caption),
            Self::Failed(_) => "\n".to_owned(),
        }
    }
}
