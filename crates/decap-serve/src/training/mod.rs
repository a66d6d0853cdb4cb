//! Decoders that learn in the background: one at a time, with a small share of the processor.

mod run;
mod share;

pub use run::{Run, TrainingStatus};

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use decap::memory::MemoryOptions;
use decap::model::Writing;
use decap::{Captioner, Error, Result};
use decap_train::{Foundation, ModelRecipe, Start, TrainOptions, train_model};

use crate::decoders::Decoders;
use crate::error::ApiError;
use crate::options::TrainingOptions;

/// Different sentences at least: fewer have nothing to teach.
pub const LEAST_SENTENCES: usize = 10;
/// Steps at most.
pub const MOST_STEPS: u64 = 5000;
/// Trainings that are told of.
const MOST_TOLD: usize = 8;
/// The folder of a model within its workplace.
const MADE: &str = "model";

/// What is to be learned.
pub struct Lesson {
    /// The name of the model to be.
    pub name: String,
    /// Its sentences.
    pub sentences: Vec<String>,
    /// Steps, where somebody chose how many.
    pub steps: Option<u64>,
}

/// Trainings of this service.
pub struct Trainings {
    options: TrainingOptions,
    /// The service's own, which they start from.
    captioner: Captioner,
    decoders: Arc<Decoders>,
    runs: Mutex<VecDeque<Arc<Run>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Trainings {
    /// None yet.
    pub fn new(options: TrainingOptions, captioner: Captioner, decoders: Arc<Decoders>) -> Self {
        Self {
            options,
            captioner,
            decoders,
            runs: Mutex::default(),
            thread: Mutex::default(),
        }
    }

    /// Begins to learn.
    ///
    /// # Errors
    /// [`ApiError::Unusable`] for a lesson that teaches nothing, [`ApiError::Taken`] where another one runs.
    pub fn start(self: &Arc<Self>, lesson: Lesson) -> Result<Arc<Run>, ApiError> {
        self.decoders.check(&lesson.name)?;
        let different: BTreeSet<&str> = lesson.sentences.iter().map(String::as_str).collect();
        if different.len() < LEAST_SENTENCES {
            return Err(ApiError::Unusable(format!(
                "expected at least {LEAST_SENTENCES} different sentences to train on, got {}; a memory can be \
                 taught fewer",
                different.len()
            )));
        }
        if let Some(steps) = lesson.steps.filter(|it| !(1..=MOST_STEPS).contains(it)) {
            return Err(ApiError::Unusable(format!(
                "`steps`: expected 1 to {MOST_STEPS}, got {steps}"
            )));
        }
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = runs.iter().find(|it| !it.is_over()) {
            return Err(ApiError::Taken(format!(
                "`{}` is being trained; one decoder is trained at a time: wait for it, or stop it with DELETE \
                 /v1/train/{}",
                other.name, other.id
            )));
        }
        let id = runs.back().map_or(1, |it| it.id + 1);
        let run = Arc::new(Run::new(id, &lesson));
        let (trainings, running) = (Arc::clone(self), Arc::clone(&run));
        let work = move || trainings.work(&running, lesson);
        let thread = thread::Builder::new()
            .name("decap-training".into())
            .spawn(work);
        let thread = thread
            .map_err(|error| Error::Unavailable(format!("cannot start the training: {error}")))?;
        // The thread before has ended, or is about to.
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        runs.push_back(Arc::clone(&run));
        if runs.len() > MOST_TOLD {
            runs.pop_front();
        }
        Ok(run)
    }

    /// Those that are told of, the newest first.
    pub fn list(&self) -> Vec<Arc<Run>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().rev().cloned().collect()
    }

    /// The one of this number.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn numbered(&self, id: &str) -> Result<Arc<Run>, ApiError> {
        let found = self.list().into_iter().find(|it| it.id.to_string() == id);
        found.ok_or_else(|| {
            let message = "there is no such training; GET /v1/train lists them";
            ApiError::NotFound(message.into())
        })
    }

    /// Stops what is being learned and waits for its end.
    pub fn finish(&self) {
        for run in self.list() {
            run.stop();
        }
        self.wait();
    }

    /// Waits for the end of what is being learned.
    pub fn wait(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A training that panicked has told so.
        let _ended = thread.map(JoinHandle::join);
    }

    fn work(&self, run: &Run, lesson: Lesson) {
        let learn = || share::with_small_share(self.options.threads, || self.learn(run, lesson));
        let ended = catch_unwind(AssertUnwindSafe(learn));
        run.end(ended.unwrap_or_else(|_| {
            let message = "the training broke; the service goes on";
            Err(Error::Unavailable(message.into()))
        }));
    }

    /// As `decap train --from MODEL` learns a small text.
    fn learn(&self, run: &Run, lesson: Lesson) -> Result<()> {
        let encoder = self.captioner.encoder();
        let foundation = Foundation::open(&self.options.folder, encoder)?;
        let count = lesson.sentences.len();
        let mut train = TrainOptions::fast_for(count).from_trained(count);
        train.max_steps = lesson.steps;
        let workplace = self.decoders.workplace()?;
        let recipe = ModelRecipe {
            name: lesson.name.clone(),
            encoder_reference: self.options.reference.clone(),
            captions_from: "sentences taught to the service".into(),
            preset: "fast".into(),
            train,
            foundation: Some(Arc::new(foundation)),
            start: Start::Fresh,
            memory: MemoryOptions::default(),
            tau: encoder.tau(),
            writing: Writing::fast(),
            cache: workplace.path().join("cache"),
        };
        let folder = workplace.path().join(MADE);
        let stop = &run.stop;
        train_model(
            encoder,
            &lesson.sentences,
            &recipe,
            &folder,
            |_| (),
            &mut &*run,
            stop,
        )?;
        // Whoever stopped it at the last moment wants no model.
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let name = &lesson.name;
        self.decoders.keep(name, workplace, MADE, &self.captioner)
    }
}
