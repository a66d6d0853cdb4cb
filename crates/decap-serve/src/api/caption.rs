//! `POST /v1/caption`: photos in, captions with their evidence out.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use decap::{Caption, Timings};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::wishes::Wishes;
use crate::error::ApiError;
use crate::intake::Upload;
use crate::photo::Photo;
use crate::state::State;
use crate::worker::{Pending, Work};

/// The form of the answer, as `Accept` asks for it.
enum Form {
    Json,
    Text,
    Events,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT);
        match accept.and_then(|it| it.to_str().ok()).unwrap_or_default() {
            it if it.contains("text/event-stream") => Self::Events,
            it if it.contains("text/plain") => Self::Text,
            _ => Self::Json,
        }
    }
}

/// Captions photos.
///
/// # Errors
/// As [`Upload::read`], [`Wishes::plan`] and [`State::submit`]; where a single photo cannot be captioned,
/// what is wrong with it. Of several photos each has its own error in its place.
pub async fn caption(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    let form = Form::of(request.headers());
    let upload = Upload::read(&state, request).await?;
    let plan = Wishes::of(upload.fields)?.plan(&state)?;
    let work = Work::Caption(Arc::new(plan));
    let pending = state.submit(&upload.photos, &work, upload.deadline)?;
    let names: Vec<String> = upload
        .photos
        .into_iter()
        .map(|photo: Photo| photo.name)
        .collect();
    let mut waiting: Vec<(String, Pending)> = names.into_iter().zip(pending).collect();
    if let (1, Form::Json | Form::Text) = (waiting.len(), &form)
        && let Some((name, pending)) = waiting.pop()
    {
        let (caption, timings) = pending.caption().await?;
        return Ok(match form {
            Form::Text => format!("{}\n", caption.text).into_response(),
            _ => Json(record(&state, &name, &caption, timings)).into_response(),
        });
    }
    let model = Arc::clone(&state);
    let room = upload.room;
    let records = stream::iter(waiting).then(move |(name, pending)| {
        let state = Arc::clone(&model);
        // The room of the body is given back with the last caption.
        let _held = &room;
        async move {
            match pending.caption().await {
                Ok((caption, timings)) => record(&state, &name, &caption, timings),
                Err(error) => error_record(&name, &error),
            }
        }
    });
    Ok(match form {
        Form::Events => {
            let events = records.map(|record| {
                let kind = if record.get("error").is_some() {
                    "error"
                } else {
                    "caption"
                };
                Ok::<_, std::convert::Infallible>(
                    Event::default().event(kind).data(record.to_string()),
                )
            });
            Sse::new(events).into_response()
        }
        Form::Text => {
            let records: Vec<Value> = records.collect().await;
            let line = |record: &Value| {
                record
                    .get("caption")
                    .and_then(Value::as_str)
                    .map_or_else(|| "\n".to_owned(), |text| format!("{text}\n"))
            };
            (
                StatusCode::OK,
                Body::from(records.iter().map(line).collect::<String>()),
            )
                .into_response()
        }
        Form::Json => {
            let records: Vec<Value> = records.collect().await;
            Json(json!({ "captions": records })).into_response()
        }
    })
}

/// The keys of `decap caption --json`, but for the run.
fn record(state: &State, name: &str, caption: &Caption, timings: Timings) -> Value {
    let evidence: Vec<Value> = caption
        .evidence
        .iter()
        .map(|it| json!({ "text": it.text, "weight": rounded(it.weight, 6) }))
        .collect();
    let ms = |value: f64| (value * 1e3).round() / 1e3;
    let mut record = json!({
        "path": name,
        "caption": caption.text,
        "score": rounded(caption.score, 6),
        "chosen_from": caption.chosen_from.name(),
        "evidence": evidence,
        "model": state.model,
        "ms": {
            "decode": ms(timings.decode_ms),
            "encode": ms(timings.encode_ms),
            "project": ms(timings.project_ms),
            "generate": ms(timings.generate_ms),
            "choose": ms(timings.choose_ms),
        },
    });
    if let Some(confidence) = caption.confidence {
        record["confidence"] = rounded(confidence, 4).into();
    }
    record
}

fn error_record(name: &str, error: &ApiError) -> Value {
    let (_, kind) = error.status();
    json!({ "path": name, "error": { "kind": kind, "message": error.message() } })
}

/// `value` with so many decimals: as many as mean something.
pub fn rounded(value: f32, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (f64::from(value) * scale).round() / scale
}
