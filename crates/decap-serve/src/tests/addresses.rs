//! Photos by their addresses.

use super::server::{always, whole};
use super::*;

fn that_fetches(reach: Reach) -> Router {
    service_with(|options| options.fetch = Some(reach))
}

#[tokio::test]
async fn photos_are_fetched_where_that_is_allowed() {
    let (url, _seen) = always(whole("200 OK", "image/webp", CAT));
    let (url, expected) = (format!("{url}/cat.webp"), expected());
    let service = that_fetches(Reach::Everywhere);
    let (_, answer) = post(&service, "/v1/caption", json!({ "image": url })).await;
    assert_eq!(
        (&answer["caption"], &answer["path"]),
        (&json!(expected), &json!(url))
    );
    let chat = json!({ "model": "decap", "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": url } }] }] });
    let (_, answer) = post(&service, "/v1/chat/completions", chat).await;
    assert_eq!(answer["choices"][0]["message"]["content"], expected);
    let responses = json!({ "model": "decap", "input": [{ "role": "user", "content": [
        { "type": "input_image", "image_url": url }] }] });
    let (_, answer) = post(&service, "/v1/responses", responses).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], expected);
    let generate = json!({ "model": "decap", "images": [url], "stream": false });
    let (_, answer) = post(&service, "/api/generate", generate).await;
    assert_eq!(answer["response"], expected);
    let embed = json!({ "model": "decap", "input": [{ "image": url }] });
    let (status, _) = post(&service, "/v1/embeddings", embed).await;
    assert_eq!(status, StatusCode::OK);
    // Of several one that is not there fails alone.
    let missing = "http://127.0.0.1:1/gone.jpg";
    let body = json!({ "images": [missing, { "name": "b", "data": *CAT_TEXT }, url] });
    let (_, answer) = post(&service, "/v1/caption", body).await;
    assert_eq!(
        answer["captions"][0]["error"]["kind"], "unusable",
        "{answer}"
    );
    assert_eq!(answer["captions"][1]["caption"], expected);
    assert_eq!(answer["captions"][2]["caption"], expected);
}

#[tokio::test]
async fn what_is_near_large_or_not_allowed_is_refused() {
    let (url, seen) = always(whole("200 OK", "image/webp", CAT));
    for (reach, said) in [
        (None, "--allow-urls"),
        (Some(Reach::Public), "--allow-private-urls"),
    ] {
        let service = service_with(|options| options.fetch = reach);
        let (status, problem) = post(&service, "/v1/caption", json!({ "image": url })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            problem["detail"].as_str().unwrap().contains(said),
            "{problem}"
        );
    }
    assert!(seen.try_recv().is_err());
    let service = service_with(|options| {
        (options.fetch, options.limits.file_bytes) = (Some(Reach::Everywhere), 1 << 10);
    });
    let (status, problem) = post(&service, "/v1/caption", json!({ "image": url })).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{problem}");
    let service = that_fetches(Reach::Everywhere);
    for address in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.jpg",
        "http://",
        "http://127.0.0.1:1/a",
    ] {
        let (status, problem) = post(&service, "/v1/caption", json!({ "image": address })).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{address}: {problem}"
        );
    }
    let many = vec![url; 33];
    let (status, _) = post(&service, "/v1/caption", json!({ "images": many })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(seen.try_iter().count(), 1);
}
