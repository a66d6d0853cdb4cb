//! Captions of encoded photos, kept between runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::EvalProgress;
use super::kept::Kept;
use decap::Captioner;
use decap::Embeddings;
use decap::hexadecimal;
use decap::memory::Evidence;
use decap::{Caption, CaptionOptions, ChosenFrom};
use decap::{Error, Result};

/// Photos captioned together: what an interrupted run loses at most.
const CHUNK: usize = 64;

/// Hexadecimal digits of a hash that tell photos and systems apart.
const KEY_DIGITS: usize = 24;

/// A caption's line in the file of kept work.
#[derive(Serialize, Deserialize)]
struct KeptCaption {
    /// A hash of the photo's embedding.
    photo: String,
    caption: String,
    score: f32,
    #[serde(default)]
    confidence: Option<f32>,
    #[serde(default)]
    chosen_from: ChosenFrom,
    evidence: Vec<Evidence>,
}

/// A caption for each of `embeddings` `[photos, width]`, from the folder `kept` where this
/// captioner with these options has written it before.
///
/// # Errors
/// What [`Captioner::caption_embeddings`] says, [`Error::Io`] where `kept` cannot be written,
/// [`Error::Interrupted`] after `stop`.
pub(super) fn caption_photos(
    captioner: &Captioner,
    embeddings: &Embeddings,
    options: &CaptionOptions,
    kept: Option<&Path>,
    progress: &mut dyn FnMut(EvalProgress<'_>),
    stop: &AtomicBool,
) -> Result<Vec<Caption>> {
    let mut known: HashMap<String, KeptCaption> = HashMap::new();
    let mut kept = match kept {
        None => None,
        Some(folder) => {
            let name = format!("captions-{}.jsonl", captioner.run_key(options)?);
            let keep = |one: KeptCaption| drop(known.insert(one.photo.clone(), one));
            Some(Kept::open(&folder.join(name), keep)?)
        }
    };
    let width = embeddings.width();
    let photos: Vec<String> = embeddings.rows().map(photo_key).collect();
    let mut captions = Vec::with_capacity(photos.len());
    let chunks = embeddings.as_slice().chunks(CHUNK * width);
    for (chunk, photos) in chunks.zip(photos.chunks(CHUNK)) {
        // A chunk is taken or made as a whole: what sampling draws depends on the neighbours.
        let from_before: Option<Vec<Caption>> = photos
            .iter()
            .map(|photo| known.get(photo).map(Caption::from))
            .collect();
        match from_before {
            Some(chunk) => captions.extend(chunk),
            None => {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                let rows = Embeddings::new(chunk.to_vec(), width)?;
                let (written, _) = captioner.caption_embeddings(&rows, options)?;
                if let Some(kept) = &mut kept {
                    let lines = photos.iter().zip(&written);
                    kept.append(&lines.map(KeptCaption::from).collect::<Vec<_>>())?;
                }
                captions.extend(written);
            }
        }
        progress(EvalProgress {
            step: options.method.name(),
            done: captions.len(),
            total: embeddings.len(),
        });
    }
    Ok(captions)
}

fn photo_key(embedding: &[f32]) -> String {
    let mut hasher = Sha256::new();
    for value in embedding {
        hasher.update(value.to_le_bytes());
    }
    short(&hexadecimal(&hasher.finalize()))
}

fn short(hash: &str) -> String {
    hash.chars().take(KEY_DIGITS).collect()
}

impl From<(&String, &Caption)> for KeptCaption {
    fn from((photo, caption): (&String, &Caption)) -> Self {
        Self {
            photo: photo.clone(),
            caption: caption.text.clone(),
            score: caption.score,
            confidence: caption.confidence,
            chosen_from: caption.chosen_from,
            evidence: caption.evidence.clone(),
        }
    }
}

impl From<&KeptCaption> for Caption {
    fn from(kept: &KeptCaption) -> Self {
        Self {
            text: kept.caption.clone(),
            score: kept.score,
            confidence: kept.confidence,
            chosen_from: kept.chosen_from,
            evidence: kept.evidence.clone(),
            // No report needs them.
            candidates: Vec::new(),
        }
    }
}
