//! Text to words.

/// Chinese and Japanese characters, each a word by itself: nothing stands between their words.
fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}')
}

fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '’')
}

/// The words of `text` in small letters: runs of letters and digits, with the apostrophes within them.
///
/// Captions of plain words give what the Penn Treebank's tokenizer with pycocoevalcap's list of
/// punctuation gives; contractions and hyphens are cut otherwise.
///
/// ```
/// use caption_words::words;
/// let found = words("A man's T-shirt, 2 dogs.");
/// assert_eq!(found, ["a", "man's", "t", "shirt", "2", "dogs"]);
/// ```
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if is_ideograph(letter) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            words.push(letter.to_string());
        } else if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        } else if is_apostrophe(letter)
            && !word.is_empty()
            && letters.peek().is_some_and(|next| next.is_alphabetic())
        {
            word.push('\'');
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_kind_has_its_words() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            (" ... !", &[]),
            ("A dog, and a CAT.", &["a", "dog", "and", "a", "cat"]),
            ("it’s the girls' dog", &["it's", "the", "girls", "dog"]),
            ("'quoted' words", &["quoted", "words"]),
            ("Ein Hündchen läuft", &["ein", "hündchen", "läuft"]),
            ("雪山 snow", &["雪", "山", "snow"]),
            ("3.5 km", &["3", "5", "km"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }
}
