//! What OpenAI's clients speak: chat completions, responses, embeddings, models.

mod chat;
mod embeddings;
mod responses;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};

use crate::answer::{MODEL, check_model};
use crate::error::ApiError;
use crate::state::State;

/// These paths, and what answers there.
pub fn routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    vec![
        (chat::PATH, post(chat::chat)),
        (responses::PATH, post(responses::responses)),
        ("/v1/embeddings", post(embeddings::embeddings)),
        ("/v1/models", get(models)),
        ("/v1/models/{id}", get(model).delete(forget)),
    ]
}

async fn models(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let trained = state.decoders.names();
    let names = std::iter::once(MODEL).chain(trained.iter().map(String::as_str));
    let data: Vec<Value> = names.map(|name| facts(&state, name)).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// Forgets a model that was trained here, as OpenAI's clients delete those that they have tuned.
async fn forget(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    state.decoders.forget(&id)?;
    Ok(Json(
        json!({ "id": id, "object": "model", "deleted": true }),
    ))
}

async fn model(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    check_model(&state, &id)?;
    Ok(Json(facts(&state, &id)))
}

fn facts(state: &State, id: &str) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": state.started,
        "owned_by": "decap",
        "input_modalities": ["image", "text"],
        "output_modalities": ["text"],
    })
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
