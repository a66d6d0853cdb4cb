//! An encoder from what it is called: a folder, a model's folder, the bundled one.

use std::path::Path;
use std::sync::Arc;

use super::clip::Clip;
use super::description::{ENCODER_FILE, EncoderDescription, TextTowerDescription};
use super::onnx::{self, OnnxImageTower, OnnxTextTower};
use super::{Encoder, EncoderParts, Head, ImageTower, TextTower};
use crate::error::{Error, Result};
#[cfg(feature = "hub")]
use crate::hub::{Hub, HubOptions, HubReference};
use crate::model::{EncoderReference, MODEL_FILE, ModelDescription};
use crate::precision::Precision;
use crate::tokenizer::Tokenizer;
use crate::weights::{Folder, Tensors};

/// The name of the bundled model and of its encoder.
pub const BUNDLED: &str = "tiny";

/// The folder within a model's in which it may carry its encoder.
const WITHIN_MODEL: &str = "encoder";

/// Opens the encoder that `reference` names: `tiny`, an encoder's folder, a model's folder, or a
/// CLIP's folder or file.
///
/// # Errors
/// [`Error::Io`] where there is no such folder, [`Error::Model`] where it holds no sound encoder.
pub fn open(reference: &str) -> Result<Arc<Encoder>> {
    open_with(reference, Precision::F32)
}

/// As [`open`], to compute in `precision`.
///
/// # Errors
/// As [`open`].
pub fn open_with(reference: &str, precision: Precision) -> Result<Arc<Encoder>> {
    let path = Path::new(reference);
    if path.is_file() {
        return open_clip(path, precision);
    }
    open_folder_with(&find_folder(reference)?, precision)
}

/// Opens the encoder in `folder`, or of the model in `folder`.
///
/// # Errors
/// As [`open`].
pub fn open_folder(folder: &Folder) -> Result<Arc<Encoder>> {
    open_folder_with(folder, Precision::F32)
}

/// As [`open_folder`], to compute in `precision`.
///
/// # Errors
/// As [`open`].
pub fn open_folder_with(folder: &Folder, precision: Precision) -> Result<Arc<Encoder>> {
    if folder.contains(ENCODER_FILE) {
        let encoder = open_towers(folder, EncoderDescription::read(folder)?)?;
        return Ok(Arc::new(encoder.opening_photos_in(precision)));
    }
    if folder.contains(MODEL_FILE) {
        let reference = ModelDescription::read(folder)?.encoder;
        return open_for_model(&reference, folder, precision);
    }
    if onnx::is_export(folder) && !Clip::has_weights(folder) {
        let encoder = open_towers(folder, onnx::describe_export(folder)?)?;
        return Ok(Arc::new(encoder.opening_photos_in(precision)));
    }
    if let Folder::Disk(path) = folder
        && Clip::is_clip(folder)
    {
        return open_clip(path, precision);
    }
    Err(Error::model(
        folder.path(""),
        format!(
            "expected an encoder ({ENCODER_FILE}), a CLIP (config.json, open_clip_config.json), an \
             ONNX export ({}) or a model ({MODEL_FILE}), found none",
            onnx::EXPORTED_IMAGE_TOWER
        ),
    ))
}

/// Opens the encoder that the model in `folder` was made with.
///
/// # Errors
/// As [`open`]; [`Error::Mismatch`] where another encoder is found at that place.
pub fn open_for_model(
    reference: &EncoderReference,
    folder: &Folder,
    precision: Precision,
) -> Result<Arc<Encoder>> {
    let within = folder.folder(WITHIN_MODEL);
    let encoder = match folder {
        _ if within.contains(ENCODER_FILE) => open_folder_with(&within, precision)?,
        Folder::Disk(path) if path.join(&reference.reference).is_dir() => {
            open_folder_with(&Folder::disk(path.join(&reference.reference)), precision)?
        }
        _ => open_with(&reference.reference, precision)?,
    };
    if encoder.fingerprint() != reference.fingerprint {
        return Err(Error::Mismatch(format!(
            "{}: expected encoder `{}` ({:.12}), found `{}` ({:.12}) at `{}`",
            folder.path(MODEL_FILE).display(),
            reference.name,
            reference.fingerprint,
            encoder.name(),
            encoder.fingerprint(),
            reference.reference,
        )));
    }
    Ok(encoder)
}

/// The folder that `reference` names: the bundled model for `tiny`, a folder on disk, or (with the
/// `hub` feature) a repository of the Hugging Face Hub as `owner/name` or `owner/name@revision`.
///
/// # Errors
/// [`Error::Io`] where there is none.
pub fn find_folder(reference: &str) -> Result<Folder> {
    let path = Path::new(reference);
    if path.is_dir() {
        return Ok(Folder::disk(path));
    }
    #[cfg(feature = "bundled")]
    if reference == BUNDLED {
        return Ok(crate::bundled::model());
    }
    if reference == BUNDLED {
        let message = "this build carries no bundled model: name a model folder";
        return Err(Error::Unavailable(message.to_owned()));
    }
    #[cfg(feature = "hub")]
    if !path.exists()
        && let Some(wanted) = HubReference::parse(reference)
    {
        let hub = Hub::new(HubOptions::from_environment()?);
        return hub.pull(&wanted, &mut |_| {}).map(Folder::disk);
    }
    let kind = match path.exists() {
        true => std::io::ErrorKind::NotADirectory,
        false => std::io::ErrorKind::NotFound,
    };
    Err(Error::io(path, kind.into()))
}

fn open_clip(path: &Path, precision: Precision) -> Result<Arc<Encoder>> {
    let encoder = Clip::open(path)?.with_precision(precision).into_encoder()?;
    Ok(Arc::new(encoder.with_precision(precision)))
}

fn open_towers(folder: &Folder, description: EncoderDescription) -> Result<Encoder> {
    let mut image_towers: Vec<Arc<dyn ImageTower>> = Vec::new();
    for tower in &description.image_towers {
        image_towers.push(Arc::new(OnnxImageTower::open(
            folder,
            &tower.file,
            tower.options.clone(),
        )?));
    }
    let features = image_towers.iter().map(|tower| tower.width()).sum();
    let (image_head, text_head) = match &description.heads {
        None => (
            Head::Identity { width: features },
            Head::Identity { width: features },
        ),
        Some(file) => {
            let tensors = Tensors::read(folder.path(file), folder.bytes(file)?)?;
            (
                Head::read(&tensors, "image")?,
                Head::read(&tensors, "text")?,
            )
        }
    };
    let (tower_folder, text_tower) = (folder.clone(), description.text_tower);
    let (tokenizer_folder, tokenizer) = (folder.clone(), text_tower.tokenizer.clone());
    Encoder::new(EncoderParts {
        name: description.name,
        fingerprint: description.fingerprint,
        image_towers,
        image_head,
        image_views: description.image_views,
        open_text_tower: Box::new(move || {
            let TextTowerDescription {
                file,
                tokenizer,
                options,
            } = &text_tower;
            let tower = OnnxTextTower::open(&tower_folder, file, tokenizer, options.clone())?;
            Ok(Arc::new(tower) as Arc<dyn TextTower>)
        }),
        text_head,
        open_tokenizer: Box::new(move || {
            let path = tokenizer_folder.path(&tokenizer);
            Tokenizer::read(&path, &tokenizer_folder.bytes(&tokenizer)?)
        }),
        tau: description.tau,
    })
}
