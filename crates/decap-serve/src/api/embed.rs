//! `POST /v1/embed`: photos or sentences in, unit vectors out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use decap::{Embedding, Embeddings};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::described::{EmbedForm, EmbedJson, OwnErrors};
use super::score::texts_of;
use crate::error::ApiError;
use crate::intake::Upload;
use crate::state::State;
use crate::worker::Work;

/// Sentences in a request at most.
pub const MOST_TEXTS: usize = 256;

/// Embeddings, photos first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbedAnswer {
    /// The encoder's name.
    encoder: String,
    /// Numbers of an embedding.
    width: usize,
    /// Unit vectors: of the photos, then of the texts, in the order in which they came.
    embeddings: Vec<Vec<f32>>,
}

/// Embeds photos, and the sentences of `texts`.
///
/// # Errors
/// As [`Upload::read`] and [`State::submit`]; what is wrong with a photo.
#[utoipa::path(
    post,
    path = "/v1/embed",
    tag = "decap",
    summary = "Embed photos and sentences",
    description = "Photos and sentences lie in one space: the larger the dot product of two vectors, the better they fit.",
    request_body(content(
        (EmbedForm = "multipart/form-data"),
        (EmbedJson = "application/json"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses((status = 200, description = "Embeddings", body = EmbedAnswer), OwnErrors)
)]
pub async fn embed(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<EmbedAnswer>, ApiError> {
    let upload = Upload::read_any(&state, request).await?;
    let texts = texts_of(upload.fields)?;
    let mut embeddings: Vec<Vec<f32>> = Vec::new();
    for pending in state.submit(&upload.photos, &Work::Embed, upload.deadline)? {
        embeddings.push(pending.embedding().await?.as_slice().to_vec());
    }
    if !texts.is_empty() {
        let encoded = of_texts(&state, texts).await?;
        embeddings.extend(encoded.rows().map(<[f32]>::to_vec));
    }
    if embeddings.is_empty() {
        return Err(ApiError::Unusable(
            "expected photos or `texts`, got none".into(),
        ));
    }
    Ok(Json(EmbedAnswer {
        encoder: state.encoder.name().to_owned(),
        width: state.encoder.width(),
        embeddings,
    }))
}

/// The numbers of an embedding.
pub fn vector(embedding: &Embedding) -> Value {
    json!(embedding.as_slice())
}

/// The embeddings `[texts, width]` of sentences, computed where waiting is allowed.
///
/// # Errors
/// [`ApiError::Unusable`] for too many; what the text tower says.
pub async fn of_texts(state: &Arc<State>, texts: Vec<String>) -> Result<Embeddings, ApiError> {
    if texts.len() > MOST_TEXTS {
        let got = texts.len();
        let message = format!("expected at most {MOST_TEXTS} texts in a request, got {got}");
        return Err(ApiError::Unusable(message));
    }
    let _turn = state
        .memories
        .building
        .acquire()
        .await
        .map_err(|_| ApiError::Stopping)?;
    let encoder = Arc::clone(&state.encoder);
    let encode = move || {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        encoder.encode_texts(&texts)
    };
    let encoded = tokio::task::spawn_blocking(encode).await;
    Ok(encoded.map_err(|_| ApiError::Broken)??)
}
