//! Fields of CSV files (RFC 4180).

use std::borrow::Cow;

/// A field as it is written: quoted where it must be.
pub fn field(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))),
        false => Cow::Borrowed(text),
    }
}

/// The first field of a line that has several and no line break within a field.
pub fn first_field(line: &str) -> Option<String> {
    let Some(mut rest) = line.strip_prefix('"') else {
        return line.split_once(',').map(|(first, _)| first.to_owned());
    };
    let mut text = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        text += part;
        if after.starts_with(',') {
            return Some(text);
        }
        // Two quotes are one.
        rest = after.strip_prefix('"')?;
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_read_back() {
        for (text, written) in [
            ("a dog", "a dog"),
            ("a \"dog\", black", "\"a \"\"dog\"\", black\""),
            ("\"", "\"\"\"\""),
            ("", ""),
        ] {
            assert_eq!(field(text), written);
            assert_eq!(first_field(&format!("{written},b")).as_deref(), Some(text));
        }
        for cut in ["a dog", "\"a", "\"a\"", "\"a\"b,c"] {
            assert_eq!(first_field(cut), None, "{cut}");
        }
    }
}
