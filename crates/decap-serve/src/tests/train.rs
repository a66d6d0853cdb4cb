//! Decoders that are trained while the service runs.

use decap::weights::Folder;

use super::*;

/// A text that is small, and still teaches.
fn sentences() -> String {
    let places = ["sofa", "wall", "tram", "boat", "roof", "mat"];
    let line = |place: &&str| format!("our cat Tom asleep on the {place}\nTom and the {place}\n");
    places.iter().map(line).collect()
}

fn that_trains(change: impl FnOnce(&mut ServeOptions)) -> (Arc<State>, Router) {
    let state = state_with(|options| {
        let folder = Folder::disk("../../models/tiny");
        options.training = Some(TrainingOptions::new(folder, "tiny"));
        change(options);
    });
    let router = router_of(&state);
    (state, router)
}

async fn delete(router: &Router, path: &str) -> (StatusCode, Value) {
    let request = Request::delete(path).body(Body::empty()).unwrap();
    let (status, body) = send(router, request).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_decoder_is_trained_used_found_again_and_forgotten() {
    let kept = tempfile::tempdir().unwrap();
    let keep = |options: &mut ServeOptions| options.keep = Some(kept.path().to_owned());
    let (state, service) = that_trains(keep);
    let lesson = json!({ "name": "home", "text": sentences(), "steps": 3 });
    let (status, begun) = post(&service, "/v1/train", lesson).await;
    assert_eq!(
        (status, &begun["id"]),
        (StatusCode::ACCEPTED, &json!(1)),
        "{begun}"
    );
    state.trainings.as_ref().unwrap().wait();
    let (_, done) = get(&service, "/v1/train/1").await;
    assert_eq!(
        (&done["state"], &done["steps"]),
        (&json!("done"), &json!(3)),
        "{done}"
    );
    assert_eq!(done["losses"].as_array().unwrap().len(), 3);
    let (_, models) = get(&service, "/v1/models").await;
    assert_eq!(models["data"][1]["id"], "home");
    let (_, tags) = get(&service, "/api/tags").await;
    assert_eq!(tags["models"][1]["name"], "home:latest");
    let body = json!({ "image": *CAT_TEXT, "model": "home", "evidence": 1 });
    let (_, answer) = post(&service, "/v1/caption", body.clone()).await;
    assert_eq!(answer["model"], "home");
    let evidence = answer["evidence"][0]["text"].as_str().unwrap();
    assert!(evidence.contains("Tom"), "{answer}");
    // The clients of other APIs name it as their model.
    let generate = json!({ "model": "home:latest", "images": [*CAT_TEXT], "stream": false });
    let (_, ollama) = post(&service, "/api/generate", generate).await;
    assert_eq!(ollama["response"], answer["caption"]);
    let (_, own) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    assert_eq!(own["caption"], expected());
    // Another service finds it, and one without the folder does not.
    let (_, another) = that_trains(keep);
    let (_, again) = post(&another, "/v1/caption", body.clone()).await;
    assert_eq!(again["caption"], answer["caption"]);
    let (status, _) = post(&super::service(), "/v1/caption", body.clone()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, said) = delete(&service, "/v1/models/home").await;
    assert_eq!((status, &said["deleted"]), (StatusCode::OK, &json!(true)));
    let (status, _) = post(&service, "/v1/caption", body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    let (status, _) = delete(&service, "/v1/models/decap").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn one_is_trained_at_a_time_and_a_stopped_one_leaves_nothing() {
    let (state, service) = that_trains(|_| ());
    let lesson = |name: &str| json!({ "name": name, "text": sentences(), "steps": 5000 });
    let (status, _) = post(&service, "/v1/train", lesson("first")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, problem) = post(&service, "/v1/train", lesson("second")).await;
    assert_eq!(
        (status, &problem["kind"]),
        (StatusCode::CONFLICT, &json!("taken"))
    );
    // Captions are written meanwhile.
    let (_, answer) = post(&service, "/v1/caption", json!({ "image": *CAT_TEXT })).await;
    assert_eq!(answer["caption"], expected());
    let (status, stopping) = delete(&service, "/v1/train/1").await;
    assert_eq!(
        (status, &stopping["state"]),
        (StatusCode::OK, &json!("stopping"))
    );
    state.trainings.as_ref().unwrap().wait();
    let (_, stopped) = get(&service, "/v1/train/1").await;
    assert_eq!(stopped["state"], "stopped");
    assert_eq!(
        get(&service, "/v1/models").await.1["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // There is room for another, which ends with the service.
    let (status, _) = post(&service, "/v1/train", lesson("third")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    state.finish().await;
    let (_, list) = get(&service, "/v1/train").await;
    assert_eq!(list["allowed"], true);
    assert_eq!(list["trainings"][0]["name"], "third");
    assert_eq!(list["trainings"][0]["state"], "stopped");
}

#[tokio::test]
async fn what_teaches_nothing_is_refused() {
    let (_, service) = that_trains(|options| options.taught_sentences = 50);
    let equal = "the same line\n".repeat(30);
    let long = "a line\n".repeat(51);
    for lesson in [
        json!({ "name": "a", "text": "one line" }),
        json!({ "name": "a", "text": equal }),
        json!({ "name": "a", "text": "" }),
        json!({ "name": "a", "text": " \n\n" }),
        json!({ "name": "a", "text": long }),
        json!({ "name": "a", "text": sentences(), "steps": 0 }),
        json!({ "name": "a", "text": sentences(), "steps": 5001 }),
        json!({ "name": "a", "text": sentences(), "preset": "paper" }),
        json!({ "name": "decap", "text": sentences() }),
        json!({ "name": "../a", "text": sentences() }),
        json!({ "name": "", "text": sentences() }),
        json!({ "text": sentences() }),
    ] {
        let (status, problem) = post(&service, "/v1/train", lesson.clone()).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{lesson}: {problem}"
        );
    }
    let kind = "application/json";
    let (status, _) = raw(&service, "/v1/train", kind, "*/*", b"{\"name\":\"\xff\"}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for path in ["/v1/train/1", "/v1/train/first"] {
        assert_eq!(get(&service, path).await.0, StatusCode::NOT_FOUND);
        assert_eq!(delete(&service, path).await.0, StatusCode::NOT_FOUND);
    }
    let (_, list) = get(&service, "/v1/train").await;
    assert_eq!(list["trainings"], json!([]));
    let off = super::service();
    let (status, problem) = post(
        &off,
        "/v1/train",
        json!({ "name": "a", "text": sentences() }),
    )
    .await;
    assert_eq!(
        (status, &problem["kind"]),
        (StatusCode::FORBIDDEN, &json!("off"))
    );
    assert_eq!(get(&off, "/v1/train").await.1["allowed"], false);
}

#[tokio::test]
async fn sentences_that_are_all_too_long_fail_and_say_why() {
    let (state, service) = that_trains(|_| ());
    let long = |index: usize| format!("{index} {}", "and then another thing ".repeat(40));
    let captions: Vec<String> = (0..12).map(long).collect();
    let lesson = json!({ "name": "long", "captions": captions, "steps": 2 });
    assert_eq!(
        post(&service, "/v1/train", lesson).await.0,
        StatusCode::ACCEPTED
    );
    state.trainings.as_ref().unwrap().wait();
    let (_, failed) = get(&service, "/v1/train/1").await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].is_string());
}
