//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::words;
use crate::answer::check_model;
use crate::api::embed::vector;
use crate::api::texts::of_texts;
use crate::error::ApiError;
use crate::fetching::{Room, fetch_all};
use crate::intake;
use crate::photo::Sent;
use crate::state::State;
use crate::worker::Work;

#[derive(Deserialize)]
struct Embed {
    model: String,
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
}

/// Embeds sentences; and, which is decap's own, images: objects `{"image": BASE64}`.
pub async fn embeddings(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (embed, arrived): (Embed, _) = intake::json(&state, request).await?;
    check_model(&state, &embed.model)?;
    let inputs = match embed.input {
        Value::Array(many) => many,
        one => vec![one],
    };
    let (mut texts, mut photos) = (Vec::new(), Vec::new());
    for (index, input) in inputs.iter().enumerate() {
        match (input.as_str(), input.get("image").and_then(Value::as_str)) {
            (Some(text), _) => texts.push(text.to_owned()),
            (_, Some(image)) => {
                photos.push(Sent::from_text(&format!("image {}", index + 1), image)?)
            }
            _ => {
                let message = "`input`: expected text, or an object with `image` in base64";
                return Err(ApiError::Unusable(message.into()));
            }
        }
    }
    if !photos.is_empty() {
        intake::check_count(&state, photos.len())?;
    }
    let asked: usize = texts.iter().map(|text| words(text)).sum();
    let mut room = Room(arrived.room);
    let photos = fetch_all(&state, photos, arrived.deadline, &mut room).await?;
    let pending = state.submit(photos, &Work::Embed, arrived.deadline)?;
    let encoded = of_texts(&state, texts).await?;
    let mut of_text = encoded.rows();
    let mut of_photo = pending.into_iter();
    let mut data = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let row = match input.as_str() {
            Some(_) => of_text.next().map(|row| json!(row)),
            None => match of_photo.next() {
                Some(pending) => Some(vector(&pending.embedding().await?)),
                None => None,
            },
        };
        let mut embedding = row.ok_or(ApiError::Broken)?;
        if embed.encoding_format.as_deref() == Some("base64") {
            embedding = json!(little_endian(&embedding));
        }
        data.push(json!({ "object": "embedding", "index": index, "embedding": embedding }));
    }
    Ok(Json(json!({
        "object": "list",
        "model": embed.model,
        "data": data,
        "usage": { "prompt_tokens": asked, "total_tokens": asked },
    })))
}

/// Numbers as base64 of their f32, which OpenAI's Python client asks for.
fn little_endian(values: &Value) -> String {
    let values = values
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64);
    let bytes: Vec<u8> = values
        .flat_map(|value| (value as f32).to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}
