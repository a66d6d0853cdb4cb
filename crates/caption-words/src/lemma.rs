//! Words that a caption is about, plural and singular as one.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that may stand twice in a good sentence, of the languages that captions come in.
static FUNCTION_WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("function_words.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect()
});

/// Plurals that no rule leads to their singular.
const IRREGULAR: [(&str, &str); 11] = [
    ("children", "child"),
    ("feet", "foot"),
    ("fishermen", "fisherman"),
    ("geese", "goose"),
    ("men", "man"),
    ("mice", "mouse"),
    ("people", "person"),
    ("policemen", "policeman"),
    ("snowmen", "snowman"),
    ("teeth", "tooth"),
    ("women", "woman"),
];

/// The shortest word that counts, in letters.
const LEAST_LETTERS: usize = 3;

/// The key of a content word: equal for its singular and its plural. `None` for function words, for
/// words of less than three letters, and where there is no letter.
///
/// Keys are for comparison, not for reading. The rules are for English; words of other languages get a
/// key of their own.
///
/// ```
/// use caption_words::content_lemma;
/// assert_eq!(content_lemma("Horses"), content_lemma("horse"));
/// assert_eq!(content_lemma("knives"), content_lemma("knife"));
/// assert_ne!(content_lemma("glass"), content_lemma("grass"));
/// assert_eq!(content_lemma("the"), None);
/// ```
#[must_use]
pub fn content_lemma(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let owner = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s"));
    let word = owner.unwrap_or(&word);
    let counts = word.chars().count() >= LEAST_LETTERS
        && word.chars().any(char::is_alphabetic)
        && !FUNCTION_WORDS.contains(word);
    counts.then(|| key(word))
}

fn key(word: &str) -> String {
    let irregular = IRREGULAR.iter().find(|(plural, _)| *plural == word);
    let word = irregular.map_or(word, |(_, singular)| singular);
    let is_plural = word.len() > 3
        && word.ends_with('s')
        && !["ss", "us"].iter().any(|ending| word.ends_with(ending))
        // `tennis`, but not `skis`.
        && !(word.len() > 4 && word.ends_with("is"));
    let stem = if is_plural {
        &word[..word.len() - 1]
    } else {
        word
    };
    // `horse` and `horses`, `box` and `boxes`, `cookie` and `cookies` alike.
    let stem = stem.strip_suffix('e').unwrap_or(stem);
    match stem.chars().next_back() {
        Some('y') => format!("{}i", &stem[..stem.len() - 1]),
        Some('v') => format!("{}f", &stem[..stem.len() - 1]),
        _ => stem.to_owned(),
    }
}

/// How many of `words` are content words that were said before.
///
/// ```
/// use caption_words::{repeated_lemmas, words};
/// let repeated = |text: &str| repeated_lemmas(words(text).iter().map(String::as_str));
/// assert_eq!(repeated("a cat next to two cats and a dog"), 1);
/// assert_eq!(repeated("the man on the left and the dog on the right"), 0);
/// ```
#[must_use]
pub fn repeated_lemmas<'a>(words: impl IntoIterator<Item = &'a str>) -> usize {
    let mut said = Vec::new();
    let mut repeated = 0;
    for lemma in words.into_iter().filter_map(content_lemma) {
        if said.contains(&lemma) {
            repeated += 1;
        } else {
            said.push(lemma);
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plural_and_singular_are_one() {
        for (singular, plural) in [
            ("dog", "dogs"),
            ("bus", "buses"),
            ("box", "boxes"),
            ("dish", "dishes"),
            ("glass", "glasses"),
            ("vase", "vases"),
            ("horse", "horses"),
            ("baby", "babies"),
            ("cookie", "cookies"),
            ("toy", "toys"),
            ("tie", "ties"),
            ("tree", "trees"),
            ("shoe", "shoes"),
            ("tomato", "tomatoes"),
            ("leaf", "leaves"),
            ("knife", "knives"),
            ("glove", "gloves"),
            ("ski", "skis"),
            ("man", "men"),
            ("person", "people"),
            ("woman", "woman's"),
        ] {
            let lemma = content_lemma(singular);
            assert!(lemma.is_some(), "{singular}");
            assert_eq!(content_lemma(plural), lemma, "{singular}, {plural}");
        }
    }

    #[test]
    fn other_words_stay_apart() {
        let words = [
            "tennis",
            "ten",
            "grass",
            "gras",
            "bed",
            "bench",
            "beach",
            "man",
            "woman",
            "mango",
            "skate",
            "skateboard",
            "tram",
            "train",
            "hydrant",
            "straße",
            "hündchen",
        ];
        let mut keys: Vec<String> = words
            .iter()
            .filter_map(|word| content_lemma(word))
            .collect();
        // `ten` is a number, which may be said twice.
        assert_eq!(keys.len(), words.len() - 1);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), words.len() - 1, "{keys:?}");
    }

    #[test]
    fn words_that_may_be_said_twice_have_no_lemma() {
        for word in [
            "the", "The", "and", "with", "two", "near", "next", "is", "a", "", "'s", "12", "1990",
            "der", "mit", "eine", "les", "dans", "los", "con", "è", "雪",
        ] {
            assert_eq!(content_lemma(word), None, "{word}");
        }
    }
}
