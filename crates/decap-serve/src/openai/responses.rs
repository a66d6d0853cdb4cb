//! `POST /v1/responses`: one answer, nothing kept of it.

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
pub const PATH: &str = "/v1/responses";

#[derive(Deserialize)]
struct Responses {
    model: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    text: Option<Value>,
    #[serde(default)]
    max_output_tokens: Option<usize>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    background: Option<bool>,
    /// decap's own options.
    #[serde(default)]
    decap: Map<String, Value>,
}

/// Captions the images of the last message that has some.
pub async fn responses(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (asked, arrived): (Responses, _) = intake::json(&state, request).await?;
    let model = check_model(&state, &asked.model)?;
    if asked.previous_response_id.is_some() || asked.background == Some(true) {
        let message = "expected a request without `previous_response_id` and `background`: this service keeps \
                       no answers; send the image again";
        return Err(ApiError::Unusable(message.into()));
    }
    let (prompt, photos) = prompt_and_photos(&asked.input)?;
    let question = Question {
        model,
        last: prompt.last().cloned().unwrap_or_default(),
        prompt: format!(
            "{}\n{}",
            asked.instructions.as_deref().unwrap_or_default(),
            prompt.join("\n")
        ),
        schema: asked.text.as_ref().and_then(schema_of),
        max_tokens: asked.max_output_tokens,
        wishes: asked.decap.clone(),
    };
    let text = match question.captions(&state, photos, arrived, PATH).await? {
        Answered::Here(captions) => question.answer(&captions),
        Answered::PassedOn(answer) => return Ok(answer),
    };
    let number = format!("{:x}{:08x}", state.started, state.next_request());
    let answer = Answer {
        asked: words(&question.prompt),
        request: asked,
        number,
        created: now(),
        text,
    };
    if answer.request.stream != Some(true) {
        return Ok(Json(answer.finished()).into_response());
    }
    let events = answer.events().into_iter().map(|event| {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        Ok::<_, std::convert::Infallible>(Event::default().event(kind).data(event.to_string()))
    });
    Ok(Sse::new(stream::iter(events.collect::<Vec<_>>())).into_response())
}

/// An answer, before it has the form of one or of a stream.
struct Answer {
    request: Responses,
    number: String,
    created: u64,
    text: String,
    /// Words of the question.
    asked: usize,
}

impl Answer {
    /// The response in this state.
    fn response(&self, status: &str, output: Value, usage: Value) -> Value {
        let request = &self.request;
        let form = json!({ "format": { "type": "text" } });
        json!({
            "id": format!("resp_{}", self.number),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": {},
            "model": request.model,
            "output": output,
            "parallel_tool_calls": false,
            "previous_response_id": null,
            "store": false,
            "temperature": null,
            "text": request.text.as_ref().unwrap_or(&form),
            "tool_choice": "none",
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": usage,
        })
    }

    fn part(text: &str) -> Value {
        json!({ "type": "output_text", "text": text, "annotations": [] })
    }

    fn item(&self, status: &str, content: Value) -> Value {
        json!({
            "id": format!("msg_{}", self.number),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        })
    }

    fn finished(&self) -> Value {
        // Words, for want of the client's own tokenizer.
        let (asked, written) = (self.asked, words(&self.text));
        let usage = json!({
            "input_tokens": asked,
            "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": written,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": asked + written,
        });
        let item = self.item("completed", json!([Self::part(&self.text)]));
        self.response("completed", json!([item]), usage)
    }

    /// All events of a stream, numbered. The caption comes in one piece.
    fn events(&self) -> Vec<Value> {
        let begun = self.response("in_progress", json!([]), Value::Null);
        let place = |kind: &str, more: Value| {
            let mut event = json!({
                "type": kind,
                "item_id": format!("msg_{}", self.number),
                "output_index": 0,
                "content_index": 0,
            });
            if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
                event.extend(more);
            }
            event
        };
        let item =
            |kind: &str, item: Value| json!({ "type": kind, "output_index": 0, "item": item });
        let part = Self::part(&self.text);
        let mut events = vec![
            json!({ "type": "response.created", "response": begun }),
            json!({ "type": "response.in_progress", "response": begun }),
            item(
                "response.output_item.added",
                self.item("in_progress", json!([])),
            ),
            place(
                "response.content_part.added",
                json!({ "part": Self::part("") }),
            ),
            place(
                "response.output_text.delta",
                json!({ "delta": self.text, "logprobs": [] }),
            ),
            place(
                "response.output_text.done",
                json!({ "text": self.text, "logprobs": [] }),
            ),
            place("response.content_part.done", json!({ "part": part })),
            item(
                "response.output_item.done",
                self.item("completed", json!([part])),
            ),
            json!({ "type": "response.completed", "response": self.finished() }),
        ];
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = json!(number);
        }
        events
    }
}

/// The words of all of `input`, and the images of the last message that has some.
fn prompt_and_photos(input: &Value) -> Result<(Vec<String>, Vec<Sent>), ApiError> {
    let items = match input {
        Value::String(text) => return Ok((vec![text.clone()], Vec::new())),
        Value::Array(items) => items,
        _ => {
            let message = "`input`: expected text or a list of messages";
            return Err(ApiError::Unusable(message.into()));
        }
    };
    let mut prompt = Vec::new();
    let mut photos = Vec::new();
    for item in items {
        let content = item.get("content").unwrap_or(&Value::Null);
        let parts = match content {
            Value::String(text) => {
                prompt.push(text.clone());
                continue;
            }
            Value::Array(parts) => parts,
            _ => {
                let message = "`content`: expected text or a list of parts";
                return Err(ApiError::Unusable(message.into()));
            }
        };
        let mut own = Vec::new();
        for part in parts {
            let text = |name: &str| part.get(name).and_then(Value::as_str);
            match text("type") {
                Some("input_text" | "output_text") => {
                    prompt.push(text("text").unwrap_or_default().to_owned());
                }
                Some("input_image") => {
                    let no_url = || {
                        let message = "`input_image`: expected `image_url` with a data URL, got none; \
                                       this service keeps no files";
                        ApiError::Unusable(message.into())
                    };
                    let name = format!("image {}", own.len() + 1);
                    let url = text("image_url").ok_or_else(no_url)?;
                    own.push(Sent::from_text(&name, url)?);
                }
                other => {
                    let got = other.unwrap_or("none");
                    return Err(ApiError::Unusable(format!(
                        "`type`: expected `input_text` or `input_image`, got `{got}`"
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

/// The schema of `text.format`; null for JSON of any shape.
fn schema_of(text: &Value) -> Option<Value> {
    let format = text.get("format")?;
    match format.get("type").and_then(Value::as_str) {
        Some("json_schema") => Some(format.get("schema").cloned().unwrap_or_default()),
        Some("json_object") => Some(Value::Null),
        _ => None,
    }
}
