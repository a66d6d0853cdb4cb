//! `POST /v1/caption`: photos in, captions with their evidence out.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::described::{CaptionForm, CaptionJson, OwnErrors};
use super::record::{Captioned, Record};
use super::wishes::Wishes;
use crate::error::ApiError;
use crate::intake::Upload;
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

/// The captions of several photos, in the order in which they came.
#[derive(Debug, Serialize, ToSchema)]
pub struct Captions {
    /// A record a photo.
    captions: Vec<Record>,
}

/// One photo's record, or a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum CaptionAnswer {
    /// Of a single photo.
    One(Captioned),
    /// Of several.
    Several(Captions),
}

/// Captions photos.
///
/// # Errors
/// As [`Upload::read`], [`Wishes::plan`] and [`State::submit`]; where a single photo cannot be captioned,
/// what is wrong with it. Of several photos each has its own error in its place.
#[utoipa::path(
    post,
    path = "/v1/caption",
    tag = "decap",
    summary = "Caption photos",
    description = "Options stand beside the photos, or in the query of the address. `Accept: text/plain` gives a line \
        a photo, `Accept: text/event-stream` an event a photo as soon as it is known. Where a single photo cannot be \
        captioned, the answer is its error; of several photos each has its own error in its place.",
    request_body(content(
        (CaptionForm = "multipart/form-data"),
        (CaptionJson = "application/json"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "Captions", content(
            (CaptionAnswer = "application/json"), (String = "text/plain"), (String = "text/event-stream"),
        )),
        OwnErrors,
    )
)]
pub async fn caption(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    let form = Form::of(request.headers());
    let upload = Upload::read(&state, request).await?;
    let wishes = Wishes::of(upload.fields)?;
    let candidates = wishes.candidates.unwrap_or(0);
    let plan = wishes.plan(&state)?;
    let by = plan.model.as_ref().map_or(&state.model, |it| &it.name);
    let by = by.clone();
    let work = Work::Caption(Arc::new(plan));
    let names: Vec<String> = upload.photos.iter().map(|it| it.name.clone()).collect();
    let pending = state.submit(upload.photos, &work, upload.deadline)?;
    let mut waiting: Vec<(String, Pending)> = names.into_iter().zip(pending).collect();
    if let (1, Form::Json | Form::Text) = (waiting.len(), &form)
        && let Some((name, pending)) = waiting.pop()
    {
        let (caption, timings) = pending.caption().await?;
        let record = Captioned::new(&name, &caption, timings, &by).with(candidates, &caption);
        return Ok(match form {
            Form::Text => Record::Captioned(record).line().into_response(),
            _ => Json(CaptionAnswer::One(record)).into_response(),
        });
    }
    let room = upload.room;
    let records = stream::iter(waiting).then(move |(name, pending)| {
        let by = by.clone();
        // The room of the body is given back with the last caption.
        let _held = &room;
        async move {
            match pending.caption().await {
                Ok((caption, timings)) => {
                    let record = Captioned::new(&name, &caption, timings, &by);
                    Record::Captioned(record.with(candidates, &caption))
                }
                Err(error) => Record::failed(&name, &error),
            }
        }
    });
    Ok(match form {
        Form::Events => {
            let events = records.map(|record| {
                let event = Event::default().event(record.event());
                event.json_data(&record)
            });
            Sse::new(events).into_response()
        }
        Form::Text => {
            let lines: Vec<String> = records.map(|record| record.line()).collect().await;
            (StatusCode::OK, Body::from(lines.concat())).into_response()
        }
        Form::Json => {
            let captions = records.collect().await;
            Json(CaptionAnswer::Several(Captions { captions })).into_response()
        }
    })
}
