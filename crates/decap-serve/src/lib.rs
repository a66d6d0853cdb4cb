//! decap as a service: its own API, those of OpenAI and Ollama, and a page for people.
//!
//! ```text
//! connection ─▶ gate (keys, limits) ─▶ route ─▶ queue ─▶ worker (one thread, one model) ─▶ answer
//! ```
//!
//! One thread owns the [`Captioner`]. It takes photos out of a bounded queue, a batch at a time,
//! and captions them through the library's one door. Nothing is fetched or passed on unless that is
//! asked for, and no path is ever taken from a request.

mod answer;
mod api;
mod connections;
mod decoders;
mod error;
mod fallback;
mod fetching;
mod gate;
mod intake;
mod keys;
mod memories;
mod metrics;
mod names;
mod ollama;
mod openai;
mod openapi;
mod options;
mod page;
mod photo;
mod prompt;
mod router;
mod state;
mod training;
mod video;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use decap::{Captioner, Error, Result};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub use keys::ApiKeys;
pub use options::{FallbackOptions, Log, LogRecord, Reach, ServeOptions, TrainingOptions, Warn};

use state::State;

/// Threads that talk to clients; the model has its own.
const TALKING_THREADS: usize = 2;

/// Serves until the process is asked to stop (Ctrl-C, SIGTERM), and finishes what it has accepted.
/// `ready` is told the address once it listens and the model is warm.
///
/// # Errors
/// [`Error::Unavailable`] where it cannot listen, or the system grants no thread.
pub fn serve(
    captioner: Captioner,
    options: ServeOptions,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(TALKING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Error::Unavailable(format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(async {
        let cannot_listen = |source| {
            let address = options.listen;
            Error::Unavailable(format!("cannot listen on {address}: {source}"))
        };
        let listener = TcpListener::bind(options.listen).await;
        let listener = listener.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let state = Arc::new(State::new(captioner, options.clone())?);
        state.warm_up().await?;
        let router = router::router(Arc::clone(&state), address);
        let stopping = stop_signal()?;
        ready(address);
        connections::accept(listener, router, &state, stopping).await;
        state.finish().await;
        Ok(())
    });
    // A download or another server may take long to end; nobody waits for it any more.
    runtime.shutdown_background();
    served
}

/// Resolves when the process is asked to stop.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let cannot = |error| Error::Unavailable(format!("cannot wait for signals: {error}"));
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).map_err(cannot)?
    };
    #[cfg(not(unix))]
    let mut terminate = tokio::signal::windows::ctrl_shutdown().map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;
#[cfg(test)]
mod tests;
