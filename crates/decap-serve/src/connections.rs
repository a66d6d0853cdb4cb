//! Connections: how many at a time, how long their headers may take, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::state::State;

/// How long a client may take over the headers of a request, and leave a connection idle.
const HEADER_TIME: Duration = Duration::from_secs(15);

/// How long to wait where the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(50);

/// Accepts connections until `stopping`, then waits for the requests that are there.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    state: &State,
    stopping: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(state.options.connections));
    let graceful = GracefulShutdown::new();
    let mut stopping = std::pin::pin!(stopping);
    loop {
        // Where there is no room, clients wait in the system's queue.
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stopping => break,
        };
        let Ok((stream, _)) = accepted else {
            sleep(NO_ROOM_WAIT).await;
            continue;
        };
        // Answers are small, and each is awaited.
        let _slower = stream.set_nodelay(true);
        let mut server = hyper::server::conn::http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // What breaks a connection is its client's business.
            let _ended = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let _in_time = timeout(state.options.request_time, graceful.shutdown()).await;
}
