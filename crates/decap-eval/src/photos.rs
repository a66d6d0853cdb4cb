//! Photos and videos of a set, encoded once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::EvalProgress;
use super::kept::Kept;
use super::set::EvalSet;
use super::thumbnail::thumbnail_jpeg;
use decap::Input;
use decap::encoder::Encoder;
use decap::media::RgbImage;
use decap::pipeline::{ReadOptions, embed_each_seen};
use decap::{Embedding, Embeddings};
use decap::{Error, Result, RunKey};

/// How photos and videos are read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PhotoOptions {
    /// How many are read at once, and how each of them is.
    pub read: ReadOptions,
    /// The longer edge of the small photos in the report, in pixels; 0 for none.
    pub thumbnail_pixels: u32,
}

impl Default for PhotoOptions {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            thumbnail_pixels: 192,
        }
    }
}

/// The photos of a set that could be encoded, in the set's order.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPhotos {
    /// Which of the set's items they are, `[photos]`.
    pub items: Vec<usize>,
    /// Their embeddings, `[photos, width]`; a video's is the mean of its frames'.
    pub embeddings: Embeddings,
    /// Small photos for the report, JPEG, `[photos]`; empty where none was asked for.
    pub thumbnails: Vec<Vec<u8>>,
    /// Photos that could not be read.
    pub failures: Vec<PhotoFailure>,
}

/// A photo that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoFailure {
    /// Which of the set's items it is.
    pub item: usize,
    /// The error's [`kind`](Error::kind).
    pub kind: &'static str,
    /// The error in words, with the path.
    pub message: String,
}

/// A photo's line in the file of kept work.
#[derive(Serialize, Deserialize)]
struct KeptPhoto {
    path: String,
    bytes: u64,
    modified_ms: u64,
    /// f32, little-endian, base64.
    embedding: String,
    /// JPEG, base64.
    thumbnail: String,
}

/// Encodes the photos and videos of `set`; those that the folder `kept` holds from before, and
/// whose file is still the same, are taken from there.
///
/// A photo that cannot be read is among the failures and stops nothing.
///
/// # Errors
/// [`Error::Model`] where the encoder cannot run, [`Error::Io`] where `kept` cannot be written,
/// [`Error::Interrupted`] after `stop`, [`Error::Unavailable`] where no photo could be read.
pub fn encode_photos(
    encoder: &Encoder,
    set: &EvalSet,
    options: &PhotoOptions,
    kept: Option<&Path>,
    progress: &mut dyn FnMut(EvalProgress<'_>),
    stop: &AtomicBool,
) -> Result<EncodedPhotos> {
    let mut known: HashMap<String, KeptPhoto> = HashMap::new();
    let mut kept = match kept {
        None => None,
        Some(folder) => {
            let path = folder.join(kept_name(encoder, options));
            let keep = |photo: KeptPhoto| drop(known.insert(photo.path.clone(), photo));
            Some(Kept::open(&path, keep)?)
        }
    };
    known.retain(|path, photo| {
        let now = size_and_time(Path::new(path)).ok();
        now == Some((photo.bytes, photo.modified_ms))
            && photo
                .embedding()
                .is_some_and(|e| e.len() == encoder.width())
    });
    let mut seen = HashSet::new();
    let paths = set.items.iter().map(|item| &item.path);
    let missing: Vec<PathBuf> = paths
        .filter(|path| !known.contains_key(&key_of(path)) && seen.insert(*path))
        .cloned()
        .collect();
    let total = set.items.len();
    let mut report = |done| {
        progress(EvalProgress {
            step: "photos",
            done,
            total,
        });
    };
    let mut done = total - missing.len();
    report(done);
    let mut failures: HashMap<String, Error> = HashMap::new();
    let inputs = missing.into_iter().map(Input::from);
    let see = |frames: &[RgbImage]| thumbnail(&frames[frames.len() / 2], options.thumbnail_pixels);
    embed_each_seen(encoder, inputs, &options.read, stop, see, |one| {
        done += 1;
        let path = one.input.name();
        let name = key_of(path);
        match one
            .result
            .and_then(|result| Ok((result, size_and_time(path)?)))
        {
            Ok(((embedding, thumbnail), (bytes, modified_ms))) => {
                let photo = KeptPhoto::new(name, &embedding, &thumbnail, bytes, modified_ms);
                if let Some(kept) = &mut kept {
                    kept.append(std::slice::from_ref(&photo))?;
                }
                known.insert(photo.path.clone(), photo);
            }
            Err(error) => drop(failures.insert(name, error)),
        }
        report(done);
        Ok::<_, Error>(())
    })?;
    gather(set, encoder.width(), &known, &failures)
}

/// Brings photos into the set's order.
fn gather(
    set: &EvalSet,
    width: usize,
    known: &HashMap<String, KeptPhoto>,
    failed: &HashMap<String, Error>,
) -> Result<EncodedPhotos> {
    let (mut items, mut failures) = (Vec::new(), Vec::new());
    let (mut values, mut thumbnails) = (Vec::new(), Vec::new());
    for (item, photo) in set.items.iter().enumerate() {
        let path = key_of(&photo.path);
        match known.get(&path) {
            Some(photo) => {
                items.push(item);
                values.extend(photo.embedding().unwrap_or_default());
                thumbnails.push(BASE64.decode(&photo.thumbnail).unwrap_or_default());
            }
            None => failures.extend(failed.get(&path).map(|error| PhotoFailure {
                item,
                kind: error.kind(),
                message: error.to_string(),
            })),
        }
    }
    if items.is_empty() {
        let first = failures.first().map_or("", |one| one.message.as_str());
        return Err(Error::Unavailable(match set.items.len() {
            1 => first.to_owned(),
            count => format!("none of {count} photos could be read; the first: {first}"),
        }));
    }
    Ok(EncodedPhotos {
        items,
        embeddings: Embeddings::new(values, width)?,
        thumbnails,
        failures,
    })
}

/// The path as text, of which there is one for each path. One that is not UTF-8 is quoted: it is no path
/// then, and its photo is encoded anew each time.
fn key_of(path: &Path) -> String {
    path.to_str()
        .map_or_else(|| format!("{path:?}"), str::to_owned)
}

/// One file for each encoder and way of looking.
fn kept_name(encoder: &Encoder, options: &PhotoOptions) -> String {
    let key = RunKey::of(&[
        encoder.run_key().as_str(),
        &format!("{} frames", options.read.video.frames),
        &format!("{} pixels", options.thumbnail_pixels),
    ]);
    format!("photos-{key}.jsonl")
}

fn thumbnail(image: &RgbImage, longer_edge: u32) -> Result<Vec<u8>> {
    /// Small photos for looking at: a few kilobytes each.
    const QUALITY: u8 = 70;
    match longer_edge {
        0 => Ok(Vec::new()),
        edge => thumbnail_jpeg(image, edge, QUALITY),
    }
}

/// A file's length in bytes and the time it was changed, in milliseconds since 1970.
fn size_and_time(path: &Path) -> Result<(u64, u64)> {
    let failed = |source| Error::io(path, source);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let modified = metadata.modified().map_err(failed)?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), since.as_millis() as u64))
}

impl KeptPhoto {
    fn new(
        path: String,
        embedding: &Embedding,
        thumbnail: &[u8],
        bytes: u64,
        modified_ms: u64,
    ) -> Self {
        let values = embedding.as_slice().iter();
        let little_endian: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        Self {
            path,
            bytes,
            modified_ms,
            embedding: BASE64.encode(little_endian),
            thumbnail: BASE64.encode(thumbnail),
        }
    }

    /// `None` where the line is damaged.
    fn embedding(&self) -> Option<Vec<f32>> {
        let bytes = BASE64.decode(&self.embedding).ok()?;
        let values: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        let has_direction = values.iter().all(|value| value.is_finite())
            && values.iter().any(|value| *value != 0.0);
        has_direction.then_some(values)
    }
}
