//! The lines of `caption --json`; their keys and the order of them are a contract.

use std::path::Path;

use decap::memory::Evidence;
use decap::{Caption, Error, Timings};
use serde::Serialize;
use serde_json::Value;

use crate::name;

/// Places of a photo that have its caption, and those that keep another text.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    /// Those that have it.
    pub written: &'p [&'static str],
    /// Those that keep another.
    pub kept: &'p [&'static str],
}

/// What made a caption.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'m> {
    /// The model's name.
    pub model: &'m str,
    /// The key of the run: all that decides a caption, but for its photo.
    pub run: &'m str,
    /// Captions of less confidence are left out.
    pub least_confidence: Option<f32>,
}

impl Maker<'_> {
    /// Whether this caption is left out.
    pub fn leaves_out(&self, caption: &Caption) -> bool {
        let least = self.least_confidence;
        least.is_some_and(|least| caption.confidence.is_some_and(|sure| sure < least))
    }
}

/// The line of a caption, which it shares with the photo `same_as` where it has none of its own.
///
/// # Errors
/// None that JSON knows of.
pub fn of_caption(
    path: &Path,
    caption: &Caption,
    timings: Timings,
    maker: &Maker<'_>,
    same_as: Option<&Path>,
    places: Option<Places<'_>>,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Record {
        path: name::of(path),
        caption: (!maker.leaves_out(caption)).then_some(caption.text.as_str()),
        score: rounded(f64::from(caption.score), 6),
        confidence: caption
            .confidence
            .map(|confidence| rounded(f64::from(confidence), 4)),
        chosen_from: caption.chosen_from.name(),
        evidence: caption.evidence.iter().map(EvidenceRecord::new).collect(),
        model: maker.model,
        run: maker.run,
        same_as: same_as.map(name::of),
        written: places.map(|places| places.written),
        kept: places.map(|places| places.kept),
        ms: Milliseconds {
            decode: rounded(timings.decode_ms, 3),
            encode: rounded(timings.encode_ms, 3),
            project: rounded(timings.project_ms, 3),
            generate: rounded(timings.generate_ms, 3),
            choose: rounded(timings.choose_ms, 3),
        },
    })
}

/// The line of an input that cannot be captioned; in a shard with the key of its run.
///
/// # Errors
/// As [`of_caption`].
pub fn of_error(
    path: &Path,
    error: &Error,
    run: Option<&str>,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&ErrorRecord {
        run,
        path: name::of(path),
        error: Reason {
            kind: error.kind(),
            message: error.to_string(),
        },
    })
}

#[derive(Serialize)]
struct Record<'a> {
    path: String,
    /// Nothing where it was left out for want of confidence.
    caption: Option<&'a str>,
    score: f64,
    /// Where the model knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    chosen_from: &'static str,
    evidence: Vec<EvidenceRecord<'a>>,
    model: &'a str,
    run: &'a str,
    /// The photo whose caption this is, where one looks nearly the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<String>,
    /// With `--write`: the places that have this caption, and those that keep another.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<&'a [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a [&'static str]>,
    ms: Milliseconds,
}

#[derive(Serialize)]
struct EvidenceRecord<'a> {
    text: &'a str,
    weight: f64,
}

#[derive(Serialize)]
struct Milliseconds {
    decode: f64,
    encode: f64,
    project: f64,
    generate: f64,
    choose: f64,
}

#[derive(Serialize)]
struct ErrorRecord<'a> {
    path: String,
    error: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
}

#[derive(Serialize)]
struct Reason {
    kind: &'static str,
    message: String,
}

impl<'a> EvidenceRecord<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        Self {
            text: &evidence.text,
            weight: rounded(f64::from(evidence.weight), 6),
        }
    }
}

/// The path of a finished line; a line that says an error is done again.
pub fn key(line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    record.get("caption")?;
    Some(record.get("path")?.as_str()?.to_owned())
}

/// Whether this is a line of `caption --json`.
pub fn is_own(line: &str) -> bool {
    let record: Value = serde_json::from_str(line).unwrap_or_default();
    let has_maker = record.get("run").or_else(|| record.get("model")).is_some();
    let is_caption = record.get("caption").is_some() && has_maker;
    record.get("path").is_some() && (is_caption || record.get("error").is_some())
}

/// The key of the run that made a line.
pub fn run_of(line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    Some(record.get("run")?.as_str()?.to_owned())
}

/// `value` with so many decimals: as many as mean something.
fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_cut_lines_have_no_key() {
        let done = r#"{"path":"a.jpg","caption":"a dog","model":"m","run":"r"}"#;
        let failed = r#"{"path":"b.jpg","error":{"kind":"damaged","message":"m"}}"#;
        assert_eq!(key(done).as_deref(), Some("a.jpg"));
        assert_eq!(run_of(done).as_deref(), Some("r"));
        assert_eq!(key(failed), None);
        assert_eq!(key(&done[..20]), None);
        assert!(is_own(done) && is_own(failed));
        assert!(!is_own(r#"{"image":"a.jpg","caption":"a dog"}"#));
    }
}
