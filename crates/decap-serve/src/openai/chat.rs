//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{now, words};
use crate::answer::{Answered, Question, check_model};
use crate::error::ApiError;
use crate::intake;
use crate::photo::Sent;
use crate::state::State;

/// Where it answers.
pub const PATH: &str = "/v1/chat/completions";

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
pub async fn chat(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (chat, arrived): (Chat, _) = intake::json(&state, request).await?;
    let model = check_model(&state, &chat.model)?;
    let (prompt, photos) = prompt_and_photos(&chat.messages)?;
    let question = Question {
        model,
        last: prompt.last().cloned().unwrap_or_default(),
        prompt: prompt.join("\n"),
        schema: chat.response_format.as_ref().and_then(schema_of),
        max_tokens: chat.max_completion_tokens.or(chat.max_tokens),
        wishes: chat.decap,
    };
    let captions = match question.captions(&state, photos, arrived, PATH).await? {
        Answered::Here(captions) => captions,
        Answered::PassedOn(answer) => return Ok(answer),
    };
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
fn prompt_and_photos(messages: &[Message]) -> Result<(Vec<String>, Vec<Sent>), ApiError> {
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
                    own.push(Sent::from_text(&name, url.ok_or_else(no_url)?)?);
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
    Ok((prompt, photos))
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
