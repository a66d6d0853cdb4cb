//! What OpenAI's clients speak: chat completions, embeddings, models.

use std::sync::Arc;

use axum::extract::{Path, Request, State as Shared};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{MODEL, Question, captions_of, check_model};
use crate::api::embed::{of_texts, vector};
use crate::error::ApiError;
use crate::intake;
use crate::photo::Photo;
use crate::state::State;
use crate::worker::Work;

/// These paths.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
}

#[derive(Deserialize)]
struct Chat {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    response_format: Option<Value>,
    #[serde(default)]
    max_tokens: Option<usize>,
    /// The newer name of the same.
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    /// decap's own options.
    #[serde(default)]
    decap: Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

/// Captions the images of the last message that has some.
async fn chat(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, ApiError> {
    let (chat, arrived): (Chat, _) = intake::json(&state, request).await?;
    check_model(&state, &chat.model)?;
    let (prompt, photos) = prompt_and_photos(&chat.messages)?;
    let question = Question {
        prompt,
        schema: chat.response_format.as_ref().and_then(schema_of),
        max_tokens: chat.max_completion_tokens.or(chat.max_tokens),
        wishes: chat.decap,
    };
    let pending = question.ask(&state, &photos, arrived.deadline)?;
    let captions = captions_of(pending).await?;
    let text = question.answer(&captions);
    // Words, for want of the client's own tokenizer.
    let (asked, written) = (words(&question.prompt), words(&text));
    let usage = json!({
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    });
    let id = format!("chatcmpl-{:x}-{:x}", state.started, state.next_request());
    let created = now();
    if !chat.stream {
        return Ok(Json(json!({
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": chat.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": usage,
        }))
        .into_response());
    }
    let chunk = |choices: Value| {
        json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": chat.model,
            "choices": choices,
        })
    };
    let delta = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut chunks = vec![
        chunk(delta(
            json!({ "role": "assistant", "content": "" }),
            Value::Null,
        )),
        chunk(delta(json!({ "content": text }), Value::Null)),
        chunk(delta(json!({}), json!("stop"))),
    ];
    if chat.stream_options.is_some_and(|it| it.include_usage) {
        let mut last = chunk(json!([]));
        last["usage"] = usage;
        chunks.push(last);
    }
    let lines = chunks
        .into_iter()
        .map(|it| it.to_string())
        .chain(["[DONE]".to_owned()]);
    let events = lines.map(|line| Ok::<_, std::convert::Infallible>(Event::default().data(line)));
    Ok(Sse::new(stream::iter(events.collect::<Vec<_>>())).into_response())
}

/// The words of all messages, and the images of the last that has some.
fn prompt_and_photos(messages: &[Message]) -> Result<(String, Vec<Photo>), ApiError> {
    let mut prompt = Vec::new();
    let mut photos = Vec::new();
    for message in messages {
        let parts = match &message.content {
            Value::String(text) => {
                prompt.push(text.clone());
                continue;
            }
            Value::Array(parts) => parts,
            Value::Null => continue,
            _ => {
                return Err(ApiError::Unusable(
                    "`content`: expected text or a list of parts".into(),
                ));
            }
        };
        let mut own = Vec::new();
        for part in parts {
            match part.get("type").and_then(Value::as_str) {
                Some("text") => {
                    let text = part.get("text").and_then(Value::as_str);
                    prompt.push(text.unwrap_or_default().to_owned());
                }
                Some("image_url") => {
                    let image = part.get("image_url");
                    // An object with the URL, or the URL itself.
                    let url = image.and_then(|it| it.get("url").unwrap_or(it).as_str());
                    let no_url =
                        || ApiError::Unusable("`image_url`: expected a data URL, got none".into());
                    let name = format!("image {}", own.len() + 1);
                    own.push(Photo::from_text(&name, url.ok_or_else(no_url)?)?);
                }
                other => {
                    let got = other.unwrap_or("none");
                    return Err(ApiError::Unusable(format!(
                        "`type`: expected `text` or `image_url`, got `{got}`"
                    )));
                }
            }
        }
        if !own.is_empty() {
            photos = own;
        }
    }
    Ok((prompt.join("\n"), photos))
}

/// The schema of `response_format`; null for JSON of any shape.
fn schema_of(format: &Value) -> Option<Value> {
    match format.get("type").and_then(Value::as_str) {
        Some("json_schema") => Some(
            format
                .pointer("/json_schema/schema")
                .cloned()
                .unwrap_or_default(),
        ),
        Some("json_object") => Some(Value::Null),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Embed {
    model: String,
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
}

/// Embeds sentences; and, which is decap's own, images: objects `{"image": BASE64}`.
async fn embeddings(
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
                photos.push(Photo::from_text(&format!("image {}", index + 1), image)?)
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
    let pending = state.submit(&photos, &Work::Embed, arrived.deadline)?;
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
