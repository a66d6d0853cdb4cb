//! Text from outside, made safe for HTML, SVG, scripts and links.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Text between tags or in an attribute with quotes.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// JSON within a `script` element: nothing in it can end the element or begin a comment.
pub(crate) fn for_script(json: &str) -> Cow<'_, str> {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _infallible = write!(escaped, "\\u{:04x}", character as u32);
            }
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// One part of a path for a link: every byte that means something in a URL is written as `%XX`.
pub(super) fn percent_encoded(part: &[u8]) -> String {
    let mut encoded = String::with_capacity(part.len());
    for &byte in part {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => {
                let _infallible = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// `text` with the file name alone in place of each absolute path; several are divided by `, `.
pub(crate) fn without_folders(text: &str) -> String {
    let parts = text.split(", ").map(|part| match Path::new(part) {
        path if path.is_absolute() => match path.file_name() {
            Some(name) => name.to_string_lossy(),
            None => Cow::Borrowed(""),
        },
        _ => Cow::Borrowed(part),
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- & \"'\u{2028}";

    #[test]
    fn hostile_text_stays_text() {
        let html = escaped(HOSTILE);
        assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
        let json = json!({ HOSTILE: HOSTILE }).to_string();
        let script = for_script(&json);
        assert!(!script.contains(['<', '>', '&', '\u{2028}']), "{script}");
        let back: Value = serde_json::from_str(&script).unwrap();
        assert_eq!(back[HOSTILE], HOSTILE);
        let link = percent_encoded("javascript:a/b?c#d\"é %".as_bytes());
        assert_eq!(link, "javascript%3Aa%2Fb%3Fc%23d%22%C3%A9%20%25");
    }

    #[test]
    fn plain_text_is_left_alone() {
        assert!(matches!(escaped("a dog, 7 m"), Cow::Borrowed(_)));
        assert!(matches!(for_script("[1, \"a\"]"), Cow::Borrowed(_)));
        assert_eq!(percent_encoded(b"COCO_val-1.jpg~"), "COCO_val-1.jpg~");
    }

    #[cfg(unix)]
    #[test]
    fn absolute_paths_lose_their_folders() {
        let cases = [
            ("/home/ann/captions.txt", "captions.txt"),
            ("/a/b.json, c/d.json", "b.json, c/d.json"),
            ("a cat / a dog", "a cat / a dog"),
            ("/", ""),
        ];
        for (text, shown) in cases {
            assert_eq!(without_folders(text), shown);
        }
    }
}
