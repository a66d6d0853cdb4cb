//! Where training is: parameters, moments and step in one file, so that it can go on from there.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::evaluate::Evaluation;
use super::optimizer::Optimizer;
use super::options::TrainOptions;
use decap::decoder::{DecoderConfig, DecoderWeights};
use decap::weights::{Bytes, Tensors};
use decap::weights::{NewTensor, write_safetensors};
use decap::{Error, Result};

/// The file in the output folder that training resumes from.
pub const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

const FORMAT: &str = "decap-checkpoint";
const FORMAT_VERSION: u32 = 1;
/// The one entry of the file's metadata.
const METADATA: &str = "decap";

/// The group of tensors of the best decoder so far.
const BEST: &str = "best";

/// The decoder that did best on held-out captions.
#[derive(Debug, Clone)]
pub(super) struct Best {
    pub evaluation: Evaluation,
    /// All parameters, in the layout's order.
    pub values: Vec<f32>,
}

/// What the checkpoint says beside its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CheckpointFacts {
    format: String,
    format_version: u32,
    /// Steps done.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    pub options: TrainOptions,
    pub config: DecoderConfig,
    /// A hash of captions and embeddings.
    pub corpus: String,
    /// What the best decoder so far did on held-out captions, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<ExactEvaluation>,
}

/// An [`Evaluation`] to the last bit, which decimal digits do not always keep.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ExactEvaluation {
    step: u64,
    captions: usize,
    /// The bits of loss, token accuracy and BLEU-4.
    bits: [u64; 3],
}

impl From<Evaluation> for ExactEvaluation {
    fn from(evaluation: Evaluation) -> Self {
        let figures = [
            evaluation.loss,
            evaluation.token_accuracy,
            evaluation.reconstruction_bleu4,
        ];
        Self {
            step: evaluation.step,
            captions: evaluation.captions,
            bits: figures.map(f64::to_bits),
        }
    }
}

impl From<ExactEvaluation> for Evaluation {
    fn from(exact: ExactEvaluation) -> Self {
        let [loss, token_accuracy, reconstruction_bleu4] = exact.bits.map(f64::from_bits);
        Self {
            step: exact.step,
            loss,
            token_accuracy,
            reconstruction_bleu4,
            captions: exact.captions,
        }
    }
}

impl CheckpointFacts {
    pub fn new(
        step: u64,
        steps: u64,
        options: &TrainOptions,
        config: &DecoderConfig,
        corpus: &str,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            step,
            steps,
            options: options.clone(),
            config: config.clone(),
            corpus: corpus.to_owned(),
            best: None,
        }
    }
}

/// Writes the checkpoint; it appears whole or not at all.
pub(super) fn save(
    path: &Path,
    facts: &CheckpointFacts,
    weights: &DecoderWeights,
    optimizer: &Optimizer,
    best: Option<&[f32]>,
) -> Result<()> {
    let mut groups = vec![
        ("parameters", weights.values()),
        ("first_moments", &optimizer.first_moments[..]),
        ("second_moments", &optimizer.second_moments[..]),
    ];
    groups.extend(best.map(|values| (BEST, values)));
    let stored: Vec<NewTensor> = groups
        .iter()
        .flat_map(|(group, values)| {
            weights.layout().tensors.iter().map(move |tensor| {
                let name = format!("{group}.{}", tensor.name);
                NewTensor::f32(name, &tensor.shape, &values[tensor.range.clone()])
            })
        })
        .collect();
    let json = serde_json::to_string(facts)
        .map_err(|error| Error::model(path, format!("cannot be written: {error}")))?;
    write_safetensors(path, &stored, Some((METADATA, json)))
}

/// Reads the checkpoint into `weights` and `optimizer` and gives the steps done, and the best decoder so far;
/// `expected` is what the present run would write at its first step.
pub(super) fn resume(
    path: &Path,
    expected: &CheckpointFacts,
    weights: &mut DecoderWeights,
    optimizer: &mut Optimizer,
) -> Result<(u64, Option<Best>)> {
    let tensors = Tensors::read(path, Bytes::map(path)?)?;
    let facts = read_facts(&tensors)?;
    check_same_run(path, &facts, expected)?;
    let layout = weights.layout().clone();
    let groups = [
        ("parameters", weights.values_mut()),
        ("first_moments", &mut optimizer.first_moments),
        ("second_moments", &mut optimizer.second_moments),
    ];
    for (group, values) in groups {
        for tensor in &layout.tensors {
            let stored = tensors.f32(&format!("{group}.{}", tensor.name), &tensor.shape)?;
            values[tensor.range.clone()].copy_from_slice(&stored);
        }
    }
    let best = match facts.best {
        None => None,
        Some(exact) => {
            let evaluation = exact.into();
            let mut values = vec![0.0; weights.values().len()];
            for tensor in &layout.tensors {
                let stored = tensors.f32(&format!("{BEST}.{}", tensor.name), &tensor.shape)?;
                values[tensor.range.clone()].copy_from_slice(&stored);
            }
            Some(Best { evaluation, values })
        }
    };
    Ok((facts.step, best))
}

fn read_facts(tensors: &Tensors) -> Result<CheckpointFacts> {
    #[derive(Deserialize)]
    struct Version {
        format: String,
        format_version: u32,
    }
    let path = tensors.path();
    let broken = |error: serde_json::Error| Error::model(path, format!("not valid: {error}"));
    let json = tensors
        .metadata()
        .get(METADATA)
        .ok_or_else(|| Error::model(path, "expected a training checkpoint, got other tensors"))?;
    let version: Version = serde_json::from_str(json).map_err(broken)?;
    if version.format != FORMAT || version.format_version != FORMAT_VERSION {
        return Err(Error::model(
            path,
            format!(
                "expected {FORMAT} version {FORMAT_VERSION}, got {} version {}",
                version.format, version.format_version
            ),
        ));
    }
    serde_json::from_str(json).map_err(broken)
}

fn check_same_run(path: &Path, found: &CheckpointFacts, expected: &CheckpointFacts) -> Result<()> {
    let values = |facts: &CheckpointFacts| serde_json::to_value(facts).unwrap_or_default();
    let (found_values, expected_values) = (values(found), values(expected));
    for (group, fields) in [
        ("options", true),
        ("config", true),
        ("corpus", false),
        ("steps", false),
    ] {
        let (found, expected) = (&found_values[group], &expected_values[group]);
        if found == expected {
            continue;
        }
        let differing = expected
            .as_object()
            .filter(|_| fields)
            .and_then(|expected| {
                expected
                    .iter()
                    .find(|(name, value)| found.get(name) != Some(value))
            });
        let message = match differing {
            Some((name, value)) => format!(
                "`{name}`: the run to resume has {}, this one {value}",
                found.get(name).unwrap_or(&serde_json::Value::Null)
            ),
            None => format!("the run to resume has another {group}: {found}, this one {expected}"),
        };
        return Err(Error::Mismatch(format!("{}: {message}", path.display())));
    }
    Ok(())
}
