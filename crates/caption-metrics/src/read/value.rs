//! JSON with an object's keys in order, a key as often as the file has it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// How much of a value a message shows, in characters.
const MAX_SHOWN: usize = 60;

/// A value as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value, with what Python writes for numbers that are none: `NaN`, `Infinity`,
    /// `-Infinity`, which are read as null.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|error| match without_nan(text) {
            Cow::Borrowed(_) => Err(error),
            Cow::Owned(text) => serde_json::from_str(&text),
        })
    }

    /// The first value of an object under one of these keys, the earlier keys before the later.
    pub(super) fn field(&self, names: &[&str]) -> Option<&Self> {
        let entries = self.entries()?;
        names
            .iter()
            .find_map(|&name| entries.iter().find(|(key, _)| key == name))
            .map(|(_, value)| value)
    }

    pub(super) fn entries(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The start of the value as JSON, for messages.
impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(values) => format!("a list of {}", values.len()),
            Self::Object(entries) => {
                let keys = entries.iter().map(|(key, _)| key.as_str());
                format!("an object with {}", keys.collect::<Vec<_>>().join(", "))
            }
        };
        match whole.char_indices().nth(MAX_SHOWN) {
            None => formatter.write_str(&whole),
            Some((end, _)) => write!(formatter, "{}…", &whole[..end]),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

/// The text with `NaN`, `Infinity` and `-Infinity` outside of strings replaced by null.
fn without_nan(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let (mut in_string, mut is_escaped) = (false, false);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if matches!(byte, b'N' | b'I' | b'-') {
            let names = ["NaN", "Infinity", "-Infinity"];
            let found = names
                .iter()
                .find(|name| bytes[at..].starts_with(name.as_bytes()));
            if let Some(name) = found {
                out.push_str(&text[copied..at]);
                out.push_str("null");
                at += name.len();
                copied = at;
                continue;
            }
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_null_but_not_in_captions() {
        let found = Json::read(r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" NaN"}"#);
        let found = found.unwrap();
        assert_eq!(found.field(&["a"]), Some(&Json::Null));
        assert_eq!(found.field(&["c"]).and_then(Json::text), Some("NaN \" NaN"));
        for broken in ["{\"a\": Nan}", "{\"a\": NaN", "N", "\"NaN"] {
            assert!(Json::read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn keys_stay_as_often_as_they_are_there() {
        let found = Json::read(r#"{"a": 1, "a": {"b": 2, "b": 3}}"#).unwrap();
        assert_eq!(found.entries().unwrap().len(), 2);
        assert_eq!(found.entries().unwrap()[1].1.entries().unwrap().len(), 2);
    }

    #[test]
    fn messages_show_the_start() {
        let long = Json::Text("é".repeat(100));
        assert_eq!(long.to_string().chars().count(), MAX_SHOWN + 1);
        let object = Json::read(r#"{"b": 1, "a": [2]}"#).unwrap();
        assert_eq!(object.to_string(), "an object with b, a");
    }
}
