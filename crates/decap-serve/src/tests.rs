//! Every route through the router, with the bundled model and no socket.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use decap::Captioner;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

mod addresses;
mod described;
mod fallback;
mod responses;
mod server;
mod slow;
mod train;
mod video;

const CAT: &[u8] = include_bytes!("../../../examples/photos/cat.webp");
static CAT_TEXT: LazyLock<String> = LazyLock::new(|| STANDARD.encode(CAT));

fn state_with(change: impl FnOnce(&mut ServeOptions)) -> Arc<State> {
    let captioner = Captioner::open("../../models/tiny").unwrap();
    let mut options = ServeOptions::default();
    change(&mut options);
    Arc::new(State::new(captioner, options).unwrap())
}

fn router_of(state: &Arc<State>) -> Router {
    router::router(Arc::clone(state), "127.0.0.1:8080".parse().unwrap())
}

fn service_with(change: impl FnOnce(&mut ServeOptions)) -> Router {
    router_of(&state_with(change))
}

fn service() -> Router {
    service_with(|_| ())
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, Bytes) {
    let response = router.clone().oneshot(request).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

async fn post(router: &Router, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let (status, body) = send(router, request.body(body.to_string().into()).unwrap()).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn get(router: &Router, path: &str) -> (StatusCode, Value) {
    let (status, body) = send(router, Request::get(path).body(Body::empty()).unwrap()).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn raw(
    router: &Router,
    path: &str,
    kind: &str,
    accept: &str,
    body: &[u8],
) -> (StatusCode, String) {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, accept)
        .body(Body::from(body.to_vec()))
        .unwrap();
    let (status, body) = send(router, request).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// What the library itself says of the photo.
fn expected() -> String {
    Captioner::open("../../models/tiny")
        .unwrap()
        .caption(CAT)
        .unwrap()
        .text
}

#[tokio::test]
async fn every_way_to_send_a_photo_gives_the_librarys_caption() {
    let (service, expected) = (service(), expected());
    let (status, text) = raw(&service, "/v1/caption", "image/webp", "text/plain", CAT).await;
    assert_eq!(
        (status, text.trim_end()),
        (StatusCode::OK, expected.as_str())
    );
    let (_, answer) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    assert_eq!(answer["caption"], expected);
    assert_eq!(answer["evidence"].as_array().unwrap().len(), 3);
    let mut form =
        b"--x\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"a.webp\"\r\n\r\n"
            .to_vec();
    form.extend(CAT);
    form.extend(
        b"\r\n--x\r\ncontent-disposition: form-data; name=\"evidence\"\r\n\r\n1\r\n--x--\r\n",
    );
    let kind = "multipart/form-data; boundary=x";
    let (_, text) = raw(&service, "/v1/caption", kind, "*/*", &form).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&answer["path"], &answer["caption"]),
        (&json!("a.webp"), &json!(expected))
    );
    assert_eq!(answer["evidence"].as_array().unwrap().len(), 1);
    let chat = json!({ "model": "decap", "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": format!("data:image/webp;base64,{}", *CAT_TEXT) } },
    ]}]});
    let (_, answer) = post(&service, "/v1/chat/completions", chat).await;
    assert_eq!(answer["choices"][0]["message"]["content"], expected);
    let generate = json!({ "model": "decap", "prompt": "What is this?", "images": [*CAT_TEXT], "stream": false });
    let (_, answer) = post(&service, "/api/generate", generate).await;
    assert_eq!(
        (&answer["response"], &answer["done"]),
        (&json!(expected), &json!(true))
    );
}

#[tokio::test]
async fn of_several_photos_a_bad_one_fails_alone() {
    let service = service();
    let body =
        json!({ "images": [*CAT_TEXT, "aGVsbG8=", { "name": "b.webp", "data": *CAT_TEXT }] });
    let (status, answer) = post(&service, "/v1/caption", body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let captions = answer["captions"].as_array().unwrap();
    assert!(captions[0]["caption"].is_string() && captions[2]["caption"].is_string());
    assert_eq!(captions[1]["error"]["kind"], "unsupported");
    assert_eq!(captions[2]["path"], "b.webp");
    let kind = "application/json";
    let (_, events) = raw(
        &service,
        "/v1/caption",
        kind,
        "text/event-stream",
        body.to_string().as_bytes(),
    )
    .await;
    let names: Vec<&str> = events
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["caption", "error", "caption"]);
}

#[tokio::test]
async fn a_sentence_taken_out_is_no_evidence_any_more() {
    let service = service();
    let (_, before) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    let heaviest = before["evidence"][0]["text"].clone();
    let body = json!({ "image": *CAT_TEXT, "without": [heaviest], "evidence": 20 });
    let (_, without) = post(&service, "/v1/caption", body).await;
    let texts: Vec<&Value> = without["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["text"])
        .collect();
    assert!(!texts.contains(&&heaviest), "{texts:?}");
    let (_, after) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    assert_eq!(before["evidence"], after["evidence"]);
    // How sure it is, is known of the model's own memory alone.
    assert!(without["confidence"].is_null() && before["confidence"].is_number());
    assert_eq!(before["confidence"], after["confidence"]);
}

#[tokio::test]
async fn candidates_are_told_where_they_are_asked_for() {
    let service = service();
    let (_, without) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    assert!(without.get("candidates").is_none());
    let body = json!({ "image": *CAT_TEXT, "candidates": 6, "written_only": true });
    let (_, answer) = post(&service, "/v1/caption", body).await;
    let candidates = answer["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 6);
    let same = |it: &&Value| it["text"] == answer["caption"];
    let chosen = candidates.iter().find(same).unwrap();
    assert_eq!(chosen["score"], answer["score"]);
    let body = json!({ "image": *CAT_TEXT, "candidates": 4, "method": "retrieval" });
    let (_, answer) = post(&service, "/v1/caption", body).await;
    assert_eq!(answer["candidates"], json!([]));
}

#[tokio::test]
async fn a_memory_is_taught_used_and_forgotten() {
    let service = service();
    let lesson = json!({ "name": "home", "text": "our cat Tom asleep\nthe tram to work\n" });
    let (status, facts) = post(&service, "/v1/memories", lesson).await;
    assert_eq!(
        (status, &facts["sentences"]),
        (StatusCode::CREATED, &json!(2))
    );
    let body = json!({ "image": *CAT_TEXT, "memory": "home", "method": "retrieval" });
    let (_, answer) = post(&service, "/v1/caption", body.clone()).await;
    assert_eq!(answer["caption"], "our cat Tom asleep");
    let forget = Request::delete("/v1/memories/home")
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(&service, forget).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        post(&service, "/v1/caption", body).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn embeddings_and_scores_agree() {
    let service = service();
    let texts = json!(["a cat", "a train in a station"]);
    let (_, score) = post(
        &service,
        "/v1/score",
        json!({ "image": *CAT_TEXT, "texts": texts }),
    )
    .await;
    let cosine = |index: usize| score["scores"][index]["cosine"].as_f64().unwrap();
    assert!(cosine(0) > cosine(1), "{score}");
    let (_, answer) = post(
        &service,
        "/v1/embed",
        json!({ "image": *CAT_TEXT, "texts": texts }),
    )
    .await;
    let row = |index: usize| -> Vec<f64> {
        serde_json::from_value(answer["embeddings"][index].clone()).unwrap()
    };
    let dot: f64 = row(0).iter().zip(row(1)).map(|(a, b)| a * b).sum();
    assert!((dot - cosine(0)).abs() < 1e-4, "{dot} {}", cosine(0));
    let (_, openai) = post(
        &service,
        "/v1/embeddings",
        json!({ "model": "decap", "input": "a cat" }),
    )
    .await;
    let (_, ollama) = post(
        &service,
        "/api/embed",
        json!({ "model": "decap", "input": ["a cat"] }),
    )
    .await;
    assert_eq!(openai["data"][0]["embedding"], ollama["embeddings"][0]);
}

#[tokio::test]
async fn clients_find_the_model() {
    let service = service();
    assert_eq!(
        get(&service, "/v1/models").await.1["data"][0]["id"],
        "decap"
    );
    assert_eq!(get(&service, "/v1/models/decap").await.0, StatusCode::OK);
    let (status, error) = get(&service, "/v1/models/gpt-9").await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("not_found"))
    );
    assert_eq!(
        get(&service, "/api/tags").await.1["models"][0]["name"],
        "decap:latest"
    );
    assert_eq!(
        get(&service, "/api/ps").await.1["models"][0]["name"],
        "decap:latest"
    );
    let (_, shown) = post(&service, "/api/show", json!({ "model": "decap:latest" })).await;
    assert_eq!(shown["capabilities"], json!(["completion", "vision"]));
    assert!(get(&service, "/api/version").await.1["version"].is_string());
}

/// PhotoPrism (internal/ai/vision/api_request.go): `/api/generate`, base64, `format`, no stream.
#[tokio::test]
async fn photoprism_gets_labels_and_captions() {
    let service = service();
    let body = json!({
        "id": "7c0c9f6a", "model": "decap", "stream": false, "suffix": "", "format": "json",
        "prompt": "Return labels as JSON: {\"labels\": [{\"name\": \"\", \"confidence\": 0, \"topicality\": 0 }]}",
        "options": { "temperature": 0.1, "num_predict": -1 }, "images": [*CAT_TEXT],
    });
    let (status, answer) = post(&service, "/api/generate", body).await;
    assert_eq!(status, StatusCode::OK);
    let said: Value = serde_json::from_str(answer["response"].as_str().unwrap()).unwrap();
    let label = &said["labels"][0];
    assert!(
        label["name"].is_string()
            && label["confidence"].is_number()
            && label["topicality"].is_number()
    );
}

/// immich-analyze (src/ollama.rs): `/api/chat`, one message with images, no stream.
#[tokio::test]
async fn immich_analyze_gets_a_description() {
    let message = json!({ "role": "user", "content": "Describe the image in detail.", "images": [*CAT_TEXT] });
    let body = json!({ "model": "decap", "messages": [message], "stream": false });
    let (status, answer) = post(&service(), "/api/chat", body).await;
    assert_eq!(
        (status, &answer["message"]["content"]),
        (StatusCode::OK, &json!(expected()))
    );
}

/// Home Assistant (components/ollama): the Python client, streaming, with tools, options and keep_alive.
#[tokio::test]
async fn home_assistant_gets_lines() {
    let body = json!({
        "model": "decap", "stream": true, "tools": null, "think": false, "keep_alive": "-1s",
        "options": { "num_ctx": 8192 },
        "messages": [
            { "role": "system", "content": "You are a voice assistant." },
            { "role": "user", "content": "What is on the camera?", "images": [*CAT_TEXT] },
        ],
    });
    let (_, lines) = raw(
        &service(),
        "/api/chat",
        "application/json",
        "*/*",
        body.to_string().as_bytes(),
    )
    .await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["done"], &lines[1]["done"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(lines[0]["message"]["content"], expected());
}

#[tokio::test]
async fn each_fault_has_its_status_in_the_form_of_its_api() {
    let service = service_with(|options| options.body_bytes = 1 << 20);
    let large = vec![0; (1 << 20) + 1];
    let faults: [(&str, &[u8], u16); 12] = [
        ("application/pdf", b"x", 415),
        ("application/json", b"{", 400),
        ("application/json", b"{\"images\":[]}", 422),
        (
            "application/json",
            b"{\"image\":\"aGVsbG8=\",\"tau\":-1}",
            422,
        ),
        (
            "application/json",
            b"{\"image\":\"aGVsbG8=\",\"no_such_option\":1}",
            422,
        ),
        (
            "application/json",
            b"{\"image\":\"aGVsbG8=\",\"top_p\":2}",
            422,
        ),
        (
            "application/json",
            b"{\"image\":\"aGVsbG8=\",\"beam\":0}",
            422,
        ),
        (
            "application/json",
            b"{\"image\":\"aGVsbG8=\",\"tau\":1e-45}",
            422,
        ),
        (
            "application/json",
            b"{\"image\":\"https://example.org/a.jpg\"}",
            422,
        ),
        ("image/jpeg", b"no photo", 415),
        ("image/jpeg", b"", 422),
        ("image/jpeg", &large, 413),
    ];
    for (kind, body, status) in faults {
        let (got, text) = raw(&service, "/v1/caption", kind, "*/*", body).await;
        assert_eq!(got.as_u16(), status, "{kind}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].is_string() && problem["detail"].is_string());
    }
    for path in ["/v1/embed", "/v1/score"] {
        let body = json!({ "image": *CAT_TEXT, "texts": ["a cat"], "no_such_option": 1 });
        let (status, problem) = post(&service, path, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
    assert_eq!(
        get(&service, "/v1/caption").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        get(&service, "/no/such/path").await.0,
        StatusCode::NOT_FOUND
    );
    let (status, error) = post(
        &service,
        "/api/chat",
        json!({ "model": "llava", "messages": [] }),
    )
    .await;
    assert!(status == StatusCode::NOT_FOUND && error["error"].is_string());
    let words =
        json!({ "model": "decap", "messages": [{ "role": "user", "content": "Tell me a joke." }] });
    let (status, error) = post(&service, "/v1/chat/completions", words).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(error["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn bodies_that_fill_the_room_are_refused_with_a_time_to_come_back() {
    let service = service_with(|options| options.all_bodies_bytes = 1024);
    let request = Request::post("/v1/caption").header(header::CONTENT_LENGTH, CAT.len());
    let response = service
        .oneshot(request.body(Body::from(CAT)).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn keys_and_foreign_pages() {
    let service = service_with(|options| {
        options.keys = ApiKeys::of_lines("open sesame\nsecret");
        options.host_names = vec!["photos.example".into()];
    });
    assert_eq!(
        get(&service, "/health").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        get(&service, "/v1/models").await.0,
        StatusCode::UNAUTHORIZED
    );
    for (name, value, status) in [
        (header::AUTHORIZATION, "Bearer secret", 200),
        (header::AUTHORIZATION, "Bearer secre", 401),
        (header::AUTHORIZATION, "secret", 401),
        (header::HOST, "evil.example", 403),
        (header::HOST, "photos.example", 401),
        (header::ORIGIN, "https://photos.example", 401),
        (header::ORIGIN, "https://evil.example", 403),
    ] {
        let request = Request::get("/v1/models")
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&service, request).await.0.as_u16(), status, "{value}");
    }
}

#[tokio::test]
async fn the_page_lets_nothing_in_and_the_counters_count() {
    let service = service();
    let mut bytes = 0;
    for path in [
        "/",
        "/page.css",
        "/page.js",
        "/docs",
        "/docs.css",
        "/docs.js",
        "/example.webp",
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() > 500 && body.len() < 50_000);
        bytes += body.len();
        let text = String::from_utf8_lossy(&body);
        assert!(
            !text.contains("https://") && !text.contains("style=\""),
            "{path}"
        );
    }
    assert!(bytes < 150_000, "{bytes}");
    raw(&service, "/v1/caption", "image/webp", "*/*", CAT).await;
    let (_, text) = send(
        &service,
        Request::get("/metrics").body(Body::empty()).unwrap(),
    )
    .await;
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.contains("decap_requests_total{route=\"/v1/caption\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("decap_stage_seconds_count{stage=\"encode\"} 1"),
        "{text}"
    );
}
