//! An encoder from what it is called: a folder, a model's folder, the bundled one.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::clip::Clip;
use super::onnx::{OnnxImageOptions, OnnxImageTower, OnnxTextOptions, OnnxTextTower};
use super::{Encoder, EncoderParts, Head, ImageTower, ImageViews, REFERENCE_TAU, TextTower};
use crate::error::{Error, Result};
#[cfg(feature = "hub")]
use crate::hub::{Hub, HubOptions, HubReference};
use crate::model::{EncoderReference, MODEL_FILE, ModelDescription};
use crate::precision::Precision;
use crate::tokenizer::Tokenizer;
use crate::weights::{Folder, Tensors};

/// The file that makes a folder an encoder of ONNX towers and learned heads.
pub const ENCODER_FILE: &str = "encoder.json";
/// The name of the bundled model and of its encoder.
pub const BUNDLED: &str = "tiny";

const FORMAT: &str = "decap-encoder";
const FORMAT_VERSION: u32 = 1;
/// The folder within a model's in which it may carry its encoder.
const WITHIN_MODEL: &str = "encoder";

/// What `encoder.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderDescription {
    format: String,
    format_version: u32,
    /// A name for people.
    pub name: String,
    /// Hash of this description and all files it names: [`EncoderDescription::seal`].
    pub fingerprint: String,
    /// The image towers; their features are concatenated.
    pub image_towers: Vec<ImageTowerDescription>,
    /// The views of a photo that are averaged.
    #[serde(default)]
    pub image_views: ImageViews,
    /// The text tower.
    pub text_tower: TextTowerDescription,
    /// The softmax temperature that suits projections in this space.
    #[serde(default = "reference_tau")]
    pub tau: f32,
    /// The file with the heads, where the towers do not end in one space by themselves.
    pub heads: Option<String>,
}

/// An ONNX image tower and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageTowerDescription {
    /// The ONNX file, relative to the description.
    pub file: String,
    /// Outputs, pooling, preprocessing.
    #[serde(flatten)]
    pub options: OnnxImageOptions,
}

/// An ONNX text tower and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextTowerDescription {
    /// The ONNX file, relative to the description.
    pub file: String,
    /// Its `tokenizer.json`, relative to the description.
    pub tokenizer: String,
    /// Output, pooling, lengths.
    #[serde(flatten)]
    pub options: OnnxTextOptions,
}

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
        let encoder = open_described(folder)?.opening_photos_in(precision);
        return Ok(Arc::new(encoder));
    }
    if folder.contains(MODEL_FILE) {
        let reference = ModelDescription::read(folder)?.encoder;
        return open_for_model(&reference, folder, precision);
    }
    if let Folder::Disk(path) = folder
        && Clip::is_clip(folder)
    {
        return open_clip(path, precision);
    }
    Err(Error::model(
        folder.path(""),
        format!(
            "expected an encoder ({ENCODER_FILE}), a CLIP (config.json, open_clip_config.json) or \
             a model ({MODEL_FILE}), found none"
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
        return hub.encoder(&wanted, &mut |_| {}).map(Folder::disk);
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

fn open_described(folder: &Folder) -> Result<Encoder> {
    let description = EncoderDescription::read(folder)?;
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

fn reference_tau() -> f32 {
    REFERENCE_TAU
}

impl EncoderDescription {
    /// A description in the current format, not yet sealed.
    pub fn new(
        name: impl Into<String>,
        image_towers: Vec<ImageTowerDescription>,
        text_tower: TextTowerDescription,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            name: name.into(),
            fingerprint: String::new(),
            image_towers,
            image_views: ImageViews::default(),
            text_tower,
            tau: REFERENCE_TAU,
            heads: None,
        }
    }

    /// Reads `encoder.json`.
    ///
    /// # Errors
    /// [`Error::Io`] where it is not there, [`Error::Model`] where it is not valid or of a future
    /// format version.
    pub fn read(folder: &Folder) -> Result<Self> {
        crate::model::check_format(folder, ENCODER_FILE, FORMAT, FORMAT_VERSION)?;
        folder.json(ENCODER_FILE)
    }

    /// Sets the fingerprint: SHA-256 over the description and every file it names.
    ///
    /// It is stored rather than computed at each start, so that opening a large encoder does not
    /// read all of it; files that are changed by hand afterwards are not noticed.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is not there.
    pub fn seal(&mut self, folder: &Folder) -> Result<()> {
        self.fingerprint.clear();
        let mut hasher = Sha256::new();
        let described = serde_json::to_vec(self)
            .map_err(|error| Error::model(folder.path(ENCODER_FILE), error.to_string()))?;
        hasher.update(described);
        for file in self.files() {
            hasher.update(Sha256::digest(&*folder.bytes(&file)?));
        }
        self.fingerprint = hexadecimal(&hasher.finalize());
        Ok(())
    }

    /// The files that the description names, relative to its folder.
    pub fn files(&self) -> Vec<String> {
        let towers = self.image_towers.iter().map(|tower| tower.file.clone());
        let text = [
            self.text_tower.file.clone(),
            self.text_tower.tokenizer.clone(),
        ];
        towers.chain(text).chain(self.heads.clone()).collect()
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
