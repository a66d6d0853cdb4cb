//! `/v1/memories`: what the captioner knows, taught while it runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::StatusCode;
use decap::memory::{Memory, MemoryOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::intake;
use crate::memories::MemoryFacts;
use crate::state::State;

/// Letters of a sentence at most; the encoder reads far fewer.
const SENTENCE_LETTERS: usize = 1000;

/// A memory to build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    name: String,
    /// Sentences.
    #[serde(default)]
    captions: Vec<String>,
    /// Sentences, one a line.
    #[serde(default)]
    text: String,
}

/// Lists memories.
pub async fn list(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(json!({ "memories": state.memories.list() }))
}

/// Builds a memory of sentences and keeps it under a name until the service ends.
///
/// # Errors
/// As [`intake::json`]; [`ApiError::Unusable`] for a name or sentences that cannot be used.
pub async fn teach(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<(StatusCode, Json<MemoryFacts>), ApiError> {
    let (lesson, arrived): (Lesson, _) = intake::json(&state, request).await?;
    state.memories.check(&lesson.name)?;
    let lines = lesson.text.lines().map(str::to_owned);
    let cut = |text: String| {
        text.trim()
            .chars()
            .take(SENTENCE_LETTERS)
            .collect::<String>()
    };
    let sentences = lesson.captions.into_iter().chain(lines).map(cut);
    let sentences: Vec<String> = sentences.filter(|it| !it.is_empty()).collect();
    let most = state.options.taught_sentences;
    if sentences.is_empty() || sentences.len() > most {
        return Err(ApiError::Unusable(format!(
            "expected 1 to {most} sentences, one a line, got {}",
            sentences.len()
        )));
    }
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
pub async fn forget(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.memories.forget(&name)?;
    Ok(StatusCode::NO_CONTENT)
}
