//! The Penn Treebank tokenizer that caption metrics are defined on.
//!
//! Caption scores are computed on the output of Stanford CoreNLP 3.4.1's `PTBTokenizer
//! -preserveLines -lowerCase` less some punctuation. [`PtbTokenizer`] gives the same tokens
//! without Java: its rules accept the same language, state by state, as the reference's
//! automaton, and its edits are the reference's. `tools/reference/metrics_tokenizer.py`
//! compares the two on any file.

mod classes;
mod edit;
mod lexer;
mod lower_case;
mod rules;

use crate::text::trim_end;
use classes::Classes;
use lexer::Lexer;

/// Tokens that pycocoevalcap drops after tokenizing. Brackets are in its list in upper case
/// and thus never match the lower-case tokens: they stay.
const PUNCTUATION: [&str; 17] = [
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--",
    "...", ";",
];

/// Tokenizes captions as pycocoevalcap's `PTBTokenizer` does.
///
/// ```
/// let tokenizer = caption_metrics::PtbTokenizer::new();
/// assert_eq!(tokenizer.tokenize("A man's \"red\" bike (new)."), "a man 's red bike -lrb- new -rrb-");
/// ```
pub struct PtbTokenizer {
    classes: Classes,
    lexer: Lexer,
}

impl PtbTokenizer {
    /// Prepares the rules, which takes a few milliseconds: keep the tokenizer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            classes: Classes::new(),
            lexer: Lexer::new(),
        }
    }

    /// One caption as lower-case tokens with single spaces between, punctuation dropped.
    #[must_use]
    pub fn tokenize(&self, caption: &str) -> String {
        self.tokenize_all(&[caption]).concat()
    }

    /// Captions as the reference tokenizes them: all in one text, one a line.
    ///
    /// A caption's end can depend on the next one's first word (whether a period belongs to
    /// an abbreviation), and a quoted attribute of a tag may span captions, so scores equal to
    /// the reference's need the captions together and in its order.
    ///
    /// Differs from pycocoevalcap because the other line ends (`\r`, vertical tab, form feed,
    /// U+2028, U+2029) are read as spaces here; there each of them shifts all later captions
    /// by one image.
    #[must_use]
    pub fn tokenize_all(&self, captions: &[&str]) -> Vec<String> {
        let lines: Vec<String> = self.words(captions);
        lines
            .iter()
            .map(|line| {
                let kept: Vec<&str> = trim_end(line)
                    .split(' ')
                    .filter(|word| !PUNCTUATION.contains(word))
                    .collect();
                kept.join(" ")
            })
            .collect()
    }

    /// As [`Self::tokenize_all`] with the punctuation kept: the reference tokenizer's lines.
    #[must_use]
    pub fn words(&self, captions: &[&str]) -> Vec<String> {
        let mut text = String::with_capacity(captions.iter().map(|c| c.len() + 1).sum());
        for (index, caption) in captions.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            text.extend(
                caption
                    .chars()
                    .map(|c| if is_line_end(c) { ' ' } else { c }),
            );
        }
        let output = self.lexer.lines(&text, &self.classes.read(&text));
        let mut lines: Vec<String> = output.split('\n').map(str::to_owned).collect();
        lines.resize(captions.len(), String::new());
        lines
    }
}

impl Default for PtbTokenizer {
    fn default() -> Self {
        Self::new()
    }
}

fn is_line_end(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_equal_the_reference() {
        let golden = include_str!("../../tests/data/tokens.tsv");
        let text = |json| serde_json::from_str::<String>(json).expect("a JSON string");
        let pairs: Vec<(String, String)> = golden
            .lines()
            .map(|line| line.split_once('\t').expect("two columns"))
            .map(|(raw, tokens)| (text(raw), text(tokens)))
            .collect();
        let captions: Vec<&str> = pairs.iter().map(|(raw, _)| raw.as_str()).collect();
        let lines = PtbTokenizer::new().tokenize_all(&captions);
        for ((raw, expected), line) in pairs.iter().zip(&lines) {
            assert_eq!(line, expected, "of {raw:?}");
        }
        assert!(pairs.len() > 100);
    }

    #[test]
    fn other_line_ends_are_spaces() {
        let tokenizer = PtbTokenizer::new();
        assert_eq!(tokenizer.tokenize("a\r\nb\u{2028}c\nd\u{b}e"), "a b c d e");
        assert_eq!(tokenizer.tokenize_all(&["a\rb", "c"]), ["a b", "c"]);
    }

    #[test]
    fn odd_captions_keep_their_lines() {
        let tokenizer = PtbTokenizer::new();
        let long = "dog ".repeat(100_000);
        let lines = tokenizer.tokenize_all(&["", " ", "\0\0", "😀", &long, "."]);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[4].split(' ').count(), 100_000);
        for line in [0, 1, 2, 3, 5] {
            assert_eq!(lines[line], "", "line {line}");
        }
        assert_eq!(tokenizer.tokenize_all(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_quoted_attribute_may_span_captions() {
        let lines = PtbTokenizer::new().words(&["<k k='", "'> x"]);
        assert_eq!(lines, ["<k\u{a0}k='", "'> x"]);
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        let text = "<!a ".repeat(10_000);
        assert!(!PtbTokenizer::new().tokenize(&text).is_empty());
    }
}
