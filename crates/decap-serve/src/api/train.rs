//! `/v1/train`: decoders that learn sentences in the background.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::described::OwnErrors;
use super::sentences::sentences_of;
use crate::error::ApiError;
use crate::intake;
use crate::state::State;
use crate::training::{Lesson, TrainingStatus, Trainings};

/// A decoder to train. Sentences come in `captions`, in `text`, or in both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingLesson {
    /// 1 to 40 letters, digits, spaces, `-`, `_` or `.`; not the name of the service's own model.
    #[schema(min_length = 1, max_length = 40, example = "garden")]
    name: String,
    /// Sentences.
    #[serde(default)]
    captions: Vec<String>,
    /// Sentences, one a line; at least 10 different ones in all.
    #[serde(default)]
    text: String,
    /// Steps; as many as suit the sentences where none are given.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 5000)]
    steps: Option<u64>,
}

/// What was and is being trained.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrainingList {
    /// Whether this service trains at all.
    allowed: bool,
    /// The newest first.
    trainings: Vec<TrainingStatus>,
}

/// Lists trainings.
#[utoipa::path(
    get,
    path = "/v1/train",
    tag = "decap",
    summary = "List trainings",
    responses((status = 200, description = "The trainings", body = TrainingList), OwnErrors)
)]
pub async fn list(Shared(state): Shared<Arc<State>>) -> Json<TrainingList> {
    let trainings = state.trainings.as_ref();
    let runs = trainings.map(|it| it.list()).unwrap_or_default();
    Json(TrainingList {
        allowed: trainings.is_some(),
        trainings: runs.iter().map(|it| it.status()).collect(),
    })
}

/// Begins to train a decoder.
///
/// # Errors
/// As [`intake::json`] and [`Trainings::start`]; [`ApiError::Off`] where this service trains none.
#[utoipa::path(
    post,
    path = "/v1/train",
    tag = "decap",
    summary = "Train a decoder",
    description = "A decoder learns the sentences in the background, starting from the service's own model, and is then \
        a model of this name: choose it with the option `model`. `GET /v1/models` lists it, `DELETE /v1/models/NAME` \
        forgets it. One is trained at a time, with a small share of the processor.",
    request_body = TrainingLesson,
    responses(
        (status = 202, description = "It has begun", body = TrainingStatus),
        (status = 409, description = "Another one is being trained", body = crate::error::Problem,
            content_type = "application/problem+json"),
        OwnErrors,
    )
)]
pub async fn start(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<(StatusCode, Json<TrainingStatus>), ApiError> {
    let (lesson, _arrived): (TrainingLesson, _) = intake::json(&state, request).await?;
    let sentences = sentences_of(&state, lesson.captions, &lesson.text)?;
    let run = trainings(&state)?.start(Lesson {
        name: lesson.name,
        sentences,
        steps: lesson.steps,
    })?;
    Ok((StatusCode::ACCEPTED, Json(run.status())))
}

/// How a training is.
///
/// # Errors
/// [`ApiError::NotFound`].
#[utoipa::path(
    get,
    path = "/v1/train/{id}",
    tag = "decap",
    summary = "Watch a training",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, description = "How it is", body = TrainingStatus), OwnErrors)
)]
pub async fn status(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<TrainingStatus>, ApiError> {
    Ok(Json(trainings(&state)?.numbered(&id)?.status()))
}

/// Stops a training; nothing is kept of it.
///
/// # Errors
/// [`ApiError::NotFound`].
#[utoipa::path(
    delete,
    path = "/v1/train/{id}",
    tag = "decap",
    summary = "Stop a training",
    description = "It ends within a step or two. Nothing is kept of it. One that has ended stays as it is.",
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, description = "It was asked to stop", body = TrainingStatus), OwnErrors)
)]
pub async fn stop(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<TrainingStatus>, ApiError> {
    let run = trainings(&state)?.numbered(&id)?;
    run.stop();
    Ok(Json(run.status()))
}

fn trainings(state: &State) -> Result<&Arc<Trainings>, ApiError> {
    state.trainings.as_ref().ok_or_else(|| {
        let message = "this service trains no decoders; start it with --allow-training";
        ApiError::Off(message.into())
    })
}
