//! Captioners that `decap make` makes, and where they are found by their names.

use std::io::Read;
use std::path::{Path, PathBuf};

use decap::model::MODEL_FILE;
use decap::weights::Folder;
use decap::{Error, Result};
use flate2::read::GzDecoder;

use crate::cache::models_folder;

/// A captioner that can be made.
pub struct Makeable {
    /// Its name for `--model`.
    pub name: &'static str,
    /// The encoder's id on the Hugging Face Hub.
    pub encoder: &'static str,
    /// What is downloaded, where the Hub's cache lacks it.
    pub download: &'static str,
    /// The licence of the encoder's weights.
    pub licence: &'static str,
}

/// All of them, the one for most people first.
pub const MAKEABLE: &[Makeable] = &[
    Makeable {
        name: "clip-b32",
        encoder: "openai/clip-vit-base-patch32",
        download: "605 MB",
        licence: "MIT",
    },
    Makeable {
        name: "clip-l14",
        encoder: "openai/clip-vit-large-patch14",
        download: "1.7 GB",
        licence: "MIT",
    },
    Makeable {
        name: "siglip-b16",
        encoder: "Xenova/siglip-base-patch16-224",
        download: "813 MB",
        licence: "Apache-2.0",
    },
];

/// Captions of COCO, a line each, less those of the photos that decap's own figures are measured on.
const COCO_CAPTIONS: &[u8] = include_bytes!("../data/coco-captions.txt.gz");

/// The captions that captioners are made of where none are given.
///
/// # Errors
/// [`Error::Model`] where the program itself is damaged.
pub fn coco_captions() -> Result<Vec<String>> {
    let mut text = String::new();
    GzDecoder::new(COCO_CAPTIONS)
        .read_to_string(&mut text)
        .map_err(|error| Error::model("decap", format!("its captions of COCO: {error}")))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Where the captioner called `name` is, or will be.
///
/// # Errors
/// As [`models_folder`].
pub fn folder_of(name: &str) -> Result<PathBuf> {
    Ok(models_folder()?.join(name))
}

/// The captioner that was made under the name `reference`; nothing where that is no such name.
///
/// # Errors
/// [`Error::Unavailable`] where it can be made, and is not yet.
pub fn find(reference: &str) -> Result<Option<Folder>> {
    if !is_name(reference) || Path::new(reference).exists() {
        return Ok(None);
    }
    let folder = folder_of(reference).ok().map(Folder::disk);
    if let Some(folder) = folder.filter(|folder| folder.contains(MODEL_FILE)) {
        return Ok(Some(folder));
    }
    match MAKEABLE.iter().any(|known| known.name == reference) {
        true => Err(Error::Unavailable(format!(
            "`{reference}` is not made yet: `decap make {reference}` makes it"
        ))),
        false => Ok(None),
    }
}

/// Whether `text` may name a captioner: it is no path, and no id of the Hub.
pub fn is_name(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_of_coco_are_sentences() {
        let captions = coco_captions().unwrap();
        assert_eq!(captions.len(), 88_141);
        assert!(captions.iter().all(|caption| caption.contains(' ')));
    }

    #[test]
    fn names_are_no_paths_and_no_ids() {
        for name in ["clip-b32", "my.model_2"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", ".", "..", "a/b", "owner/name", "a b", "hf:a"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
