//! The lines of `caption --json`; their keys and the order of them are a contract.

use std::borrow::Cow;
use std::path::Path;

use decap::memory::Evidence;
use decap::{Caption, Error, Timings};
use serde::Serialize;

use crate::failure::Failure;

/// The line of a caption by the model called `model`.
///
/// # Errors
/// None that JSON knows of.
pub fn of_caption(
    path: &Path,
    caption: &Caption,
    timings: Timings,
    model: &str,
) -> Result<String, Failure> {
    json_line(&Record {
        path: path.to_string_lossy(),
        caption: &caption.text,
        score: rounded(f64::from(caption.score), 6),
        evidence: caption.evidence.iter().map(EvidenceRecord::new).collect(),
        model,
        ms: Milliseconds {
            decode: rounded(timings.decode_ms, 3),
            encode: rounded(timings.encode_ms, 3),
            project: rounded(timings.project_ms, 3),
            generate: rounded(timings.generate_ms, 3),
        },
    })
}

/// The line of an input that cannot be captioned.
///
/// # Errors
/// As [`of_caption`].
pub fn of_error(path: &Path, error: &Error) -> Result<String, Failure> {
    json_line(&ErrorRecord {
        path: path.to_string_lossy(),
        error: Reason {
            kind: error.kind(),
            message: error.to_string(),
        },
    })
}

#[derive(Serialize)]
struct Record<'a> {
    path: Cow<'a, str>,
    caption: &'a str,
    score: f64,
    evidence: Vec<EvidenceRecord<'a>>,
    model: &'a str,
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
}

#[derive(Serialize)]
struct ErrorRecord<'a> {
    path: Cow<'a, str>,
    error: Reason,
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

fn json_line(record: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(record).map_err(|error| Failure::Output(error.into()))
}

/// `value` with so many decimals: as many as mean something.
fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
