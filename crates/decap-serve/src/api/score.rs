//! `POST /v1/score`: how well sentences fit a photo.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use serde_json::{Map, Value, json};

use super::caption::rounded;
use super::embed::of_texts;
use crate::error::ApiError;
use crate::intake::Upload;
use crate::state::State;
use crate::worker::Work;

/// CLIPScore's factor (Hessel et al., EMNLP 2021, section 3).
const CLIP_SCORE_FACTOR: f32 = 2.5;

/// The cosine and the CLIPScore of each of `texts` to the photo.
///
/// # Errors
/// As [`Upload::read`] and [`State::submit`]; [`ApiError::Unusable`] for no texts or several photos.
pub async fn score(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let mut upload = Upload::read(&state, request).await?;
    let texts = texts_of(&mut upload.fields)?;
    if texts.is_empty() || upload.photos.len() != 1 {
        return Err(ApiError::Unusable(format!(
            "expected one photo and `texts` to score, got {} photos and {} texts",
            upload.photos.len(),
            texts.len()
        )));
    }
    let pending = state.submit(&upload.photos, &Work::Embed, upload.deadline)?;
    let encoded = of_texts(&state, texts.clone()).await?;
    let mut scores = Vec::with_capacity(texts.len());
    for pending in pending {
        let photo = pending.embedding().await?;
        for (index, text) in texts.iter().enumerate() {
            let cosine = encoded.get(index).map_or(0.0, |it| it.cosine(&photo));
            scores.push(json!({
                "text": text,
                "cosine": rounded(cosine, 6),
                "clip_score": rounded(CLIP_SCORE_FACTOR * cosine.max(0.0), 6),
            }));
        }
    }
    Ok(Json(
        json!({ "encoder": state.encoder.name(), "scores": scores }),
    ))
}

/// Takes `texts` out of a request's fields.
///
/// # Errors
/// [`ApiError::Unusable`] where it is no list of text.
pub fn texts_of(fields: &mut Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let texts = fields.remove("texts").unwrap_or_else(|| json!([]));
    serde_json::from_value(texts)
        .map_err(|_| ApiError::Unusable("`texts`: expected a list of text".into()))
}
