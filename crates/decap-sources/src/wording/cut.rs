//! Texts cut at a word.

/// The longest beginning of `text` of at most `most` characters that ends with a word, without the
/// punctuation that a sentence would go on after. A first word that is longer is cut within.
///
/// ```
/// use decap_sources::wording::cut_at_word;
///
/// assert_eq!(cut_at_word("a dog, two cats", 20), "a dog, two cats");
/// assert_eq!(cut_at_word("a dog, two cats", 8), "a dog");
/// assert_eq!(cut_at_word("hippopotamus", 5), "hippo");
/// ```
pub fn cut_at_word(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => cut_before(text, end),
    }
}

/// As [`cut_at_word`], of at most `most` bytes.
pub fn cut_to_bytes(text: &str, most: usize) -> &str {
    match text.len() <= most {
        true => text,
        false => cut_before(text, text.floor_char_boundary(most)),
    }
}

/// Cuts at the last word that ends at `end` or before.
fn cut_before(text: &str, end: usize) -> &str {
    let head = &text[..end];
    let is_whole = text[end..].starts_with(char::is_whitespace);
    let cut = match head.rfind(char::is_whitespace) {
        _ if is_whole => head,
        Some(space) if !head[..space].trim().is_empty() => &head[..space],
        _ => head,
    };
    cut.trim_end_matches(|letter: char| letter.is_whitespace() || ",;:-–—(".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_letters_too() {
        for (most, expected) in [
            (0, ""),
            (1, "d"),
            (3, "der"),
            (4, "der"),
            (8, "der"),
            (9, "der Größe"),
            (10, "der Größe"),
            (16, "der Größe nach"),
            (99, "der Größe nach – er"),
        ] {
            assert_eq!(cut_at_word("der Größe nach – er", most), expected, "{most}");
        }
        assert_eq!(cut_to_bytes("Größe", 3), "Gr");
        assert_eq!(cut_to_bytes("ein Fuß", 7), "ein");
        assert_eq!(cut_to_bytes("ein Fuß", 8), "ein Fuß");
    }
}
