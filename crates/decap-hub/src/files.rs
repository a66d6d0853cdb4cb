//! Which files of a repository are wanted: descriptions first, then the weights that they ask for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use serde::Deserialize;

use decap::encoder::clip::ClipConfig;
use decap::encoder::{ENCODER_FILE, EXPORT_FILES, EncoderDescription};
use decap::model::MODEL_FILE;
use decap::weights::Folder;
use decap::{Error, Result};

/// Files that say what the weights are and how they are used, taken where they are there.
const DESCRIPTIONS: &[&str] = &[
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    ENCODER_FILE,
    MODEL_FILE,
];

/// What a model of ours cannot do without.
const MODEL_FILES: &[&str] = &[
    "decoder.json",
    "captions.txt",
    "memory.safetensors",
    "decoder.safetensors",
];

/// Within a model's repository, its encoder.
const ENCODER_OF_MODEL: &str = "encoder/";

/// Weights of a CLIP in the order of preference; the first that is there is taken.
const WEIGHTS: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
];

/// Most files that are fetched: the largest encoders come in a hundred parts.
const MAX_FILES: usize = 1000;

/// Calls `get` for each wanted one of the files `names`; once it returns, the file lies in
/// `snapshot`. The repository is refused before its weights are got where its descriptions say that
/// they cannot be used.
///
/// # Errors
/// What `get` returns; [`Error::Model`] where the files make no encoder and no model.
pub(super) fn for_each_wanted(
    names: &[String],
    snapshot: &Path,
    mut get: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut left = MAX_FILES;
    let mut get = |file: &str| {
        left = left.checked_sub(1).ok_or_else(|| {
            let message = format!("expected an encoder of at most {MAX_FILES} files, got more");
            Error::model(snapshot, message)
        })?;
        get(file)
    };
    let has = |name: &str| names.iter().any(|other| other == name);
    for name in DESCRIPTIONS.iter().filter(|name| has(name)) {
        get(name)?;
    }
    if has(MODEL_FILE) {
        // The encoder's files come before the decoder, which counts as the last.
        let of_encoder = names.iter().map(String::as_str);
        let of_encoder = of_encoder.filter(|name| name.starts_with(ENCODER_OF_MODEL));
        return of_encoder
            .chain(MODEL_FILES.iter().copied())
            .try_for_each(&mut get);
    }
    if has(ENCODER_FILE) {
        let path = snapshot.join(ENCODER_FILE);
        let description: EncoderDescription = read_json(&path)?;
        return plain(&path, description.files())?
            .iter()
            .try_for_each(|name| get(name));
    }
    let native = WEIGHTS.iter().copied().find(|name| has(name));
    let is_export = EXPORT_FILES.iter().all(|name| has(name));
    if let Some(weights) = native {
        match check_clip(snapshot) {
            Ok(()) => return get_clip(weights, snapshot, get),
            Err(error) if !is_export => return Err(error),
            Err(_) => {}
        }
    }
    if is_export {
        // Large networks keep their weights beside them; the network comes last.
        for name in EXPORT_FILES {
            let beside = format!("{name}_data");
            if has(&beside) {
                get(&beside)?;
            }
            get(name)?;
        }
        return Ok(());
    }
    Err(Error::model(
        snapshot,
        format!(
            "expected weights of a CLIP ({}), an ONNX export ({}), {ENCODER_FILE} or {MODEL_FILE}, \
             got none",
            WEIGHTS.join(", "),
            EXPORT_FILES.join(", ")
        ),
    ))
}

/// Whether the configuration in `snapshot` is of a CLIP that can be read.
fn check_clip(snapshot: &Path) -> Result<()> {
    let folder = Folder::disk(snapshot);
    if folder.contains("open_clip_config.json") {
        ClipConfig::read_open_clip(&folder).map(drop)
    } else {
        ClipConfig::read_hugging_face(&folder).map(drop)
    }
}

/// The file of weights, and the shards where it is an index of some.
fn get_clip(weights: &str, snapshot: &Path, mut get: impl FnMut(&str) -> Result<()>) -> Result<()> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    get(weights)?;
    if !weights.ends_with(".index.json") {
        return Ok(());
    }
    let path = snapshot.join(weights);
    let index: Index = read_json(&path)?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    plain(&path, shards)?.iter().try_for_each(|name| get(name))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::model(path, format!("not valid: {error}")))
}

/// Refuses names that leave the folder of the file at `path` that gave them.
fn plain(path: &Path, names: Vec<String>) -> Result<Vec<String>> {
    match names.iter().find(|name| !is_plain_path(name)) {
        Some(name) => Err(Error::model(
            path,
            format!("expected files beside it, got {name:?}"),
        )),
        None => Ok(names),
    }
}

/// Whether a name stays below the folder it is joined to.
pub(super) fn is_plain_path(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty()
        && !name.contains(['\\', '\0'])
        && components.all(|part| matches!(part, Component::Normal(_)))
}

/// The files below `folder`, relative to it, with `/` between; links that lead nowhere are none.
pub(super) fn files_below(folder: &Path) -> Vec<String> {
    /// Deeper than any repository that is wanted.
    const MAX_DEPTH: usize = 3;
    fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if path.is_file() {
                names.push(name);
            } else if depth < MAX_DEPTH && path.is_dir() {
                walk(&path, &format!("{name}/"), depth + 1, names);
            }
        }
    }
    let mut names = Vec::new();
    walk(folder, "", 0, &mut names);
    names.sort_unstable();
    names
}
