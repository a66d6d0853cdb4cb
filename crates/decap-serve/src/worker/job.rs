//! One photo in the queue, what is to be done with it, and who waits for it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use decap::media::RgbImage;
use decap::memory::Memory;
use decap::{Caption, CaptionOptions, Embedding, Error, Timings};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::decoders::Trained;
use crate::error::ApiError;

/// How a photo is captioned; photos of one plan share batches.
#[derive(Clone)]
pub struct CaptionPlan {
    /// From embedding to caption.
    pub options: CaptionOptions,
    /// Words and phrases that are never written.
    pub ban: Vec<String>,
    /// The model, where it is not the service's own.
    pub model: Option<Arc<Trained>>,
    /// The memory, where it is not the model's own.
    pub memory: Option<Arc<Memory>>,
    /// Which memory that is, and what is left out of it.
    pub memory_key: MemoryKey,
}

/// Tells apart what captions are written from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryKey {
    /// A number for each model that was trained; 0 for the service's own.
    pub model: u64,
    /// A number for each memory that was taught; 0 for the model's own.
    pub number: u64,
    /// Sentences that are left out, sorted.
    pub without: Vec<String>,
}

impl PartialEq for CaptionPlan {
    fn eq(&self, other: &Self) -> bool {
        self.memory_key == other.memory_key
            && self.ban == other.ban
            && self.options == other.options
    }
}

/// What is to be done with a photo.
#[derive(Clone, PartialEq)]
pub enum Work {
    /// Write its caption.
    Caption(Arc<CaptionPlan>),
    /// Give its embedding.
    Embed,
}

/// What is worked on.
pub enum Picture {
    /// What the file of a photo holds.
    File(Bytes),
    /// A frame of a video.
    Frame(RgbImage),
    /// The embedding of what was seen already.
    Seen(Embedding),
}

impl Picture {
    /// Whether it can share a batch with `other`.
    pub fn is_like(&self, other: &Self) -> bool {
        matches!(self, Self::Seen(_)) == matches!(other, Self::Seen(_))
    }
}

/// What became of a photo.
#[derive(Debug)]
pub enum Outcome {
    /// Its caption.
    Caption(decap::Result<Caption>, Timings),
    /// Its embedding.
    Embedding(decap::Result<Embedding>),
}

impl Outcome {
    /// Where the time went.
    pub fn timings(&self) -> Timings {
        match self {
            Self::Caption(_, timings) => *timings,
            Self::Embedding(_) => Timings::default(),
        }
    }
}

/// A photo in the queue.
pub struct Job {
    /// What is worked on.
    pub picture: Picture,
    /// Stands for it in messages.
    pub name: String,
    /// What to do.
    pub work: Work,
    /// When nobody waits for it any more.
    pub deadline: Instant,
    /// Who waits.
    pub reply: oneshot::Sender<Result<Outcome, ApiError>>,
}

impl Job {
    /// Tells who waits; where nobody does, nothing is lost.
    pub fn answer(self, outcome: Result<Outcome, ApiError>) {
        let _gone = self.reply.send(outcome);
    }
}

/// A photo that waits; dropping it takes the photo out of the queue.
#[derive(Debug)]
pub struct Pending {
    pub(super) answer: oneshot::Receiver<Result<Outcome, ApiError>>,
    pub(super) deadline: Instant,
}

impl Pending {
    /// A photo that never gets into the queue.
    pub fn failed(error: ApiError, deadline: Instant) -> Self {
        let (reply, answer) = oneshot::channel();
        let _waits = reply.send(Err(error));
        Self { answer, deadline }
    }

    /// The photo's outcome.
    ///
    /// # Errors
    /// [`ApiError::OutOfTime`] after the deadline; what broke.
    pub async fn outcome(self) -> Result<Outcome, ApiError> {
        match timeout_at(self.deadline.into(), self.answer).await {
            Err(_) => Err(ApiError::OutOfTime),
            Ok(Err(_)) => Err(ApiError::Broken),
            Ok(Ok(outcome)) => outcome,
        }
    }

    /// The photo's caption.
    ///
    /// # Errors
    /// As [`Pending::outcome`]; what is wrong with the photo.
    pub async fn caption(self) -> Result<(Caption, Timings), ApiError> {
        match self.outcome().await? {
            Outcome::Caption(caption, timings) => Ok((caption?, timings)),
            Outcome::Embedding(_) => Err(mixed_up()),
        }
    }

    /// The photo's embedding.
    ///
    /// # Errors
    /// As [`Pending::caption`].
    pub async fn embedding(self) -> Result<Embedding, ApiError> {
        match self.outcome().await? {
            Outcome::Embedding(embedding) => Ok(embedding?),
            Outcome::Caption(..) => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> ApiError {
    Error::Usage("expected the outcome that was asked for".into()).into()
}
