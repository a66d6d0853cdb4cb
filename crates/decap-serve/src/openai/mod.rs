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
        ("/v1/models/{id}", get(model)),
    ]
}

async fn models(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(json!({ "object": "list", "data": [facts(&state, MODEL)] }))
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
