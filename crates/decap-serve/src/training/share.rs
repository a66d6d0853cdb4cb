//! A small share of the processor, so that captions never wait for a training.

use decap::{Error, Result};
use rayon::ThreadPoolBuilder;

/// Runs `work` on `threads` threads of its own, after all others in the system's queue.
///
/// # Errors
/// [`Error::Unavailable`] where the system grants no threads; what `work` says.
pub fn with_small_share<T: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|index| format!("decap-training-{index}"))
        .start_handler(|_| step_back())
        .build();
    let cannot = |error| Error::Unavailable(format!("cannot start the training: {error}"));
    pool.map_err(cannot)?.install(work)
}

/// Lets all other threads go first.
#[cfg(target_os = "linux")]
fn step_back() {
    const LAST: i32 = 19;
    // A sandbox may forbid it; few threads are a small share all the same.
    let _refused = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LAST);
}

/// Other systems have no such order of threads within a process.
#[cfg(not(target_os = "linux"))]
fn step_back() {}
