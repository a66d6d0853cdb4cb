//! From a tokenizer's words to text as people write it.

/// Which letters a caption's text gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// As the decoder wrote it.
    #[default]
    AsWritten,
    /// The first letter is a capital, and a full stop ends what no other mark ends.
    Sentence,
}

/// Cleans decoded text: single spaces, none before closing punctuation, none inside brackets,
/// contractions closed, quotes and hyphens that tokenizers set apart drawn together.
///
/// ```
/// use decap::decoder::{Case, detokenise};
/// let text = detokenise("a man 's  dog , ( brown ) .", Case::Sentence);
/// assert_eq!(text, "A man's dog, (brown).");
/// ```
pub fn detokenise(decoded: &str, case: Case) -> String {
    let mut text = String::with_capacity(decoded.len());
    let mut quote_is_open = false;
    // Whether the next word follows without a space.
    let mut joined = true;
    let mut words = decoded.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let next_is_letter = words
            .peek()
            .is_some_and(|next| next.chars().next().is_some_and(char::is_alphanumeric));
        let closes_quote = word == "\"" && quote_is_open;
        let hyphen = matches!(word, "-" | "/") && !joined && next_is_letter;
        if !(joined || closes_quote || hyphen || leans_left(word)) {
            text.push(' ');
        }
        text.push_str(word);
        quote_is_open ^= word == "\"";
        joined = hyphen || leans_right(word) || (word == "\"" && quote_is_open);
    }
    match case {
        Case::AsWritten => text,
        Case::Sentence => with_full_stop(with_capital(&text)),
    }
}

/// Words that stand close to the one before: closing punctuation and the ends of contractions.
fn leans_left(word: &str) -> bool {
    const ENDINGS: [&str; 9] = ["'s", "'t", "n't", "'re", "'ve", "'ll", "'d", "'m", "%"];
    let closing = |letter| {
        matches!(
            letter,
            '.' | ',' | '!' | '?' | ';' | ':' | ')' | ']' | '}' | '…'
        )
    };
    ENDINGS.contains(&word) || word.chars().all(closing)
}

/// Words that the next one stands close to: opening brackets and signs before a number.
fn leans_right(word: &str) -> bool {
    matches!(word, "(" | "[" | "{" | "$" | "£" | "€" | "#")
}

fn with_capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn with_full_stop(mut text: String) -> String {
    if text.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, ')' | '"' | '%'))
    {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_people_write_it() {
        let cases = [
            ("a cat .", "a cat."),
            ("  two   spaces ", "two spaces"),
            ("a cat , a dog , and a bird !", "a cat, a dog, and a bird!"),
            ("it is n't the man 's", "it isn't the man's"),
            (
                "a stop sign that says \" stop \" here",
                "a stop sign that says \"stop\" here",
            ),
            ("a black - and - white photo", "a black-and-white photo"),
            ("a black-and-white photo", "a black-and-white photo"),
            ("( left ) and [ right ]", "(left) and [right]"),
            ("- a list", "- a list"),
            ("no . . .", "no..."),
            ("$ 5 and 10 %", "$5 and 10%"),
            ("", ""),
            ("été , 雪 !", "été, 雪!"),
        ];
        for (decoded, expected) in cases {
            assert_eq!(
                detokenise(decoded, Case::AsWritten),
                expected,
                "{decoded:?}"
            );
        }
    }

    #[test]
    fn clean_text_stays_as_it_is() {
        for text in [
            "a cat sits on a mat.",
            "a man's \"big\" dog, (brown)!",
            "5% of $3",
        ] {
            assert_eq!(detokenise(text, Case::AsWritten), text);
        }
    }

    #[test]
    fn sentence_case_changes_the_first_letter_and_the_end_alone() {
        for (decoded, expected) in [
            ("ein hund in Rom", "Ein hund in Rom."),
            ("éclair", "Éclair."),
            ("a dog .", "A dog."),
            ("a dog !", "A dog!"),
            ("what is it ?", "What is it?"),
            ("a dog ( brown )", "A dog (brown)."),
            ("", ""),
        ] {
            assert_eq!(detokenise(decoded, Case::Sentence), expected);
        }
    }
}
