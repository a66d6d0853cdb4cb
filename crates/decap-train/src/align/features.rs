//! The frozen towers' features of all photos, in several views, and of all captions.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::cache::{FeatureCache, Key, fingerprint, key_of};
use super::{AlignProgress, FailedPhoto, Stage};
use decap::encoder::{
    ImageTower, ImageTowerDescription, OnnxImageTower, OnnxTextTower, TextTower,
    TextTowerDescription,
};
use decap::media::{Limits, RgbImage};
use decap::pipeline::{LoadingMemory, ReadOptions, for_each_batch};
use decap::random::RandomStream;
use decap::weights::Folder;
use decap::{Error, Result};

/// Photos decoded ahead of the tower.
const PHOTOS_AT_A_TIME: usize = 16;
/// Captions between two looks at the stop flag.
const CAPTIONS_AT_A_TIME: usize = 512;

/// Rows of features, f32.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    /// `[rows, width]`.
    pub(super) values: Vec<f32>,
    pub(super) width: usize,
}

impl Features {
    /// Row `index`, `[width]`.
    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }
}

/// A tower's description and the folder that its files lie in.
#[derive(Debug, Clone)]
pub(super) struct Described<T> {
    pub(super) folder: Folder,
    pub(super) description: T,
}

impl<T: serde::de::DeserializeOwned> Described<T> {
    /// Reads the description at `path`; the files that it names are relative to it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let folder = Folder::disk(path.parent().unwrap_or(Path::new("")));
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        Ok(Self {
            description: folder.json(name)?,
            folder,
        })
    }
}

/// The features of `photos` by all `towers` side by side: row `photo * views + view`.
///
/// Photos that cannot be used are reported; their rows are zero, and they are named in the
/// result by their index.
pub(super) fn image_features(
    towers: &[Described<ImageTowerDescription>],
    photos: &[PathBuf],
    views: usize,
    cache: Option<&Path>,
    progress: &mut dyn AlignProgress,
    stop: &AtomicBool,
) -> Result<(Features, Vec<FailedPhoto>)> {
    let mut parts: Vec<Features> = Vec::new();
    let mut failed: Vec<FailedPhoto> = Vec::new();
    for tower in towers {
        let (part, failed_here) = features_of_tower(tower, photos, views, cache, progress, stop)?;
        parts.push(part);
        for photo in failed_here {
            if !failed.iter().any(|known| known.path == photo.path) {
                progress.photo_failed(&photo);
                failed.push(photo);
            }
        }
    }
    let rows = photos.len() * views;
    let width = parts.iter().map(|part| part.width).sum();
    let mut values = Vec::with_capacity(rows * width);
    for row in 0..rows {
        for part in &parts {
            values.extend_from_slice(part.row(row));
        }
    }
    Ok((Features { values, width }, failed))
}

fn features_of_tower(
    tower: &Described<ImageTowerDescription>,
    photos: &[PathBuf],
    views: usize,
    cache: Option<&Path>,
    progress: &mut dyn AlignProgress,
    stop: &AtomicBool,
) -> Result<(Features, Vec<FailedPhoto>)> {
    let Described {
        folder,
        description,
    } = tower;
    let described = serde_json::to_vec(description)
        .map_err(|error| Error::Usage(format!("a tower's description: {error}")))?;
    let tower_fingerprint = fingerprint(&[&described, &folder.bytes(&description.file)?]);
    let tower = OnnxImageTower::open(folder, &description.file, description.options.clone())?;
    let width = tower.width();
    let mut cache = FeatureCache::open(cache, &tower_fingerprint, width)?;

    let known: HashSet<Key> = cache.keys().copied().collect();
    let memory = LoadingMemory::new(ReadOptions::default().memory_bytes);
    let load = |path: &PathBuf| load_views(path, views, &tower, &known, &memory);
    let mut features = Features {
        values: Vec::with_capacity(photos.len() * views * width),
        width,
    };
    let mut failed = Vec::new();
    let mut done = 0;
    for_each_batch(photos.to_vec(), PHOTOS_AT_A_TIME, load, |batch| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let (mut keys, mut pixels) = (Vec::new(), Vec::new());
        for views in batch.iter().filter_map(|(_, loaded)| loaded.as_ref().ok()) {
            for (key, new) in views {
                if let Some(new) = new {
                    keys.push(*key);
                    pixels.extend_from_slice(new);
                }
            }
        }
        cache.insert(&keys, &tower.forward(&pixels, keys.len())?)?;
        for (path, loaded) in batch {
            done += 1;
            let rows = loaded.and_then(|views| known_rows(&cache, &path, &views));
            match rows {
                Ok(rows) => features.values.extend(rows),
                Err(error) => {
                    features
                        .values
                        .resize(features.values.len() + views * width, 0.0);
                    failed.push(FailedPhoto { path, error });
                }
            }
        }
        progress.advanced(Stage::Photos, done, photos.len());
        Ok(())
    })?;
    Ok((features, failed))
}

/// The key of each view, with its pixels where its features are not known.
type Views = Vec<(Key, Option<Vec<f32>>)>;

fn load_views(
    path: &Path,
    views: usize,
    tower: &OnnxImageTower,
    known: &HashSet<Key>,
    memory: &LoadingMemory,
) -> Result<Views> {
    let limits = Limits::default();
    memory.read(path, &limits, |bytes| {
        let keys: Vec<Key> = (0..views).map(|view| key_of(bytes, view)).collect();
        if keys.iter().all(|key| known.contains(key)) {
            return Ok(keys.into_iter().map(|key| (key, None)).collect());
        }
        memory.decode(bytes, path, &limits, None, |photo| {
            let pixels = |view| match known.contains(&keys[view]) {
                true => Ok(None),
                false => view_of(&photo, view, &keys[view])
                    .map(|view| Some(tower.preprocess().apply(&view))),
            };
            (0..views)
                .map(|view| Ok((keys[view], pixels(view)?)))
                .collect()
        })
    })
}

/// View 0 is the photo, view 1 its mirror image; each further one is a part of at least two
/// thirds of either edge, mirrored where its number is odd. The key decides which part.
fn view_of(photo: &RgbImage, view: usize, key: &Key) -> Result<RgbImage> {
    const SMALLEST_SHARE: f64 = 2.0 / 3.0;

    let part = if view < 2 {
        photo.clone()
    } else {
        let seed = key.iter().fold(0, |seed: u64, &byte| {
            seed << 8 ^ seed >> 56 ^ u64::from(byte)
        });
        let random = RandomStream::new(&[seed]);
        let share = SMALLEST_SHARE + (1.0 - SMALLEST_SHARE) * random.uniform(0);
        let edge = |edge: u32| ((f64::from(edge) * share).round() as u32).clamp(1, edge);
        let (width, height) = (edge(photo.width()), edge(photo.height()));
        let start =
            |index, edge: u32, part: u32| random.below(index, (edge - part) as usize + 1) as u32;
        let (left, top) = (
            start(1, photo.width(), width),
            start(2, photo.height(), height),
        );
        photo.cropped(left, top, width, height)?
    };
    Ok(if view % 2 == 1 { part.mirrored() } else { part })
}

fn known_rows(cache: &FeatureCache, path: &Path, views: &Views) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    for (key, _) in views {
        rows.extend_from_slice(cache.get(key).unwrap_or_default());
    }
    if rows.iter().all(|value| value.is_finite()) {
        return Ok(rows);
    }
    Err(Error::model(
        path,
        "the image tower makes features of it that are no numbers",
    ))
}

/// The features of `captions`, in order.
pub(super) fn text_features(
    tower: &Described<TextTowerDescription>,
    captions: &[&str],
    cache: Option<&Path>,
    progress: &mut dyn AlignProgress,
    stop: &AtomicBool,
) -> Result<Features> {
    let Described {
        folder,
        description,
    } = tower;
    let described = serde_json::to_vec(description)
        .map_err(|error| Error::Usage(format!("a tower's description: {error}")))?;
    let tower_fingerprint = fingerprint(&[
        &described,
        &folder.bytes(&description.file)?,
        &folder.bytes(&description.tokenizer)?,
    ]);
    let tower = OnnxTextTower::open(
        folder,
        &description.file,
        &description.tokenizer,
        description.options.clone(),
    )?;
    let width = tower.width();
    let mut cache = FeatureCache::open(cache, &tower_fingerprint, width)?;
    let mut features = Features {
        values: Vec::with_capacity(captions.len() * width),
        width,
    };
    for chunk in captions.chunks(CAPTIONS_AT_A_TIME) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let key = |caption: &str| key_of(caption.as_bytes(), 0);
        let new: Vec<&str> = chunk
            .iter()
            .copied()
            .filter(|caption| cache.get(&key(caption)).is_none())
            .collect();
        let keys: Vec<Key> = new.iter().map(|caption| key(caption)).collect();
        cache.insert(&keys, &tower.forward(&new)?)?;
        for caption in chunk {
            let row = cache.get(&key(caption)).unwrap_or_default();
            if row.len() != width || !row.iter().all(|value| value.is_finite()) {
                let message = format!("its features of `{caption}` are no numbers");
                return Err(Error::model(folder.path(&description.file), message));
            }
            features.values.extend_from_slice(row);
        }
        progress.advanced(
            Stage::Captions,
            features.values.len() / width,
            captions.len(),
        );
    }
    Ok(features)
}
