//! Batches: which photos go through the model together.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::job::Job;
use crate::error::ApiError;

/// Waits for a photo, then for others until there are `most` or `wait` has passed; nothing when no
/// more will come.
pub fn collect(receiver: &Receiver<Job>, most: usize, wait: Duration) -> Option<Vec<Job>> {
    let first = receiver.recv().ok()?;
    let until = Instant::now() + wait;
    let mut jobs = vec![first];
    while jobs.len() < most.max(1) {
        let left = until.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(job) => jobs.push(job),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(jobs)
}

/// Those that somebody still waits for; who waited too long is told.
pub fn still_wanted(jobs: Vec<Job>, now: Instant) -> Vec<Job> {
    let mut wanted = Vec::with_capacity(jobs.len());
    for job in jobs {
        if job.reply.is_closed() {
            continue;
        }
        match job.deadline <= now {
            true => job.answer(Err(ApiError::OutOfTime)),
            false => wanted.push(job),
        }
    }
    wanted
}

/// The jobs by what is to be done with them, in the order in which they came.
pub fn groups(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        let same = |group: &&mut Vec<Job>| {
            let first = group.first();
            first.is_some_and(|it| it.work == job.work && it.picture.is_like(&job.picture))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(job),
            None => groups.push(vec![job]),
        }
    }
    groups
}
