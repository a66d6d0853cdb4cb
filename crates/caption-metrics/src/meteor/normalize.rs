//! METEOR's own tokenizer (`-norm`), on top of the Penn Treebank's tokens.
//!
//! Follows `edu.cmu.meteor.util.Normalizer` 1.5 for English, punctuation kept: a chain of
//! replacements, each of which is kept as it is there, as their order shows in the result.

use std::collections::HashMap;

/// Abbreviations whose period belongs to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefixes {
    kinds: HashMap<String, Prefix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Always,
    BeforeNumbers,
}

impl Prefixes {
    /// Reads a list: a prefix a line, `#NUMERIC_ONLY#` behind some, `#` before comments.
    pub(crate) fn new(list: &str) -> Self {
        let mut kinds = HashMap::new();
        for line in list.lines() {
            let mut words = java_words(line);
            let Some(prefix) = words.next().filter(|word| !word.starts_with('#')) else {
                continue;
            };
            let kind = match words.next() {
                Some("#NUMERIC_ONLY#") => Prefix::BeforeNumbers,
                _ => Prefix::Always,
            };
            kinds.insert(prefix.to_owned(), kind);
        }
        Self { kinds }
    }
}

/// The words of a caption as METEOR sees them, lower case.
pub(crate) fn normalize(caption: &str, prefixes: &Prefixes) -> Vec<String> {
    // Java's `trim`, on what stands between two separators: control characters go with the spaces.
    let caption = caption.trim_matches(|c| c <= ' ');
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' ');
    if caption.bytes().all(is_plain) {
        // Most captions: no rule changes them.
        return java_words(caption).map(str::to_owned).collect();
    }
    let mut text: Vec<char> = Vec::with_capacity(caption.len() + 2);
    text.push(' ');
    for character in caption.chars() {
        if is_kept_together(character) {
            text.push(character);
        } else {
            text.extend([' ', character, ' ']);
        }
    }
    text.push(' ');

    if text.windows(2).any(|pair| pair == ['.', '.']) {
        text = escape_dots(&text.iter().collect::<String>())
            .chars()
            .collect();
    }
    let not_digit = |c: char| !c.is_ascii_digit();
    let digit = |c: char| c.is_ascii_digit();
    text = between(text, not_digit, ',', not_digit, " , ");
    text = between(text, digit, ',', not_digit, " , ");
    text = between(text, not_digit, ',', digit, " , ");
    text = marks(&text);
    text = between(text, |c| is_word(c) || c == '.', '-', is_word, " ");
    let not_letter = |c: char| !is_letter(c);
    text = between(text, not_letter, '\'', not_letter, " ' ");
    text = between(
        text,
        |c| !is_letter(c) && !c.is_ascii_digit(),
        '\'',
        is_letter,
        " ' ",
    );
    text = between(text, is_letter, '\'', not_letter, " ' ");
    text = between(text, is_letter, '\'', is_letter, " '");
    text = between(text, digit, '\'', |c| c == 's', " '");

    let text: String = text.into_iter().collect();
    let mut out = split_periods(&java_words(&text).collect::<Vec<_>>(), prefixes);
    if out.contains(DOTS) {
        out = unescape_dots(out);
    }
    let spaced: String = out
        .chars()
        .map(|c| if is_wide_space(c) { ' ' } else { c })
        .collect();
    java_words(&spaced.to_lowercase())
        .map(str::to_owned)
        .collect()
}

/// Java's `StringTokenizer`.
fn java_words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\n', '\r', '\u{c}'])
        .filter(|word| !word.is_empty())
}

fn is_letter(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | 'Š' | 'Ž' | 'š' | 'ž' | 'Ÿ'
        | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ž' | '\u{400}'..='\u{527}'
        | '\u{a640}'..='\u{a66e}' | '\u{a67e}'..='\u{a697}' | '\u{1d00}'..='\u{1d7f}')
}

fn is_word(character: char) -> bool {
    character.is_ascii_digit() || is_letter(character)
}

/// Whether the character is part of words or handled later; all others stand alone.
fn is_kept_together(character: char) -> bool {
    is_word(character)
        || matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
        || matches!(character, '.' | '\'' | '`' | ',' | '-' | '‘' | '’')
}

fn is_wide_space(character: char) -> bool {
    matches!(
        character,
        '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{a0}'
    )
}

/// Puts `replacement` for `mark` wherever it stands between the two kinds of characters; a
/// character that was the right side of one is not the left side of the next.
fn between(
    text: Vec<char>,
    is_left: impl Fn(char) -> bool,
    mark: char,
    is_right: impl Fn(char) -> bool,
    replacement: &str,
) -> Vec<char> {
    if !text.contains(&mark) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut index = 0;
    while index < text.len() {
        match text[index..] {
            [left, middle, right, ..] if middle == mark && is_left(left) && is_right(right) => {
                out.push(left);
                out.extend(replacement.chars());
                out.push(right);
                index += 3;
            }
            _ => {
                out.push(text[index]);
                index += 1;
            }
        }
    }
    out
}

/// Quotes and dashes in one form: single quotes, then double ones, en dashes, double hyphens.
fn marks(text: &[char]) -> Vec<char> {
    let single = |c: &char| matches!(c, '`' | '‘' | '’').then_some('\'').unwrap_or(*c);
    let text: Vec<char> = text.iter().map(single).collect();
    let text = pairs(&text, '\'', " \" ");
    let hyphens: Vec<char> = text
        .iter()
        .flat_map(|&c| if c == '–' { vec!['-'] } else { vec![c] })
        .collect();
    pairs(&hyphens, '-', "-")
}

/// Puts `replacement` for each two of a character.
fn pairs(text: &[char], character: char, replacement: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut index = 0;
    while index < text.len() {
        let curly = character == '\'' && matches!(text[index], '“' | '”');
        if curly {
            out.extend(replacement.chars());
            index += 1;
        } else if text[index] == character && text.get(index + 1) == Some(&character) {
            out.extend(replacement.chars());
            index += 2;
        } else {
            out.push(text[index]);
            index += 1;
        }
    }
    out
}

/// What several dots become until periods have been split off.
const DOTS: &str = "DOTMULTI";

/// `...` becomes ` DOTDOTMULTIDOTDOTMULTI..`-like words that no later step splits.
fn escape_dots(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(start) = rest.find("..") {
        let dots = rest[start..]
            .bytes()
            .take_while(|&byte| byte == b'.')
            .count();
        out.push_str(&rest[..start]);
        out.push(' ');
        out.push_str(DOTS);
        out.push_str(&rest[start + 1..start + dots]);
        rest = &rest[start + dots..];
    }
    out.push_str(rest);
    let open = format!("{DOTS}.");
    while out.contains(&open) {
        // `DOTMULTI.x` becomes `DOTDOTMULTI x`, any other `DOTMULTI.` becomes `DOTDOTMULTI`.
        let mut next = String::with_capacity(out.len() + 16);
        let mut rest = out.as_str();
        while let Some(start) = rest.find(&open) {
            next.push_str(&rest[..start]);
            next.push_str("DOTDOTMULTI");
            rest = &rest[start + open.len()..];
            match rest.chars().next() {
                Some('.') | None => {}
                Some(other) => {
                    next.push(' ');
                    next.push(other);
                    rest = &rest[other.len_utf8()..];
                }
            }
        }
        next.push_str(rest);
        out = next;
    }
    out
}

fn unescape_dots(mut text: String) -> String {
    while text.contains("DOTDOTMULTI") {
        text = text.replace("DOTDOTMULTI", "DOTMULTI.");
    }
    text.replace(DOTS, ".")
}

/// The words in one line, periods split off unless they belong to an abbreviation.
fn split_periods(words: &[&str], prefixes: &Prefixes) -> String {
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        match word.strip_suffix('.') {
            Some(stem) if !stem.is_empty() => {
                let kind = prefixes.kinds.get(stem).copied();
                let next = words.get(index + 1).and_then(|next| next.bytes().next());
                let before_number = next.is_some_and(|byte| byte.is_ascii_digit());
                if stem.contains('.') && stem.contains(is_letter) {
                    out.push_str(&word.replace('.', "")); // U.S. as US
                } else if kind == Some(Prefix::Always)
                    || next.is_some_and(|byte| byte.is_ascii_lowercase())
                    || (kind == Some(Prefix::BeforeNumbers) && before_number)
                {
                    out.push_str(word);
                } else {
                    out.push_str(stem);
                    out.push_str(" .");
                }
            }
            _ => out.push_str(word),
        }
        out.push(' ');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_the_reference_makes_them() {
        let prefixes = Prefixes::new("# comment\nmr\nno #NUMERIC_ONLY#\n\nv\n");
        let cases = [
            ("a man 's dog", "a man ' s dog"),
            ("mother-in-law a-b-c", "mother in law a b-c"),
            (
                "don't o'clock dogs' 'em 1990's",
                "don 't o 'clock dogs ' ' em 1990 's",
            ),
            ("1,000 a,b 1,b", "1,000 a , b 1 , b"),
            ("the u.s. team", "the us team"),
            ("mr. no. 5 no. X st. Paul", "mr. no. 5 no . x st . paul"),
            ("etc. and end.", "etc. and end ."),
            ("50% & $5", "50 % & $ 5"),
            ("a...b ..", "a ... b .."),
            ("café naïve", "café naïve"),
            ("2\u{a0}1/2", "2 1 / 2"),
            ("😀 “x” –", "😀 \" x \" -"),
            ("a dog\u{1b}", "a dog"),
            ("\0 a\u{1b}dog \0", "a \u{1b} dog"),
            ("", ""),
        ];
        for (caption, expected) in cases {
            assert_eq!(
                normalize(caption, &prefixes).join(" "),
                expected,
                "of {caption:?}"
            );
        }
    }
}
