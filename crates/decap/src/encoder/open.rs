//! An encoder from what it is called: a folder, a model's folder, the bundled one.

use std::path::{Path, PathBuf};
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

/// Models that may stand between a reference and its encoder: a model names the model that it took
/// its encoder from, and a folder that names itself must come to an end.
const MAX_MODELS: usize = 8;

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
    Place::named(reference)?.open(precision)
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
    Place::within(folder)?.open(precision)
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
    Place::for_model(reference, folder)?.open(precision)
}

/// What an encoder is opened from.
pub(super) struct Place {
    pub(super) source: PlaceSource,
    /// The models on the way to it, the nearest to the encoder first: each says which encoder it
    /// expects.
    expected: Vec<(PathBuf, EncoderReference)>,
}

/// The files of an encoder.
pub(super) enum PlaceSource {
    /// A CLIP's folder or file.
    Clip(PathBuf),
    /// ONNX towers and what describes them.
    Onnx(Folder, Box<EncoderDescription>),
}

impl Place {
    /// As [`open`].
    pub(super) fn named(reference: &str) -> Result<Self> {
        Self::named_by(reference, 0)
    }

    /// As [`open_folder`].
    pub(super) fn within(folder: &Folder) -> Result<Self> {
        Self::below(folder, 0)
    }

    /// As [`open_for_model`].
    pub(super) fn for_model(reference: &EncoderReference, folder: &Folder) -> Result<Self> {
        Self::of_model(reference, folder, 1)
    }

    fn named_by(reference: &str, models: usize) -> Result<Self> {
        let path = Path::new(reference);
        if path.is_file() {
            return Ok(PlaceSource::Clip(path.to_owned()).into());
        }
        Self::below(&find_folder(reference)?, models)
    }

    fn below(folder: &Folder, models: usize) -> Result<Self> {
        if folder.contains(ENCODER_FILE) {
            let description = EncoderDescription::read(folder)?;
            return Ok(PlaceSource::Onnx(folder.clone(), Box::new(description)).into());
        }
        if folder.contains(MODEL_FILE) {
            let reference = ModelDescription::read(folder)?.encoder;
            return Self::of_model(&reference, folder, models + 1);
        }
        if onnx::is_export(folder) && !Clip::has_weights(folder) {
            let description = onnx::describe_export(folder)?;
            return Ok(PlaceSource::Onnx(folder.clone(), Box::new(description)).into());
        }
        if let Folder::Disk(path) = folder
            && Clip::is_clip(folder)
        {
            return Ok(PlaceSource::Clip(path.clone()).into());
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

    /// As [`open_for_model`]; `models` counts the models on the way here.
    fn of_model(reference: &EncoderReference, folder: &Folder, models: usize) -> Result<Self> {
        let model = folder.path(MODEL_FILE);
        if models > MAX_MODELS {
            return Err(Error::model(
                model,
                format!(
                    "`encoder.reference`: expected an encoder, got `{}`, another model, {MAX_MODELS} \
                     times over",
                    reference.reference
                ),
            ));
        }
        let within = folder.folder(WITHIN_MODEL);
        let mut place = match folder {
            _ if within.contains(ENCODER_FILE) => Self::below(&within, models)?,
            Folder::Disk(path) if path.join(&reference.reference).is_dir() => {
                Self::below(&Folder::disk(path.join(&reference.reference)), models)?
            }
            Folder::Disk(path) if path.join(&reference.reference).is_file() => {
                PlaceSource::Clip(path.join(&reference.reference)).into()
            }
            _ => Self::named_by(&reference.reference, models)?,
        };
        place.expected.push((model, reference.clone()));
        Ok(place)
    }

    fn open(self, precision: Precision) -> Result<Arc<Encoder>> {
        let encoder = match self.source {
            PlaceSource::Clip(path) => {
                let encoder = Clip::open(&path)?
                    .with_precision(precision)
                    .into_encoder()?;
                encoder.with_precision(precision)
            }
            PlaceSource::Onnx(folder, description) => {
                open_towers(&folder, *description)?.opening_photos_in(precision)
            }
        };
        check_expected(&self.expected, encoder.name(), encoder.fingerprint())?;
        Ok(Arc::new(encoder))
    }

    /// Refuses the encoder of this name and fingerprint where a model expects another.
    pub(super) fn check(&self, name: &str, fingerprint: &str) -> Result<()> {
        check_expected(&self.expected, name, fingerprint)
    }
}

impl From<PlaceSource> for Place {
    fn from(source: PlaceSource) -> Self {
        Self {
            source,
            expected: Vec::new(),
        }
    }
}

fn check_expected(
    expected: &[(PathBuf, EncoderReference)],
    name: &str,
    fingerprint: &str,
) -> Result<()> {
    for (model, reference) in expected {
        if fingerprint != reference.fingerprint {
            return Err(Error::Mismatch(format!(
                "{}: expected encoder `{}` ({:.12}), found `{name}` ({fingerprint:.12}) at `{}`; \
                 put the expected one there, or make the model again with the one that is there",
                model.display(),
                reference.name,
                reference.fingerprint,
                reference.reference,
            )));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The tiny CLIP of the tests.
    fn clip() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip/hugging_face")
    }

    /// Writes the description of a model that was made with the encoder at `reference`.
    fn write_model(folder: &Path, reference: &str, fingerprint: &str) {
        let encoder = EncoderReference {
            reference: reference.to_owned(),
            name: "clip".to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        let description = ModelDescription::new("model", encoder, 0.01);
        std::fs::create_dir_all(folder).unwrap();
        description.write(folder).unwrap();
    }

    #[test]
    fn an_encoder_is_found_by_way_of_models() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let fingerprint = Clip::open(&clip()).unwrap().fingerprint().unwrap();
        write_model(&first, &clip().to_string_lossy(), &fingerprint);
        // Relative to the model's own folder.
        write_model(&second, "../first", &fingerprint);
        let encoder = open(&second.to_string_lossy()).unwrap();
        assert_eq!(encoder.fingerprint(), fingerprint);
        write_model(&first, &clip().to_string_lossy(), "another");
        let error = open(&second.to_string_lossy()).err().unwrap();
        assert_eq!(error.kind(), "mismatch");
        assert!(
            error
                .to_string()
                .contains("first/model.json: expected encoder `clip` (another)"),
            "{error}"
        );
    }

    #[test]
    fn a_file_of_weights_is_found_beside_its_model() {
        let folder = tempfile::tempdir().unwrap();
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip/openai/model.pt");
        let fingerprint = Clip::open(&weights).unwrap().fingerprint().unwrap();
        std::fs::copy(&weights, folder.path().join("clip.pt")).unwrap();
        write_model(folder.path(), "clip.pt", &fingerprint);
        let encoder = open(&folder.path().to_string_lossy()).unwrap();
        assert_eq!(encoder.fingerprint(), fingerprint);
    }

    #[test]
    fn models_that_name_each_other_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        write_model(&first, "../second", "0");
        write_model(&second, "../first", "0");
        let error = open(&first.to_string_lossy()).err().unwrap();
        assert_eq!(error.kind(), "model");
        assert!(
            error.to_string().contains("another model, 8 times over"),
            "{error}"
        );
        write_model(&first, ".", "0");
        assert!(open(&first.to_string_lossy()).is_err());
    }
}
