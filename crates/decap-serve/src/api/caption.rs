//! `POST /v1/caption`: photos in, captions with their evidence out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use decap::media::is_video_head;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::described::{CaptionForm, CaptionJson, OwnErrors};
use super::record::{Captioned, Record};
use super::wishes::Wishes;
use crate::error::ApiError;
use crate::intake::Upload;
use crate::photo::Photo;
use crate::state::State;
use crate::video::describe;
use crate::worker::{CaptionPlan, Pending, Work};

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
    One(Box<Captioned>),
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
    summary = "Caption photos and videos",
    description = "Options stand beside the photos, or in the query of the address. `Accept: text/plain` gives a line \
        a photo, `Accept: text/event-stream` an event a photo as soon as it is known. Where a single photo cannot be \
        captioned, the answer is its error; of several photos each has its own error in its place. A video has \
        `segments`, its scenes; it needs ffmpeg on the service's machine.",
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
    let asked = Arc::new(Asked {
        plan: Arc::new(wishes.plan(&state)?),
        state,
        candidates,
        deadline: upload.deadline,
        _room: upload.room,
    });
    let mut waiting = asked.submit(upload.photos)?;
    if let (1, Form::Json | Form::Text) = (waiting.len(), &form)
        && let Some((name, one)) = waiting.pop()
    {
        let record = asked.record(&name, one).await?;
        return Ok(match form {
            Form::Text => Record::Captioned(record).line().into_response(),
            _ => Json(CaptionAnswer::One(Box::new(record))).into_response(),
        });
    }
    let records = stream::iter(waiting).then(move |(name, one)| {
        let asked = Arc::clone(&asked);
        async move {
            match asked.record(&name, one).await {
                Ok(record) => Record::Captioned(record),
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

/// What is common to the photos of a request.
struct Asked {
    state: Arc<State>,
    plan: Arc<CaptionPlan>,
    candidates: usize,
    deadline: Instant,
    /// Given back with the last caption.
    _room: OwnedSemaphorePermit,
}

/// A photo in the queue, or a video that is decoded when its turn comes.
enum Waiting {
    Photo(Pending),
    Video(Bytes),
}

impl Asked {
    /// Puts photos into the queue, all or none.
    fn submit(&self, photos: Vec<Photo>) -> Result<Vec<(String, Waiting)>, ApiError> {
        let work = Work::Caption(Arc::clone(&self.plan));
        let submit = |photo: Photo| {
            let name = photo.name.clone();
            let waiting = match photo.bytes {
                Ok(bytes) if is_video_head(&bytes) => Waiting::Video(bytes),
                bytes => {
                    let photo = Photo::new(&name, bytes);
                    let pending = self.state.submit(vec![photo], &work, self.deadline)?;
                    let only = pending.into_iter().next();
                    Waiting::Photo(only.ok_or(ApiError::Broken)?)
                }
            };
            Ok((name, waiting))
        };
        photos.into_iter().map(submit).collect()
    }

    async fn record(&self, name: &str, waiting: Waiting) -> Result<Captioned, ApiError> {
        let (state, plan) = (&self.state, &self.plan);
        let by = plan.model.as_ref().map_or(&state.model, |it| &it.name);
        match waiting {
            Waiting::Photo(pending) => {
                let (caption, timings) = pending.caption().await?;
                let record = Captioned::new(name, &caption, timings, by);
                Ok(record.with(self.candidates, &caption))
            }
            Waiting::Video(bytes) => {
                let video = describe(state, name, bytes, plan, self.deadline).await?;
                let record = Captioned::new(name, &video.caption, video.timings, by);
                let record = record.with(self.candidates, &video.caption);
                Ok(record.of_scenes(video.segments, video.warnings))
            }
        }
    }
}
