//! Clients that take their time. The clock stands still and jumps, so that no test waits.

use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_told_so() {
    let service = service();
    let never = stream::pending::<std::result::Result<Bytes, std::io::Error>>();
    let request = Request::post("/v1/caption").body(Body::from_stream(never));
    let (status, problem) = send(&service, request.unwrap()).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(problem["kind"], "too_slow");
}

#[tokio::test(start_paused = true)]
async fn headers_that_never_end_lose_their_connection() {
    let captioner = Captioner::open("../../models/tiny").unwrap();
    let state = Arc::new(State::new(captioner, ServeOptions::default()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router::router(Arc::clone(&state), address);
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let stopping = async {
        let _stopped = stopping.await;
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: local")
            .await
            .unwrap();
        let mut said = Vec::new();
        // It ends, whatever is said before.
        stream.read_to_end(&mut said).await.unwrap();
        stop.send(()).unwrap();
    };
    tokio::join!(
        connections::accept(listener, router, &state, stopping),
        client
    );
}

#[tokio::test]
async fn a_photo_that_breaks_off_is_refused_and_the_service_goes_on() {
    let service = service();
    let half = &CAT[..CAT.len() / 2];
    let (status, text) = raw(&service, "/v1/caption", "image/webp", "*/*", half).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    // The body itself breaks off.
    let parts = [
        Ok(Bytes::from_static(half)),
        Err(std::io::Error::other("the client left")),
    ];
    let request = Request::post("/v1/caption").body(Body::from_stream(stream::iter(parts)));
    let (status, _) = send(&service, request.unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = raw(&service, "/v1/caption", "image/webp", "*/*", CAT).await;
    assert_eq!(status, StatusCode::OK);
}
