//! Sentences of a request, and their embeddings.

use std::sync::Arc;

use decap::Embeddings;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::state::State;

/// Sentences in a request at most.
pub const MOST_TEXTS: usize = 256;

/// The `texts` of a request, beside which no other field stands.
///
/// # Errors
/// [`ApiError::Unusable`] for another field, and where `texts` is no list of text.
pub fn texts_of(mut fields: Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let texts = fields.remove("texts").unwrap_or_else(|| json!([]));
    if let Some(unknown) = fields.keys().next() {
        return Err(ApiError::Unusable(format!(
            "expected photos and `texts`, got `{unknown}`"
        )));
    }
    serde_json::from_value(texts)
        .map_err(|_| ApiError::Unusable("`texts`: expected a list of text".into()))
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
