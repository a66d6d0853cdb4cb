//! JSON with an object's keys in order, a key as often as the file has it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Fault;
use crate::source::Budget;

/// How much of a value a message shows, in characters.
const MAX_SHOWN: usize = 60;

/// What a value takes in memory besides the bytes of its text, about.
const VALUE_OVERHEAD: u64 = 40;

/// How many names of fields are kept once for all objects; identifiers are names too, and unlike.
const MAX_SHARED_NAMES: usize = 256;

/// Fields that no caption is in and that are larger than all others together.
const SKIPPED_FIELDS: &[&str] = &["tokens", "sentids", "segmentation"];

/// A value as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    /// A whole number above all of [`Self::Integer`].
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
    List(Vec<Json>),
    Object(Vec<(Rc<str>, Json)>),
}

impl Json {
    /// Reads one value, with what Python writes for numbers that are none: `NaN`, `Infinity`,
    /// `-Infinity`, which are read as null.
    ///
    /// # Errors
    /// [`Fault::Text`] that begins with `expected`, and [`Fault::TooLarge`] beyond the budget.
    pub(crate) fn read(text: &str, expected: &str, budget: &Budget) -> Result<Self, Fault> {
        let reading = Reading {
            budget,
            fault: Cell::new(None),
            names: RefCell::default(),
        };
        let found = reading.read(text).or_else(|error| match without_nan(text) {
            Cow::Borrowed(_) => Err(error),
            Cow::Owned(text) => reading.read(&text),
        });
        found.map_err(|error| match reading.fault.take() {
            Some(fault) => fault,
            None => Fault::Text(format!("{expected}, got {error}")),
        })
    }

    /// The first value of an object under one of these keys, the earlier keys before the later.
    pub(crate) fn field(&self, names: &[&str]) -> Option<&Self> {
        let entries = self.entries()?;
        names
            .iter()
            .find_map(|&name| entries.iter().find(|(key, _)| **key == *name))
            .map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> Option<&[(Rc<str>, Self)]> {
        match self {
            Self::Object(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
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
            Self::Unsigned(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(values) => format!("a list of {}", values.len()),
            Self::Object(entries) => {
                let keys = entries.iter().map(|(key, _)| &**key);
                format!("an object with {}", keys.collect::<Vec<_>>().join(", "))
            }
        };
        match whole.char_indices().nth(MAX_SHOWN) {
            None => formatter.write_str(&whole),
            Some((end, _)) => write!(formatter, "{}…", &whole[..end]),
        }
    }
}

/// What the values of one document share while they are read.
struct Reading<'a> {
    budget: &'a Budget,
    /// Why reading was stopped, where it was not for the text's sake.
    fault: Cell<Option<Fault>>,
    names: RefCell<HashSet<Rc<str>>>,
}

impl Reading<'_> {
    fn read(&self, text: &str) -> Result<Json, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = self.deserialize(&mut deserializer)?;
        deserializer.end().map(|()| value)
    }

    fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let taken = self.budget.take(bytes as u64 + VALUE_OVERHEAD);
        taken.map_err(|fault| {
            self.fault.set(Some(fault));
            E::custom("over the limit")
        })
    }

    /// The name of a field, kept once where it is one of many objects'.
    fn name(&self, name: &str) -> Rc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(name) {
            return Rc::clone(known);
        }
        let new: Rc<str> = name.into();
        if names.len() < MAX_SHARED_NAMES {
            names.insert(Rc::clone(&new));
        }
        new
    }
}

impl<'de> DeserializeSeed<'de> for &Reading<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.take(0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reading<'_> {
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
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Json::Integer(value),
            Err(_) => Json::Unsigned(value),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json, E> {
        self.take(text.len())?;
        Ok(Json::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if SKIPPED_FIELDS.contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.take::<A::Error>(key.len())?;
            let name = self.name(&key);
            entries.push((name, map.next_value_seed(self)?));
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

    fn read(text: &str) -> Result<Json, Fault> {
        Json::read(text, "expected JSON", &Budget::unlimited())
    }

    #[test]
    fn numbers_that_are_none_are_null_but_not_in_captions() {
        let found = read(r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" NaN"}"#);
        let found = found.unwrap();
        assert_eq!(found.field(&["a"]), Some(&Json::Null));
        assert_eq!(found.field(&["c"]).and_then(Json::text), Some("NaN \" NaN"));
        for broken in ["{\"a\": Nan}", "{\"a\": NaN", "N", "\"NaN"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn keys_stay_as_often_as_they_are_there() {
        let found = read(r#"{"a": 1, "a": {"b": 2, "b": 3}}"#).unwrap();
        assert_eq!(found.entries().unwrap().len(), 2);
        assert_eq!(found.entries().unwrap()[1].1.entries().unwrap().len(), 2);
    }

    #[test]
    fn messages_show_the_start() {
        let long = Json::Text("é".repeat(100).into());
        assert_eq!(long.to_string().chars().count(), MAX_SHOWN + 1);
        let object = read(r#"{"b": 1, "a": [2]}"#).unwrap();
        assert_eq!(object.to_string(), "an object with b, a");
    }
}
