//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use decap::encoder::Encoder;
use decap::pipeline::ReadOptions;
use decap::{CaptionOptions, Captioner, Error, Result};
use decap_sources::fetch::Fetcher;
use tokio::sync::Semaphore;

use crate::decoders::Decoders;
use crate::error::ApiError;
use crate::fallback::Fallback;
use crate::memories::Memories;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::photo::Photo;
use crate::training::Trainings;
use crate::worker::{CaptionPlan, MemoryKey, Model, Pending, Picture, Work, Worker, WorkerOptions};

/// Bodies are counted in units of this many bytes.
pub const BODY_UNIT: usize = 1024;

/// Limits, model, queue, counters.
pub struct State {
    /// What was chosen.
    pub options: ServeOptions,
    /// The model's thread.
    pub worker: Worker,
    /// The text tower; photos go through the worker.
    pub encoder: Arc<Encoder>,
    /// The model's name.
    pub model: String,
    /// The model's own choice of everything.
    pub defaults: CaptionOptions,
    /// What was taught.
    pub memories: Memories,
    /// What was trained.
    pub decoders: Arc<Decoders>,
    /// What is being trained, where that is allowed.
    pub trainings: Option<Arc<Trainings>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Room for bodies, in units of [`BODY_UNIT`].
    pub bodies: Arc<Semaphore>,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// One video is decoded at a time: ffmpeg uses all cores.
    pub decoding: Semaphore,
    /// Fetches photos, where that is allowed.
    pub fetcher: Option<Arc<Fetcher>>,
    /// Answers what decap can't, where there is one.
    pub fallback: Option<Fallback>,
    /// Below this confidence a caption is unsure; nothing where the model does not know how sure it is.
    pub least_confidence: Option<f32>,
    is_warm: AtomicBool,
    requests: AtomicU64,
}

impl State {
    /// Starts the worker.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the system grants no thread.
    pub fn new(captioner: Captioner, options: ServeOptions) -> Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let encoder = Arc::clone(captioner.encoder());
        let model = captioner.description().name.clone();
        let defaults = captioner.options();
        let own_sentences = captioner.memory().len();
        let least = captioner.calibration().map(|it| it.least);
        let decoders = Decoders::new(&model, options.trained_models, options.keep.clone());
        decoders.open_kept(&captioner, &|words| {
            if let Some(warn) = &options.warn {
                warn(words);
            }
        })?;
        let decoders = Arc::new(decoders);
        let trainings = options.training.clone().map(|training| {
            let (captioner, decoders) = (captioner.clone(), Arc::clone(&decoders));
            Arc::new(Trainings::new(training, captioner, decoders))
        });
        let mut read = ReadOptions::default();
        read.batch = options.batch_photos;
        read.limits = options.limits.clone();
        let worker = WorkerOptions {
            queue: options.queue_photos,
            batch: options.batch_photos,
            wait: options.batch_wait,
        };
        let worker = Worker::start(Model::new(captioner, read), worker, Arc::clone(&metrics))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            worker,
            encoder,
            model,
            defaults,
            memories: Memories::new(own_sentences, options.taught_memories),
            decoders,
            trainings,
            metrics,
            bodies: Arc::new(Semaphore::new(options.all_bodies_bytes / BODY_UNIT)),
            started: since.map_or(0, |since| since.as_secs()),
            decoding: Semaphore::new(1),
            fetcher: options.fetch.map(|reach| {
                let most = options.limits.file_bytes;
                Arc::new(Fetcher::new(reach, most))
            }),
            fallback: options.fallback.clone().map(Fallback::new),
            least_confidence: options.least_confidence.or(least),
            is_warm: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            options,
        })
    }

    /// Captions a photo, so that the first client does not wait for what is opened on first use.
    ///
    /// # Errors
    /// What is wrong with the model.
    pub async fn warm_up(&self) -> Result<()> {
        let work = Work::Caption(Arc::new(self.plan_of(self.defaults.clone())));
        let photo = Bytes::from_static(include_bytes!("page/warm-up.png"));
        let deadline = Instant::now() + Duration::from_secs(600);
        let pending = self
            .worker
            .submit(Picture::File(photo), "warm-up".into(), work, deadline);
        let caption = match pending {
            Ok(pending) => pending.caption().await,
            Err(error) => Err(error),
        };
        caption.map_err(|error| match error {
            ApiError::Library(error) => error,
            other => Error::Unavailable(other.message()),
        })?;
        self.is_warm.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the model has captioned a photo.
    pub fn is_warm(&self) -> bool {
        self.is_warm.load(Ordering::Acquire)
    }

    /// Captions with the model's own memory and these options.
    pub fn plan_of(&self, options: CaptionOptions) -> CaptionPlan {
        CaptionPlan {
            options,
            ban: Vec::new(),
            model: None,
            memory: None,
            memory_key: MemoryKey::default(),
        }
    }

    /// Puts photos into the queue, all or none.
    ///
    /// # Errors
    /// [`ApiError::Busy`] where there is no room for all.
    pub fn submit(
        &self,
        photos: Vec<Photo>,
        work: &Work,
        deadline: Instant,
    ) -> Result<Vec<Pending>, ApiError> {
        let submit = |photo: Photo| match photo.bytes {
            Ok(bytes) => {
                let picture = Picture::File(bytes);
                self.worker
                    .submit(picture, photo.name, work.clone(), deadline)
            }
            Err(error) => Ok(Pending::failed(error, deadline)),
        };
        // Those that were submitted before a refusal are dropped with it, and never run.
        photos.into_iter().map(submit).collect()
    }

    /// A number for a request, unlike any other of this process.
    pub fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Finishes what was accepted.
    pub async fn finish(self: Arc<Self>) {
        // The thread is joined where waiting is allowed.
        let _joined = tokio::task::spawn_blocking(move || {
            self.worker.finish();
            if let Some(trainings) = &self.trainings {
                trainings.finish();
            }
        })
        .await;
    }
}
