//! `/v1/memories`: what the captioner knows, taught while it runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::StatusCode;
use decap::memory::{Memory, MemoryOptions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::described::OwnErrors;
use super::sentences::sentences_of;
use crate::error::ApiError;
use crate::intake;
use crate::memories::MemoryFacts;
use crate::state::State;

/// A memory to build. Sentences come in `captions`, in `text`, or in both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// 1 to 40 letters, digits, spaces, `-`, `_` or `.`; not `model`.
    #[schema(min_length = 1, max_length = 40, example = "garden")]
    name: String,
    /// Sentences.
    #[serde(default)]
    #[schema(example = json!(["a robin on the old pear tree"]))]
    captions: Vec<String>,
    /// Sentences, one a line.
    #[serde(default)]
    #[schema(example = "a robin on the old pear tree\nthe cat on the garden wall")]
    text: String,
}

/// The memories that there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemoryList {
    /// The model's own first.
    memories: Vec<MemoryFacts>,
}

/// Lists memories.
#[utoipa::path(
    get,
    path = "/v1/memories",
    tag = "decap",
    summary = "List memories",
    responses((status = 200, description = "The memories", body = MemoryList), OwnErrors)
)]
pub async fn list(Shared(state): Shared<Arc<State>>) -> Json<MemoryList> {
    Json(MemoryList {
        memories: state.memories.list(),
    })
}

/// Builds a memory of sentences and keeps it under a name until the service ends.
///
/// # Errors
/// As [`intake::json`]; [`ApiError::Unusable`] for a name or sentences that cannot be used.
#[utoipa::path(
    post,
    path = "/v1/memories",
    tag = "decap",
    summary = "Build a memory",
    description = "Nothing is trained: the sentences are embedded, and captions that name this memory are made from them. \
        It stays until it is deleted or the service ends. A memory of the same name is replaced.",
    request_body = Lesson,
    responses((status = 201, description = "It is there", body = MemoryFacts), OwnErrors)
)]
pub async fn teach(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<(StatusCode, Json<MemoryFacts>), ApiError> {
    let (lesson, arrived): (Lesson, _) = intake::json(&state, request).await?;
    state.memories.check(&lesson.name)?;
    let sentences = sentences_of(&state, lesson.captions, &lesson.text)?;
    // One at a time: who comes meanwhile is told so.
    let _turn = state
        .memories
        .building
        .try_acquire()
        .map_err(|_| ApiError::Busy)?;
    let encoder = Arc::clone(&state.encoder);
    let build = move || {
        let (options, never) = (MemoryOptions::default(), AtomicBool::new(false));
        let source = "sentences taught to the service";
        Memory::build(&encoder, &sentences, options, source, None, |_| (), &never)
    };
    let built = tokio::task::spawn_blocking(build).await;
    let memory = built.map_err(|_| ApiError::Broken)??;
    drop(arrived.room);
    Ok((
        StatusCode::CREATED,
        Json(state.memories.keep(&lesson.name, memory)?),
    ))
}

/// Forgets a memory.
///
/// # Errors
/// [`ApiError::NotFound`].
#[utoipa::path(
    delete,
    path = "/v1/memories/{name}",
    tag = "decap",
    summary = "Forget a memory",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), OwnErrors)
)]
pub async fn forget(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.memories.forget(&name)?;
    Ok(StatusCode::NO_CONTENT)
}
