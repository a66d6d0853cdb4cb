//! What decap remembers in a photo of the words that it wrote there.

use crate::whose::{How, Trace};

use super::Field;

/// The namespace of the marker's properties.
pub(super) const NAMESPACE: &str = "urn:decap:caption:1#";

/// Parts of a photo that decap added for a caption, and takes away with it.
pub(super) const WEBP_HEADER: &str = "webp-header";
pub(super) const IPTC_CHARACTER_SET: &str = "iptc-character-set";

/// The marker: who wrote, and a trace of each text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marker {
    pub model: String,
    pub run: String,
    /// Names of the parts that were added.
    pub added: Vec<String>,
    pub traces: Vec<(Field, Trace)>,
}

impl Marker {
    /// The marker whose properties `value_of` knows by their names; nothing without a run key.
    pub(super) fn read(value_of: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let added = value_of("added").unwrap_or_default();
        let mut traces = Vec::new();
        for field in Field::ALL {
            let of = |what: &str| value_of(&property(field, what));
            let how = of("How").as_deref().and_then(How::of_name);
            if let (Some(digest), Some(how)) = (of("Digest"), how) {
                let former = of("Former").map(|former| from_text(field, &former));
                let trace = Trace {
                    digest,
                    how,
                    former,
                    former_source: of("FormerSource"),
                    by_hand: of("ByHand").is_some(),
                };
                traces.push((field, trace));
            }
        }
        Some(Self {
            model: value_of("model").unwrap_or_default(),
            run: value_of("run")?,
            added: added.split_whitespace().map(str::to_owned).collect(),
            traces,
        })
    }

    /// Names of the properties and their values, in the order in which they are written.
    pub(super) fn properties(&self) -> Vec<(String, String)> {
        let mut properties = vec![
            ("model".to_owned(), self.model.clone()),
            ("run".to_owned(), self.run.clone()),
        ];
        if !self.added.is_empty() {
            properties.push(("added".to_owned(), self.added.join(" ")));
        }
        for (field, trace) in &self.traces {
            let mut put = |what: &str, value: String| {
                properties.push((property(*field, what), value));
            };
            put("Digest", trace.digest.clone());
            put("How", trace.how.name().to_owned());
            if let Some(former) = &trace.former {
                put("Former", to_text(*field, former));
            }
            if let Some(source) = &trace.former_source {
                put("FormerSource", source.clone());
            }
            if trace.by_hand {
                put("ByHand", "yes".to_owned());
            }
        }
        properties
    }

    /// Every name that a property may have.
    pub(super) fn names() -> Vec<String> {
        let mut names = vec!["model".to_owned(), "run".to_owned(), "added".to_owned()];
        for field in Field::ALL {
            let all = ["Digest", "How", "Former", "FormerSource", "ByHand"];
            names.extend(all.map(|what| property(field, what)));
        }
        names
    }

    /// What is remembered of a text.
    pub(super) fn trace(&self, field: Field) -> Option<&Trace> {
        let mut traces = self.traces.iter();
        traces.find(|(of, _)| *of == field).map(|(_, trace)| trace)
    }

    /// Remembers a text.
    pub(super) fn remember(&mut self, field: Field, trace: Trace) {
        self.traces.retain(|(of, _)| *of != field);
        self.traces.push((field, trace));
        self.traces.sort_by_key(|(of, _)| *of);
    }

    /// Whether decap added the part of this name.
    pub(super) fn has_added(&self, part: &str) -> bool {
        self.added.iter().any(|added| added == part)
    }

    /// Remembers a part that was added.
    pub(super) fn add(&mut self, part: &str) {
        if !self.has_added(part) {
            self.added.push(part.to_owned());
        }
    }
}

fn property(field: Field, what: &str) -> String {
    let field = match field {
        Field::Description => "description",
        Field::AltText => "altText",
        Field::Iptc => "iptc",
        Field::Exif => "exif",
    };
    format!("{field}{what}")
}

/// A former text as it stands in the marker. XMP's own is text; those of IPTC and EXIF are bytes, and
/// what XML cannot hold of them is written as `%` and two digits.
fn to_text(field: Field, former: &[u8]) -> String {
    let whole = String::from_utf8_lossy(former);
    if field.is_xmp() {
        return whole.into_owned();
    }
    let mut text = String::new();
    for part in former.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '%' | '\u{FFFE}' | '\u{FFFF}' => text += &percent(letter.to_string().as_bytes()),
                letter if letter.is_control() => text += &percent(letter.to_string().as_bytes()),
                letter => text.push(letter),
            }
        }
        text += &percent(part.invalid());
    }
    text
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

fn from_text(field: Field, text: &str) -> Vec<u8> {
    if field.is_xmp() {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = after.get(..2).filter(|_| first == b'%');
        let byte = byte.and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_remembered() {
        let all: Vec<u8> = (0..=255).collect();
        let odd = "100 % of\u{FFFF}\u{85}".as_bytes();
        for former in [&all[..], odd, b"", b"%41"] {
            let text = to_text(Field::Exif, former);
            assert_eq!(from_text(Field::Exif, &text), former, "{text}");
            assert!(!text.chars().any(char::is_control));
        }
        assert_eq!(to_text(Field::Iptc, b"my dog"), "my dog");
        assert_eq!(from_text(Field::Iptc, "50 %"), b"50 %");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut marker = Marker {
            model: "tiny".into(),
            run: "7".into(),
            ..Marker::default()
        };
        marker.add(WEBP_HEADER);
        for field in [Field::Exif, Field::Description] {
            let trace = Trace {
                digest: "d".into(),
                how: How::Append,
                former: Some(b"my dog".to_vec()),
                former_source: Some("my&#32;dog".into()),
                by_hand: field == Field::Exif,
            };
            marker.remember(field, trace);
        }
        let properties = marker.properties();
        let value_of = |name: &str| {
            let mut properties = properties.iter();
            let found = properties.find(|(of, _)| of == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(Marker::read(value_of).as_ref(), Some(&marker));
        let names = Marker::names();
        assert!(properties.iter().all(|(name, _)| names.contains(name)));
        assert_eq!(Marker::read(|_| None), None);
    }
}
