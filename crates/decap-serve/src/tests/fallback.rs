//! What decap can't answer, passed on to a server of the test's own.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::server::{always, serve, whole};
use super::*;

/// A confidence that no caption has.
const NEVER_SURE: f32 = 1.1;

fn with_fallback(url: &str, least: f32) -> Router {
    service_with(|options| {
        options.fallback = Some(FallbackOptions::new(url));
        options.least_confidence = Some(least);
    })
}

fn chat(prompt: &str, stream: bool) -> Value {
    json!({ "model": "decap", "stream": stream, "messages": [
        { "role": "user", "content": prompt, "images": [*CAT_TEXT] }] })
}

async fn ask(
    router: &Router,
    path: &str,
    body: &Value,
    head: &[(&str, &str)],
) -> (Option<String>, Bytes) {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in head {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let passed = response.headers().get("x-decap-passed-on");
    let passed = passed.map(|it| it.to_str().unwrap().to_owned());
    (
        passed,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

async fn metrics(router: &Router) -> String {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    String::from_utf8(send(router, request).await.1.to_vec()).unwrap()
}

#[tokio::test]
async fn an_unsure_caption_and_another_question_are_passed_on_unchanged() {
    let said = br#"{"message":{"content":"two people"},"done":true}"#;
    let (url, seen) = always(whole("200 OK", "application/json", said));
    let unsure = with_fallback(&url, NEVER_SURE);
    let body = chat("Describe this.", false);
    let secret = [("authorization", "Bearer secret")];
    let (passed, answer) = ask(&unsure, "/api/chat", &body, &secret).await;
    assert_eq!(
        (passed.as_deref(), &answer[..]),
        (Some("unsure"), &said[..])
    );
    let request = seen.recv().unwrap();
    assert!(
        request.head.starts_with("post /api/chat "),
        "{}",
        request.head
    );
    assert!(request.head.contains("x-decap-passed-on: 1") && !request.head.contains("secret"));
    assert_eq!(request.body, body.to_string().as_bytes());
    let sure = with_fallback(&format!("{url}/v1"), 0.0);
    let (passed, answer) = ask(&sure, "/api/chat", &body, &[]).await;
    assert!(passed.is_none());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["message"]["content"], expected());
    // A prompt that is not about captions, with a photo and without one, on every route.
    let joke =
        json!({ "model": "decap", "messages": [{ "role": "user", "content": "Tell me a joke." }] });
    let people = "How many people are there?";
    for (path, body) in [
        ("/v1/chat/completions", joke),
        (
            "/v1/responses",
            json!({ "model": "decap", "input": "Tell me a joke." }),
        ),
        (
            "/api/generate",
            json!({ "model": "decap", "prompt": people, "images": [*CAT_TEXT] }),
        ),
        ("/api/chat", chat(people, false)),
    ] {
        let (passed, answer) = ask(&sure, path, &body, &[]).await;
        assert_eq!(
            (passed.as_deref(), &answer[..]),
            (Some("prompt"), &said[..]),
            "{path}"
        );
        let head = seen.recv().unwrap().head;
        let path = path.strip_prefix("/v1").unwrap_or(path);
        assert!(head.starts_with(&format!("post /v1{path} ")), "{head}");
    }
    let counted = "decap_fallbacks_total{reason=\"prompt\",outcome=\"answered\"} 4";
    assert!(metrics(&sure).await.contains(counted));
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece() {
    let (go_on, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let (url, _seen) = serve(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        stream
            .write_all(format!("{head}6\r\nfirst\n\r\n").as_bytes())
            .unwrap();
        // The second piece is written once the first has arrived at the client.
        waits.lock().unwrap().recv().unwrap();
        stream.write_all(b"7\r\nsecond\n\r\n0\r\n\r\n").unwrap();
    });
    let service = with_fallback(&url, NEVER_SURE);
    let request = Request::post("/api/chat").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(chat("Describe this.", true).to_string()));
    let response = service.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/x-ndjson"
    );
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first\n");
    go_on.send(()).unwrap();
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, "second\n");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn where_the_fallback_fails_decaps_own_answer_stands() {
    let elsewhere =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let told = Arc::new(Mutex::new(Vec::new()));
    for (url, reason) in [
        // Nobody listens at port 1.
        ("http://127.0.0.1:1".to_owned(), ""),
        (
            always(whole("500 No", "text/plain", b"broken")).0,
            "answered 500",
        ),
        (always(elsewhere.to_vec()).0, "answered 302"),
        (always(cut.to_vec()).0, ""),
    ] {
        let log = Arc::clone(&told);
        let service = service_with(|options| {
            options.fallback = Some(FallbackOptions::new(url));
            options.least_confidence = Some(NEVER_SURE);
            options.log = Some(Arc::new(move |record: &LogRecord<'_>| {
                log.lock().unwrap().push(record.fallback.clone());
            }));
        });
        let (passed, answer) =
            ask(&service, "/api/chat", &chat("Describe this.", false), &[]).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(passed.is_none());
        assert_eq!(answer["message"]["content"], expected());
        let said = told.lock().unwrap().pop().flatten().unwrap();
        assert!(
            said.starts_with("not passed on (unsure): ") && said.contains(reason),
            "{said}"
        );
        let counted = "decap_fallbacks_total{reason=\"unsure\",outcome=\"failed\"} 1";
        assert!(metrics(&service).await.contains(counted));
        // Words alone have no caption to fall back on.
        let (status, _) = post(
            &service,
            "/api/chat",
            json!({ "model": "decap", "messages": [
            { "role": "user", "content": "Tell me a joke." }] }),
        )
        .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn what_takes_too_long_or_is_too_large_ends() {
    let (_hold, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let (url, _seen) = serve(move |_, _| {
        let _never = waits.lock().unwrap().recv();
    });
    let service = service_with(|options| {
        let mut fallback = FallbackOptions::new(url);
        fallback.time = Duration::from_millis(50);
        (options.fallback, options.least_confidence) = (Some(fallback), Some(NEVER_SURE));
    });
    let (passed, _) = ask(&service, "/api/chat", &chat("Describe this.", false), &[]).await;
    assert!(passed.is_none());
    let (url, _seen) = always(whole("200 OK", "text/plain", &vec![b'a'; 17 << 20]));
    let service = with_fallback(&url, NEVER_SURE);
    let request = Request::post("/api/chat").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(chat("Describe this.", true).to_string()));
    let response = service.oneshot(request.unwrap()).await.unwrap();
    // It has begun already, so it breaks off.
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn what_was_passed_on_goes_no_further_and_the_model_may_be_named() {
    let (url, seen) = always(whole("200 OK", "application/json", b"{}"));
    let service = service_with(|options| {
        let mut fallback = FallbackOptions::new(&url);
        fallback.model = Some("llava".into());
        fallback.key = Some("theirs".into());
        (options.fallback, options.least_confidence) = (Some(fallback), Some(NEVER_SURE));
    });
    let body = chat("Describe this.", false);
    let passed_on = [("x-decap-passed-on", "1")];
    let (passed, answer) = ask(&service, "/api/chat", &body, &passed_on).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(passed.is_none() && seen.try_recv().is_err());
    assert_eq!(answer["message"]["content"], expected());
    let (passed, _) = ask(&service, "/api/chat", &body, &[]).await;
    assert_eq!(passed.as_deref(), Some("unsure"));
    let request = seen.recv().unwrap();
    assert!(request.head.contains("authorization: bearer theirs"));
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(sent["model"], "llava");
    assert_eq!(sent["messages"], body["messages"]);
}
