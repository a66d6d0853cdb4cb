//! The worker: one thread that owns the model, and the queue before it.

mod batch;
mod engine;
mod job;

pub use engine::{Engine, Model};
pub use job::{CaptionPlan, Job, MemoryKey, Pending, Picture, Work};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use decap::{Error, Result};
use tokio::sync::oneshot;

use crate::error::ApiError;
use crate::metrics::Metrics;

/// How photos share a batch.
#[derive(Debug, Clone, Copy)]
pub struct WorkerOptions {
    /// Photos that wait at most.
    pub queue: usize,
    /// Photos in a batch at most.
    pub batch: usize,
    /// How long the first photo of a batch waits for others.
    pub wait: Duration,
}

/// The queue's near end.
pub struct Worker {
    sender: Mutex<Option<mpsc::SyncSender<Job>>>,
    waiting: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts the thread, which runs `engine`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the system grants no thread.
    pub fn start(
        mut engine: impl Engine,
        options: WorkerOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(options.queue.max(1));
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&waiting);
        let work = move || {
            while let Some(jobs) = batch::collect(&receiver, options.batch, options.wait) {
                seen.fetch_sub(jobs.len(), Ordering::Relaxed);
                let wanted = batch::still_wanted(jobs, Instant::now());
                for group in batch::groups(wanted) {
                    metrics.batch(group.len());
                    run_group(&mut engine, group, &metrics);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("decap-model".into())
            .spawn(work);
        let thread = thread
            .map_err(|error| Error::Unavailable(format!("cannot start the worker: {error}")))?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            waiting,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Puts a photo into the queue.
    ///
    /// # Errors
    /// [`ApiError::Busy`] where it is full, [`ApiError::Stopping`] after [`Worker::finish`].
    pub fn submit(
        &self,
        picture: Picture,
        name: String,
        work: Work,
        deadline: Instant,
    ) -> Result<Pending, ApiError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            picture,
            name,
            work,
            deadline,
            reply,
        };
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else {
            return Err(ApiError::Stopping);
        };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = sender.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => ApiError::Busy,
            mpsc::TrySendError::Disconnected(_) => ApiError::Stopping,
        });
        if sent.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent.map(|()| Pending { answer, deadline })
    }

    /// Photos that wait for the model.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes no more, finishes what is in the queue, and ends the thread.
    pub fn finish(&self) {
        drop(
            self.sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A thread that panicked has nothing left to finish.
        let _ended = thread.map(JoinHandle::join);
    }
}

/// Runs jobs of one plan and answers each. Where a batch breaks, its photos are tried one by one, so
/// that one poisoned photo fails alone.
fn run_group(engine: &mut impl Engine, group: Vec<Job>, metrics: &Metrics) {
    let attempt = catch_unwind(AssertUnwindSafe(|| engine.run(&group)));
    match attempt {
        Ok(Ok(outcomes)) if outcomes.len() == group.len() => {
            for (job, outcome) in group.into_iter().zip(outcomes) {
                metrics.stages(&outcome.timings());
                job.answer(Ok(outcome));
            }
        }
        Ok(Err(error)) if group.len() == 1 => {
            for job in group {
                job.answer(Err(ApiError::Library(copy_of(&error))));
            }
        }
        _ if group.len() == 1 => {
            metrics.panics.inc();
            for job in group {
                job.answer(Err(ApiError::Broken));
            }
        }
        _ => {
            for job in group {
                run_group(engine, vec![job], metrics);
            }
        }
    }
}

/// An error of the whole batch for its only photo.
fn copy_of(error: &Error) -> Error {
    match error {
        Error::Usage(message) => Error::Usage(message.clone()),
        Error::Mismatch(message) => Error::Mismatch(message.clone()),
        Error::Unavailable(message) => Error::Unavailable(message.clone()),
        other => Error::model("model", other.to_string()),
    }
}

#[cfg(test)]
mod tests;
