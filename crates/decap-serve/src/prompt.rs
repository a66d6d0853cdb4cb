//! Whether a prompt asks for what decap has.

use caption_words::words;

/// Words of prompts that ask for a caption, or for the fields beside it.
const CAPTION_WORDS: [&str; 25] = [
    "alt",
    "annotate",
    "annotation",
    "caption",
    "captioning",
    "captions",
    "depict",
    "depicted",
    "depicts",
    "describe",
    "describes",
    "describing",
    "description",
    "descriptions",
    "keyword",
    "keywords",
    "label",
    "labels",
    "summarise",
    "summarize",
    "summary",
    "tag",
    "tagging",
    "tags",
    "title",
];

/// Words after "what is", or in "what do you see", that make it a question for a caption.
const SHOWN: [&str; 16] = [
    "depicted",
    "going",
    "happening",
    "here",
    "image",
    "in",
    "it",
    "on",
    "photo",
    "picture",
    "see",
    "seen",
    "shown",
    "that",
    "these",
    "this",
];

/// How far behind "what" they stand at most: "what do you see", "what is in".
const NEAR: usize = 3;

/// Whether a caption answers `prompt`. It is a list of words, not an understanding: "describe", "caption", "tags" and
/// their like, and "what is this". No words at all ask for a caption too.
pub fn asks_for_a_caption(prompt: &str) -> bool {
    let words = words(prompt);
    let is_about = |word: &String| CAPTION_WORDS.contains(&word.as_str());
    let is_shown = |word: &String| SHOWN.contains(&word.as_str());
    let asks_what = |(index, word): (usize, &String)| {
        // In "what colour is in ..." and "what time is it" another word comes first.
        let is_what = word == "what" || word == "whats" || word == "what's";
        let next = &words[(index + 1).min(words.len())..(index + 1 + NEAR).min(words.len())];
        let begins = next.first().is_none_or(|it| {
            ["is", "s", "are", "do", "can", "does"].contains(&it.as_str()) || is_shown(it)
        });
        is_what && begins && next.iter().any(is_shown)
    };
    words.is_empty() || words.iter().any(is_about) || words.iter().enumerate().any(asks_what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_for_captions_are_told_from_others() {
        for prompt in [
            "",
            "Describe this.",
            "What is in this image?",
            "What's this?",
            "What do you see?",
            "What is on the camera?",
            "Give me comma-separated tags",
            "Write an alt text, in the active voice, and avoid text formatting.",
        ] {
            assert!(asks_for_a_caption(prompt), "{prompt}");
        }
        for prompt in [
            "Tell me a joke.",
            "How many people are there?",
            "What colour is the car?",
            "What time is it in Paris?",
            "Read the text in this image.",
            "Translate the sign into German.",
            "Is the door open?",
        ] {
            assert!(!asks_for_a_caption(prompt), "{prompt}");
        }
    }
}
