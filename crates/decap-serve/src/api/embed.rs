//! `POST /v1/embed`: photos or sentences in, unit vectors out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use decap::Embedding;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::described::{EmbedForm, EmbedJson, OwnErrors};
use super::texts::{of_texts, texts_of};
use crate::error::ApiError;
use crate::intake::Upload;
use crate::state::State;
use crate::worker::Work;

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
    for pending in state.submit(upload.photos, &Work::Embed, upload.deadline)? {
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
