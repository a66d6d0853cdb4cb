//! What may be chosen about the service; every limit has a default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decap::media::{Limits, VideoOptions};
use decap::weights::Folder;
pub use decap_sources::fetch::Reach;

use crate::keys::ApiKeys;

/// A request that was answered, for the log.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// The id that the answer carries.
    pub request_id: &'a str,
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path, without its query.
    pub path: &'a str,
    /// What it was answered with.
    pub status: u16,
    /// From its headers to the headers of the answer.
    pub ms: f64,
    /// Why it was refused.
    pub error: Option<String>,
    /// Whether it was passed on to the fallback, or why not, where that was tried.
    pub fallback: Option<String>,
}

/// What the service is given with each request that it has answered.
pub type Log = Arc<dyn Fn(&LogRecord<'_>) + Send + Sync>;

/// What the service is given with what a person should know at its start.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// A server of OpenAI's or Ollama's API that answers what decap can't.
#[derive(Clone)]
#[non_exhaustive]
pub struct FallbackOptions {
    /// Its address: `http://127.0.0.1:11434`, `https://api.example/v1`.
    pub url: String,
    /// Its name of the model, put in place of the one that was asked for. Default: none, the request goes on unchanged.
    pub model: Option<String>,
    /// Its key. Default: none; a client's own key is never passed on.
    pub key: Option<String>,
    /// How long an answer may take, to its last byte. Default 60 s.
    pub time: Duration,
}

impl FallbackOptions {
    /// The server at `url`, with the defaults of all else.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: None,
            key: None,
            time: Duration::from_secs(60),
        }
    }
}

/// How decoders are trained while the service runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct TrainingOptions {
    /// The model that they start from: the service's own.
    pub folder: Folder,
    /// How its encoder is found again.
    pub reference: String,
    /// Threads that a training may use. Default: a quarter of the cores, at least one.
    pub threads: usize,
}

impl TrainingOptions {
    /// From the model in `folder`, with the defaults of all else.
    pub fn new(folder: Folder, reference: impl Into<String>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            folder,
            reference: reference.into(),
            threads: (cores / 4).max(1),
        }
    }
}

/// Address, limits, keys.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Where to listen. Default 127.0.0.1:8080: this machine alone.
    pub listen: SocketAddr,
    /// Names of the service beside its address, where a proxy stands before it. Default: none.
    pub host_names: Vec<String>,
    /// Photos that wait for the model at most; more are refused with 429. Default 256.
    pub queue_photos: usize,
    /// Photos that go through the model together at most. Default 16.
    pub batch_photos: usize,
    /// How long a photo waits for others to share its batch. Default 3 ms.
    pub batch_wait: Duration,
    /// How long a request may take from its first byte to its last. Default 60 s.
    pub request_time: Duration,
    /// Bytes of a request at most. Default 32 MiB.
    pub body_bytes: usize,
    /// Bytes of all requests together at most. Default 256 MiB.
    pub all_bodies_bytes: usize,
    /// Photos in a request at most. Default 32.
    pub photos_a_request: usize,
    /// Connections at a time. Default 512.
    pub connections: usize,
    /// Sentences of a memory that is taught at most. Default 20,000.
    pub taught_sentences: usize,
    /// Memories that are taught at most. Default 8.
    pub taught_memories: usize,
    /// Which addresses photos are fetched from. Default: none, nothing is fetched.
    pub fetch: Option<Reach>,
    /// Who answers what decap can't. Default: nobody.
    pub fallback: Option<FallbackOptions>,
    /// Below this confidence a caption is unsure. Default: as the model says.
    pub least_confidence: Option<f32>,
    /// How decoders are trained. Default: none are.
    pub training: Option<TrainingOptions>,
    /// Models that were trained here at most. Default 8.
    pub trained_models: usize,
    /// Where models that were trained here are kept, and found again. Default: nowhere, they end with the service.
    pub keep: Option<PathBuf>,
    /// Is told what of that folder cannot be used. Default: nobody.
    pub warn: Option<Warn>,
    /// How videos are looked at: their time and limits, and which programs decode them. Default: 24 frames.
    pub video: VideoOptions,
    /// What a photo may claim. Default: 32 MiB, 100 megapixels.
    pub limits: Limits,
    /// Who may ask. Default: everybody who reaches the address.
    pub keys: ApiKeys,
    /// Is told of each answer. Default: nobody.
    pub log: Option<Log>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let mut limits = Limits::default();
        limits.file_bytes = 32 << 20;
        limits.pixels = 100_000_000;
        limits.decoder_bytes = 1 << 30;
        let mut video = VideoOptions::default();
        video.frames = 24;
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            host_names: Vec::new(),
            queue_photos: 256,
            batch_photos: 16,
            batch_wait: Duration::from_millis(3),
            request_time: Duration::from_secs(60),
            body_bytes: 32 << 20,
            all_bodies_bytes: 256 << 20,
            photos_a_request: 32,
            connections: 512,
            taught_sentences: 20_000,
            taught_memories: 8,
            fetch: None,
            fallback: None,
            least_confidence: None,
            training: None,
            trained_models: 8,
            keep: None,
            warn: None,
            video,
            limits,
            keys: ApiKeys::default(),
            log: None,
        }
    }
}
