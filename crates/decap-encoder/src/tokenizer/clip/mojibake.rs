//! Text that was decoded by the wrong code page: `ftfy.fix_encoding`.
//!
//! <https://github.com/rspeer/python-ftfy/blob/v6.3.1/ftfy/__init__.py>

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::Regex as BytesRegex;

use super::ftfy_tables::{
    ALTERED_UTF8, BADNESS, CODE_PAGES, LOSSY_UTF8, UTF8_CONTINUATION_STRICT, UTF8_DETECTOR,
};

/// Steps until nothing changes; each undoes one layer of wrong decoding.
const MAX_STEPS: usize = 64;

/// Undoes wrong decodings until nothing changes.
pub(super) fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_STEPS {
        match fix_one_step(&text) {
            Some(fixed) if fixed != text => text = fixed,
            _ => break,
        }
    }
    text
}

/// Reads the control characters 0x80 to 0x9f as Windows-1252, as web browsers do.
pub(super) fn fix_c1_controls(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{80}'..='\u{9f}' => PAGES.windows_1252.char_of(c as u8),
            _ => c,
        })
        .collect()
}

/// `_fix_encoding_one_step_and_explain`; `None` where the text stays as it is.
fn fix_one_step(text: &str) -> Option<String> {
    if text.is_ascii() || !is_bad(text) {
        return None;
    }
    for page in &PAGES.all {
        let Some(bytes) = page.encode(text) else {
            continue;
        };
        if let Some(fixed) = decode_as_utf8(page, bytes) {
            return Some(fixed);
        }
    }
    if PATTERNS.utf8_detector.is_match(text) {
        let fixed = fix_embedded(text);
        if fixed != text {
            return Some(fixed);
        }
    }
    // The reference has two more cases, Latin-1 read as Windows-1252 and single control
    // characters; both come to this.
    Some(fix_c1_controls(text))
}

fn is_bad(text: &str) -> bool {
    PATTERNS.badness.is_match(text)
}

/// Reads bytes of a code page as UTF-8, with blanks and lost bytes put right first.
fn decode_as_utf8(page: &CodePage, mut bytes: Vec<u8>) -> Option<String> {
    // Not in MacRoman, where an en dash before a blank would match.
    if page.name != "macroman" && PATTERNS.altered_utf8.is_match(&bytes) {
        bytes = restore_byte_a0(&bytes);
    }
    if page.name.starts_with("sloppy") {
        bytes = PATTERNS
            .lossy_utf8
            .replace_all(&bytes, "\u{fffd}".as_bytes())
            .into_owned();
    }
    if bytes.iter().any(|byte| matches!(byte, 0xed | 0xc0)) {
        bytes = rewrite_utf8_variants(&bytes);
    }
    String::from_utf8(bytes).ok()
}

/// Puts 0xa0 back where a blank stands inside what would else be UTF-8.
fn restore_byte_a0(bytes: &[u8]) -> Vec<u8> {
    // `Ã ` as a word of its own is `à`, the Portuguese contractions aside.
    let mut words = Vec::with_capacity(bytes.len() + 8);
    let mut index = 0;
    while index < bytes.len() {
        let rest = &bytes[index..];
        let contractions: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
        let is_word = rest.strip_prefix(b"\xc3 ").is_some_and(|after| {
            !contractions
                .iter()
                .any(|contraction| after.starts_with(contraction))
        });
        if is_word {
            words.extend_from_slice(b"\xc3\xa0 ");
            index += 2;
        } else {
            words.push(bytes[index]);
            index += 1;
        }
    }
    let restore = |found: &regex::bytes::Captures<'_>| -> Vec<u8> {
        found[0]
            .iter()
            .map(|&byte| if byte == b' ' { 0xa0 } else { byte })
            .collect()
    };
    PATTERNS
        .altered_utf8
        .replace_all(&words, restore)
        .into_owned()
}

/// Java's two-byte NUL and CESU-8's surrogate pairs as plain UTF-8; what is neither stays.
fn rewrite_utf8_variants(bytes: &[u8]) -> Vec<u8> {
    let mut rewritten = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        match *rest {
            [0xc0, 0x80, ref after @ ..] => {
                rewritten.push(0);
                rest = after;
            }
            [
                0xed,
                high @ 0xa0..=0xaf,
                high_low @ 0x80..=0xbf,
                0xed,
                low @ 0xb0..=0xbf,
                low_low @ 0x80..=0xbf,
                ref after @ ..,
            ] => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = 0x10000
                    + bits(high, 0x0f, 16)
                    + bits(high_low, 0x3f, 10)
                    + bits(low, 0x0f, 6)
                    + bits(low_low, 0x3f, 0);
                let c = char::from_u32(code).unwrap_or('\u{fffd}');
                rewritten.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            _ => {
                rewritten.push(first);
                rest = &rest[1..];
            }
        }
    }
    rewritten
}

/// `decode_inconsistent_utf8`: fixes runs that look like UTF-8 inside a text of another encoding.
fn fix_embedded(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = PATTERNS.utf8_detector.find_at(text, from) {
        // The look-behind that the regex crate lacks: no run begins after a continuation.
        let before = text[..found.start()].chars().next_back();
        if before.is_some_and(|c| PATTERNS.continuation.is_match(c.encode_utf8(&mut [0; 4]))) {
            let first = text[found.start()..]
                .chars()
                .next()
                .map_or(1, char::len_utf8);
            from = found.start() + first;
            continue;
        }
        fixed.push_str(&text[copied..found.start()]);
        let run = found.as_str();
        if run.len() < text.len() && is_bad(run) {
            fixed.push_str(&fix_encoding(run));
        } else {
            fixed.push_str(run);
        }
        copied = found.end();
        from = found.end();
    }
    fixed.push_str(&text[copied..]);
    fixed
}

/// A code page of one byte a character; ASCII is the same in all.
struct CodePage {
    name: &'static str,
    /// Characters of the bytes 0x80 to 0xff.
    upper: Vec<char>,
    byte_of_upper: HashMap<char, u8>,
}

impl CodePage {
    fn new(name: &'static str, upper: &str) -> Self {
        let upper: Vec<char> = upper.chars().collect();
        let byte_of_upper = upper.iter().copied().zip(0x80..=u8::MAX).collect();
        Self {
            name,
            upper,
            byte_of_upper,
        }
    }

    fn char_of(&self, byte: u8) -> char {
        match byte.checked_sub(0x80) {
            Some(index) => self
                .upper
                .get(usize::from(index))
                .copied()
                .unwrap_or(byte.into()),
            None => byte.into(),
        }
    }

    /// The bytes of `text`, or `None` where a character is not in the page. Sloppy pages let
    /// byte 0x1a stand for the replacement character.
    fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let is_sloppy = self.name.starts_with("sloppy");
        text.chars()
            .map(|c| match c {
                '\x1a' if is_sloppy => None,
                '\u{fffd}' if is_sloppy => Some(0x1a),
                _ if c.is_ascii() => Some(c as u8),
                _ => self.byte_of_upper.get(&c).copied(),
            })
            .collect()
    }
}

struct Pages {
    all: Vec<CodePage>,
    windows_1252: CodePage,
}

static PAGES: LazyLock<Pages> = LazyLock::new(|| {
    let all = CODE_PAGES
        .iter()
        .map(|(name, upper)| CodePage::new(name, upper))
        .collect();
    let windows_1252 = CODE_PAGES
        .iter()
        .find(|(name, _)| *name == "sloppy-windows-1252");
    let (name, upper) = windows_1252.copied().unwrap_or_default();
    Pages {
        all,
        windows_1252: CodePage::new(name, upper),
    }
});

struct Patterns {
    badness: Regex,
    utf8_detector: Regex,
    continuation: Regex,
    altered_utf8: BytesRegex,
    lossy_utf8: BytesRegex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let constant = "a constant pattern that the tests compile";
    Patterns {
        badness: Regex::new(BADNESS).expect(constant),
        utf8_detector: Regex::new(UTF8_DETECTOR).expect(constant),
        continuation: Regex::new(UTF8_CONTINUATION_STRICT).expect(constant),
        altered_utf8: BytesRegex::new(ALTERED_UTF8).expect(constant),
        lossy_utf8: BytesRegex::new(LOSSY_UTF8).expect(constant),
    }
});
