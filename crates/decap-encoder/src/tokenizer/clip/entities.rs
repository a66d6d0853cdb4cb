//! HTML entities as Python's `html.unescape` and ftfy's `unescape_html` read them.

use htmlize::ENTITIES;

use super::ftfy_tables::INVALID_CHARREFS;

/// Longest run of characters after `&` that Python takes for a name.
const MAX_NAME_CHARS: usize = 32;

/// The text of `amp;`, or of `amp` where HTML allows it: Python's `html.entities.html5`.
fn named(reference: &str) -> Option<&'static str> {
    let text = ENTITIES.get(format!("&{reference}").as_bytes())?;
    std::str::from_utf8(text).ok()
}

/// The text of `NTILDE;` and other capitals that only ftfy knows; those that begin with a known
/// name, such as `GTCC;`, are not among them.
fn named_in_capitals(reference: &str) -> Option<String> {
    let small = reference.to_ascii_lowercase();
    let text = named(&small)?;
    let mut unescaped = String::new();
    push_reference(reference, &mut unescaped);
    let is_unknown = unescaped.strip_prefix('&') == Some(reference);
    (small.to_ascii_uppercase() == reference && is_unknown).then(|| text.to_uppercase())
}

/// Python's `html.unescape`: every reference, also those without a semicolon.
///
/// <https://github.com/python/cpython/blob/3.11/Lib/html/__init__.py>
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let length = reference_length(after);
        if length == 0 {
            out.push('&');
        } else {
            push_reference(&after[..length], &mut out);
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

/// ftfy's `unescape_html`: only references that end in a semicolon, and capitals such as `&NTILDE;`.
pub(super) fn unescape_unambiguous(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        match unambiguous_length(after) {
            Some(length) => {
                let reference = &after[..length];
                if let Some(text) = named(reference) {
                    out.push_str(text);
                } else if let Some(text) = named_in_capitals(reference) {
                    out.push_str(&text);
                } else if reference.starts_with('#') && reference_length(reference) == length {
                    push_reference(reference, &mut out);
                } else {
                    out.push('&');
                    out.push_str(reference);
                }
                rest = &after[length..];
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Length of `#?[0-9A-Za-z]{1,24};` at the start of `text`.
fn unambiguous_length(text: &str) -> Option<usize> {
    let hash = usize::from(text.starts_with('#'));
    let letters = text[hash..]
        .bytes()
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    let is_closed = text.as_bytes().get(hash + letters) == Some(&b';');
    ((1..=24).contains(&letters) && is_closed).then_some(hash + letters + 1)
}

/// Length of `#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?` at the start of `text`, or 0.
fn reference_length(text: &str) -> usize {
    let with_semicolon =
        |length: usize| length + usize::from(text.as_bytes().get(length) == Some(&b';'));
    if let Some(number) = text.strip_prefix('#') {
        let decimal = number.bytes().take_while(u8::is_ascii_digit).count();
        if decimal > 0 {
            return with_semicolon(1 + decimal);
        }
        let Some(digits) = number.strip_prefix(['x', 'X']) else {
            return 0;
        };
        let hexadecimal = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        return if hexadecimal > 0 {
            with_semicolon(2 + hexadecimal)
        } else {
            0
        };
    }
    let ends_name = |c: char| matches!(c, '\t' | '\n' | '\x0c' | ' ' | '<' | '&' | '#' | ';');
    let name = text
        .chars()
        .take_while(|&c| !ends_name(c))
        .take(MAX_NAME_CHARS);
    match name.map(char::len_utf8).sum() {
        0 => 0,
        length => with_semicolon(length),
    }
}

/// Python's `_replace_charref`, for what follows the `&`.
fn push_reference(reference: &str, out: &mut String) {
    if let Some(number) = reference.strip_prefix('#') {
        let number = number.trim_end_matches(';');
        let (digits, radix) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        // The digits are valid; what overflows is above every code point.
        out.extend(code_point(
            u32::from_str_radix(digits, radix).unwrap_or(u32::MAX),
        ));
        return;
    }
    if let Some(text) = named(reference) {
        out.push_str(text);
        return;
    }
    // The longest known name that the reference begins with; Python tries down to two characters.
    let ends = reference.char_indices().map(|(index, _)| index).skip(2);
    for end in ends.collect::<Vec<_>>().into_iter().rev() {
        if let Some(text) = named(&reference[..end]) {
            out.push_str(text);
            out.push_str(&reference[end..]);
            return;
        }
    }
    out.push('&');
    out.push_str(reference);
}

fn code_point(number: u32) -> Option<char> {
    if let Ok(index) = INVALID_CHARREFS.binary_search_by_key(&number, |(code, _)| *code) {
        return Some(INVALID_CHARREFS[index].1);
    }
    let is_dropped = matches!(
        number,
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f..=0x9f | 0xfdd0..=0xfdef
    ) || (number <= 0x10_ffff && matches!(number & 0xffff, 0xfffe | 0xffff));
    if is_dropped {
        None
    } else {
        Some(char::from_u32(number).unwrap_or('\u{fffd}'))
    }
}
