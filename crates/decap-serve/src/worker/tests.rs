//! The queue and the worker, with an engine that is told what to do.

use std::sync::mpsc::{Receiver, Sender, channel};

use axum::body::Bytes;
use decap::{Caption, ChosenFrom, Embedding, Timings};

use super::job::Outcome;
use super::*;

/// Tells each batch, then waits for leave; panics at a photo of the bytes `poison`.
struct Told {
    batches: Sender<usize>,
    leave: Receiver<()>,
}

impl Engine for Told {
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>> {
        self.batches.send(jobs.len()).unwrap();
        self.leave.recv().unwrap();
        assert!(
            !jobs
                .iter()
                .any(|job| matches!(&job.picture, Picture::File(it) if it == "poison")),
            "the decoder failed"
        );
        let outcome = |job: &Job| match job.work {
            Work::Embed => Outcome::Embedding(Embedding::new(vec![1.0, 0.0])),
            Work::Caption(_) => Outcome::Caption(
                Ok(Caption {
                    confidence: None,
                    text: job.name.clone(),
                    score: 0.0,
                    chosen_from: ChosenFrom::Written,
                    evidence: Vec::new(),
                    candidates: Vec::new(),
                }),
                Timings::default(),
            ),
        };
        Ok(jobs.iter().map(outcome).collect())
    }
}

struct Bench {
    worker: Worker,
    batches: Receiver<usize>,
    leave: Sender<()>,
}

fn bench(queue: usize, batch: usize) -> Bench {
    let ((told, batches), (leave, waits)) = (channel(), channel());
    let engine = Told {
        batches: told,
        leave: waits,
    };
    // Far longer than the test: a batch is full, or the queue's sender is gone.
    let wait = if batch == 1 {
        Duration::ZERO
    } else {
        Duration::from_secs(60)
    };
    let options = WorkerOptions { queue, batch, wait };
    let worker = Worker::start(engine, options, Arc::new(Metrics::default())).unwrap();
    Bench {
        worker,
        batches,
        leave,
    }
}

impl Bench {
    fn photo(&self, content: &'static str) -> Result<Pending, ApiError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let photo = Picture::File(Bytes::from_static(content.as_bytes()));
        self.worker
            .submit(photo, content.into(), Work::Embed, deadline)
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_goes_on_when_there_is_room() {
    let bench = bench(1, 1);
    let first = bench.photo("a").unwrap();
    // The worker has it in hand now, and the queue is empty.
    assert_eq!(bench.batches.recv().unwrap(), 1);
    let second = bench.photo("b").unwrap();
    assert!(matches!(bench.photo("c"), Err(ApiError::Busy)));
    bench.leave.send(()).unwrap();
    bench.leave.send(()).unwrap();
    assert!(first.embedding().await.is_ok() && second.embedding().await.is_ok());
    assert_eq!(bench.worker.waiting(), 0);
}

#[tokio::test]
async fn a_poisoned_photo_fails_alone_and_the_service_goes_on() {
    let bench = bench(8, 3);
    let photos = ["a", "poison", "b"].map(|content| bench.photo(content).unwrap());
    // The batch of three breaks; then each by itself.
    for _ in 0..4 {
        bench.leave.send(()).unwrap();
    }
    let [a, poison, b] = photos;
    assert!(a.embedding().await.is_ok());
    assert!(matches!(poison.embedding().await, Err(ApiError::Broken)));
    assert!(b.embedding().await.is_ok());
    let sizes: Vec<usize> = bench.batches.try_iter().collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
}

#[tokio::test]
async fn who_left_and_who_is_late_is_not_worked_for() {
    let bench = bench(8, 1);
    let held = bench.photo("a").unwrap();
    assert_eq!(bench.batches.recv().unwrap(), 1);
    drop(bench.photo("b").unwrap());
    let late = bench.worker.submit(
        Picture::File(Bytes::new()),
        "late".into(),
        Work::Embed,
        Instant::now(),
    );
    let last = bench.photo("c").unwrap();
    bench.leave.send(()).unwrap();
    bench.leave.send(()).unwrap();
    assert!(held.embedding().await.is_ok() && last.embedding().await.is_ok());
    assert!(matches!(
        late.unwrap().embedding().await,
        Err(ApiError::OutOfTime)
    ));
    // Only the photo that somebody waited for was run.
    assert_eq!(bench.batches.try_iter().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn what_was_accepted_is_finished_before_the_end() {
    let bench = bench(8, 1);
    let photos = ["a", "b", "c"].map(|content| bench.photo(content).unwrap());
    for _ in 0..3 {
        bench.leave.send(()).unwrap();
    }
    bench.worker.finish();
    for photo in photos {
        assert!(photo.embedding().await.is_ok());
    }
    assert!(matches!(bench.photo("d"), Err(ApiError::Stopping)));
}
