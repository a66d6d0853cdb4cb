//! Values out of a JSON object, with messages that name their key.

use serde_json::{Map, Value};

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("`{what}`: expected an object, got {value}"))
}

pub(super) fn size(part: &Map<String, Value>, key: &str, default: usize) -> Result<usize, String> {
    match part.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| format!("`{key}`: expected a whole number, got {value}")),
    }
}

pub(super) fn number(part: &Map<String, Value>, key: &str, default: f64) -> Result<f64, String> {
    match part.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| format!("`{key}`: expected a number, got {value}")),
    }
}
