//! `POST /v1/score`: how well sentences fit a photo.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use super::described::{OwnErrors, ScoreForm, ScoreJson};
use super::rounded;
use super::texts::{of_texts, texts_of};
use crate::error::ApiError;
use crate::intake::Upload;
use crate::state::State;
use crate::worker::Work;

/// CLIPScore's factor (Hessel et al., EMNLP 2021, section 3).
const CLIP_SCORE_FACTOR: f32 = 2.5;

/// The scores of sentences.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreAnswer {
    /// The encoder's name.
    encoder: String,
    /// In the order of `texts`.
    scores: Vec<TextScore>,
}

/// How well a sentence fits the photo.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextScore {
    /// The sentence.
    text: String,
    /// The cosine of photo and sentence.
    cosine: f64,
    /// CLIPScore: 2.5 times the cosine, 0 at least.
    clip_score: f64,
}

/// The cosine and the CLIPScore of each of `texts` to the photo.
///
/// # Errors
/// As [`Upload::read`] and [`State::submit`]; [`ApiError::Unusable`] for no texts or several photos.
#[utoipa::path(
    post,
    path = "/v1/score",
    tag = "decap",
    summary = "Score sentences against a photo",
    description = "Takes one photo and at least one sentence.",
    request_body(content((ScoreForm = "multipart/form-data"), (ScoreJson = "application/json"))),
    responses((status = 200, description = "Scores", body = ScoreAnswer), OwnErrors)
)]
pub async fn score(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<ScoreAnswer>, ApiError> {
    let upload = Upload::read(&state, request).await?;
    let texts = texts_of(upload.fields)?;
    if texts.is_empty() || upload.photos.len() != 1 {
        return Err(ApiError::Unusable(format!(
            "expected one photo and `texts` to score, got {} photos and {} texts",
            upload.photos.len(),
            texts.len()
        )));
    }
    let pending = state.submit(upload.photos, &Work::Embed, upload.deadline)?;
    let encoded = of_texts(&state, texts.clone()).await?;
    let mut scores = Vec::with_capacity(texts.len());
    for pending in pending {
        let photo = pending.embedding().await?;
        for (index, text) in texts.iter().enumerate() {
            let cosine = encoded.get(index).map_or(0.0, |it| it.cosine(&photo));
            scores.push(TextScore {
                text: text.clone(),
                cosine: rounded(cosine, 6),
                clip_score: rounded(CLIP_SCORE_FACTOR * cosine.max(0.0), 6),
            });
        }
    }
    Ok(Json(ScoreAnswer {
        encoder: state.encoder.name().to_owned(),
        scores,
    }))
}
