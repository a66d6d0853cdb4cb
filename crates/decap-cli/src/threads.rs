//! The threads that a run needs, started before any work: a limit on them is then told, not met.

use std::env;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use decap::Error;

use crate::failure::Failure;
use crate::print;

/// More than any machine has cores; a pool of many thousands would only wait for itself.
const MOST_THREADS: usize = 1024;

/// Threads beside the pool's and those that decode photos: a clip's two, one that listens for Ctrl-C, and
/// some to spare.
const OTHER_THREADS: usize = 8;

/// Starts the pool of threads that compute, and makes sure that those can be started which decode.
///
/// # Errors
/// [`Error::Unavailable`] where the system lets this process have too few.
pub fn start() -> Result<(), Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let asked = env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|count| count.parse::<usize>().ok());
    let count = match asked.filter(|count| *count > 0).unwrap_or(cores) {
        count if count > MOST_THREADS => {
            print::tell(format!(
                "decap: RAYON_NUM_THREADS: {MOST_THREADS} threads are the most, not {count}"
            ));
            MOST_THREADS
        }
        count => count,
    };
    let too_few = || {
        let message = format!(
            "the system lets this process start too few threads: expected {} or more; raise the limit \
             (`ulimit -u`), or set RAYON_NUM_THREADS to fewer",
            count + cores + OTHER_THREADS
        );
        Failure::Library(Error::Unavailable(message))
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count);
    pool.build_global().map_err(|_| too_few())?;
    match can_start(cores + OTHER_THREADS) {
        true => Ok(()),
        false => Err(too_few()),
    }
}

/// Whether so many threads can be there at once.
fn can_start(count: usize) -> bool {
    let (is_over, changed) = (Mutex::new(false), Condvar::new());
    let wait = || {
        let held = is_over.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(held, |is_over| !*is_over));
    };
    thread::scope(|scope| {
        let started = (0..count).all(|_| thread::Builder::new().spawn_scoped(scope, wait).is_ok());
        *is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        started
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_started() {
        assert!(can_start(4));
    }
}
