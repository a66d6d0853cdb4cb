//! Names that clients give to memories and models.

use crate::error::ApiError;

/// Letters of a name at most.
const NAME_LETTERS: usize = 40;

/// Refuses what is no plain name.
///
/// # Errors
/// [`ApiError::Unusable`].
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let is_plain = |letter: char| letter.is_alphanumeric() || " -_.".contains(letter);
    let length = name.chars().count();
    if name.trim() != name || !(1..=NAME_LETTERS).contains(&length) || !name.chars().all(is_plain) {
        return Err(ApiError::Unusable(format!(
            "`name`: expected 1 to {NAME_LETTERS} letters, digits, spaces, `-`, `_` or `.`, got `{name}`"
        )));
    }
    Ok(())
}
