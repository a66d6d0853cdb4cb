//! `simple_tokenizer.py`'s cleaning: `ftfy.fix_text`, HTML entities, white space, lower case.
//!
//! The whole of ftfy 6.3.1's `fix_text` with its defaults is ported. Texts of more than a million
//! characters without a line break are not cut into segments first, as ftfy would.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::entities::{unescape, unescape_unambiguous};
use super::ftfy_tables::LIGATURES;
use super::mojibake::{fix_c1_controls, fix_encoding};

/// ftfy repeats its fixes until nothing changes; real texts take two rounds.
const MAX_ROUNDS: usize = 64;

/// Cleans `text` as CLIP does before it splits it into words.
///
/// ```
/// use decap_encoder::tokenizer::clip::clean;
/// assert_eq!(clean("  A  CAFÃ© &amp;amp; \u{201c}bar\u{201d}\n"), "a café & \"bar\"");
/// ```
pub fn clean(text: &str) -> String {
    // Nothing that ftfy or `html.unescape` looks at: nearly every caption.
    let is_plain = text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t') && byte != b'&');
    let text = if is_plain {
        text.to_owned()
    } else {
        unescape(&unescape(&fix_text(text)))
    };
    let mut clean = String::with_capacity(text.len());
    for word in text
        .split(char::is_whitespace)
        .filter(|word| !word.is_empty())
    {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    clean.to_lowercase()
}

/// `ftfy.fix_text`, line by line.
///
/// <https://github.com/rspeer/python-ftfy/blob/v6.3.1/ftfy/__init__.py>
fn fix_text(text: &str) -> String {
    let mut entities = Entities::Unescape;
    let mut fixed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // One `<` anywhere means HTML from there on, whose entities are left alone.
        if line.contains('<') {
            entities = Entities::Keep;
        }
        fixed.push_str(&fix_line(line, entities));
    }
    fixed
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entities {
    Unescape,
    Keep,
}

fn fix_line(line: &str, entities: Entities) -> String {
    let mut text = line.to_owned();
    for _ in 0..MAX_ROUNDS {
        let mut fixed = match entities {
            Entities::Unescape => unescape_unambiguous(&text),
            Entities::Keep => text.clone(),
        };
        fixed = fix_encoding(&fixed);
        fixed = fix_c1_controls(&fixed);
        fixed = fix_characters(&fixed);
        fixed = fix_line_breaks(&fixed);
        fixed = remove_terminal_escapes(&fixed);
        fixed.retain(|c| !is_control(c));
        if is_nfc_quick(fixed.chars()) != IsNormalized::Yes {
            fixed = fixed.nfc().collect();
        }
        if fixed == text {
            break;
        }
        text = fixed;
    }
    text
}

/// `fix_latin_ligatures`, `fix_character_width` and `uncurl_quotes`, which do not overlap.
fn fix_characters(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => fixed.push('\''),
            '\u{201c}'..='\u{201f}' => fixed.push('"'),
            '\u{3000}' => fixed.push(' '),
            '\u{ff01}'..='\u{ffef}' => fixed.extend([c].into_iter().nfkc()),
            '\u{132}'..='\u{1f3}' | '\u{fb00}'..='\u{fb06}' => {
                match LIGATURES.iter().find(|(ligature, _)| *ligature == c) {
                    // ʼn begins with a quote of the first kind above.
                    Some((_, letters)) => fixed.push_str(&letters.replace('\u{2bc}', "'")),
                    None => fixed.push(c),
                }
            }
            _ => fixed.push(c),
        }
    }
    fixed
}

fn fix_line_breaks(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n")
}

/// Drops `ESC [ digits-and-semicolons letter`; differs from ftfy in that only ASCII digits count.
fn remove_terminal_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\x1b[") {
        kept.push_str(&rest[..start]);
        let body = rest[start + 2..].trim_start_matches(|c: char| c == ';' || c.is_ascii_digit());
        match body.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(after) => rest = after,
            None => {
                kept.push('\x1b');
                rest = &rest[start + 1..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// `ftfy.chardata.CONTROL_CHARS`.
fn is_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}
