//! Sentences that clients teach.

use crate::error::ApiError;
use crate::state::State;

/// Letters of a sentence at most; the encoder reads far fewer.
const SENTENCE_LETTERS: usize = 1000;

/// The sentences of `captions` and of the lines of `text`, without white space around them and without empty ones.
///
/// # Errors
/// [`ApiError::Unusable`] for none, or too many.
pub fn sentences_of(
    state: &State,
    captions: Vec<String>,
    text: &str,
) -> Result<Vec<String>, ApiError> {
    let cut = |text: String| {
        let text = text.trim();
        text.chars().take(SENTENCE_LETTERS).collect::<String>()
    };
    let lines = text.lines().map(str::to_owned);
    let sentences = captions.into_iter().chain(lines).map(cut);
    let sentences: Vec<String> = sentences.filter(|it| !it.is_empty()).collect();
    let most = state.options.taught_sentences;
    if sentences.is_empty() || sentences.len() > most {
        return Err(ApiError::Unusable(format!(
            "expected 1 to {most} sentences, one a line, got {}",
            sentences.len()
        )));
    }
    Ok(sentences)
}
