//! An encoder from what it is called: a folder, a model's folder, the bundled one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clip::Clip;
use super::description::{ENCODER_FILE, EncoderDescription, TextTowerDescription};
use super::fingerprint::Fingerprint;
use super::onnx::{self, OnnxImageTower, OnnxTextTower};
use super::reference::{EncoderReference, MODEL_FILE};
use super::{Encoder, EncoderParts, Head, ImageTower, TextTower};
use crate::error::{Error, Result};
use crate::places::{OpenOptions, Places};
use crate::precision::Precision;
use crate::tokenizer::Tokenizer;
use crate::weights::{Folder, Tensors};

/// The folder within a model's in which it may carry its encoder.
const WITHIN_MODEL: &str = "encoder";

/// Models that may stand between a reference and its encoder: a model names the model that it took
/// its encoder from, and a folder that names itself must come to an end.
const MAX_MODELS: usize = 8;

/// Opens the encoder that `reference` names: an encoder's folder, a model's folder, a CLIP's folder or
/// file, or what else `options.places` knows.
///
/// # Errors
/// [`Error::Io`] where there is no such folder, [`Error::Model`] where it holds no sound encoder.
pub fn open(reference: &str, options: &OpenOptions) -> Result<Arc<Encoder>> {
    Place::named(reference, &*options.places)?.open(options.precision)
}

/// Opens the encoder in `folder`, or of the model in `folder`.
///
/// # Errors
/// As [`open`].
pub fn open_folder(folder: &Folder, options: &OpenOptions) -> Result<Arc<Encoder>> {
    Place::within(folder, &*options.places)?.open(options.precision)
}

/// Opens the encoder that the model in `folder` was made with.
///
/// # Errors
/// As [`open`]; [`Error::Mismatch`] where another encoder is found at that place.
pub fn open_for_model(
    reference: &EncoderReference,
    folder: &Folder,
    options: &OpenOptions,
) -> Result<Arc<Encoder>> {
    Place::for_model(reference, folder, &*options.places)?.open(options.precision)
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
    pub(super) fn named(reference: &str, places: &dyn Places) -> Result<Self> {
        Self::named_by(reference, places, 0)
    }

    /// As [`open_folder`].
    pub(super) fn within(folder: &Folder, places: &dyn Places) -> Result<Self> {
        Self::below(folder, places, 0)
    }

    /// As [`open_for_model`].
    pub(super) fn for_model(
        reference: &EncoderReference,
        folder: &Folder,
        places: &dyn Places,
    ) -> Result<Self> {
        Self::of_model(reference, folder, places, 1)
    }

    fn named_by(reference: &str, places: &dyn Places, models: usize) -> Result<Self> {
        let path = Path::new(reference);
        if path.is_file() {
            return Ok(PlaceSource::Clip(path.to_owned()).into());
        }
        Self::below(&places.find(reference)?, places, models)
    }

    fn below(folder: &Folder, places: &dyn Places, models: usize) -> Result<Self> {
        if folder.contains(ENCODER_FILE) {
            let description = EncoderDescription::read(folder)?;
            return Ok(PlaceSource::Onnx(folder.clone(), Box::new(description)).into());
        }
        if folder.contains(MODEL_FILE) {
            let reference = EncoderReference::of_model(folder)?;
            return Self::of_model(&reference, folder, places, models + 1);
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
    fn of_model(
        reference: &EncoderReference,
        folder: &Folder,
        places: &dyn Places,
        models: usize,
    ) -> Result<Self> {
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
            _ if within.contains(ENCODER_FILE) => Self::below(&within, places, models)?,
            Folder::Disk(path) if path.join(&reference.reference).is_dir() => Self::below(
                &Folder::disk(path.join(&reference.reference)),
                places,
                models,
            )?,
            Folder::Disk(path) if path.join(&reference.reference).is_file() => {
                PlaceSource::Clip(path.join(&reference.reference)).into()
            }
            _ => Self::named_by(&reference.reference, places, models)?,
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
        check_expected(&self.expected, encoder.name(), &encoder.fingerprint)?;
        Ok(Arc::new(encoder))
    }

    /// Refuses the encoder of this name and fingerprint where a model expects another.
    pub(super) fn check(&self, name: &str, fingerprint: &Fingerprint) -> Result<()> {
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
    fingerprint: &Fingerprint,
) -> Result<()> {
    for (model, reference) in expected {
        if !fingerprint.is(&reference.fingerprint) {
            return Err(Error::Mismatch(format!(
                "{}: expected encoder `{}` ({:.12}), found `{name}` ({:.12}) at `{}`; \
                 put the expected one there, or make the model again with the one that is there",
                model.display(),
                reference.name,
                reference.fingerprint,
                fingerprint.as_str(),
                reference.reference,
            )));
        }
    }
    Ok(())
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
        fingerprint: description.fingerprint.into(),
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

    fn exact() -> OpenOptions {
        OpenOptions::default().precision(Precision::F32)
    }

    /// Writes the description of a model that was made with the encoder at `reference`.
    fn write_model(folder: &Path, reference: &str, fingerprint: &str) {
        let encoder = EncoderReference {
            reference: reference.to_owned(),
            name: "clip".to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        let model = serde_json::json!({
            "format": super::super::MODEL_FORMAT,
            "format_version": super::super::MODEL_FORMAT_VERSION,
            "encoder": encoder,
        });
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(MODEL_FILE), model.to_string()).unwrap();
    }

    #[test]
    fn an_encoder_is_found_by_way_of_models() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let fingerprint = Clip::open(&clip())
            .unwrap()
            .fingerprint()
            .unwrap()
            .to_string();
        write_model(&first, &clip().to_string_lossy(), &fingerprint);
        // Relative to the model's own folder.
        write_model(&second, "../first", &fingerprint);
        let encoder = open(&second.to_string_lossy(), &exact()).unwrap();
        assert_eq!(encoder.fingerprint(), fingerprint);
        write_model(&first, &clip().to_string_lossy(), "another");
        let error = open(&second.to_string_lossy(), &exact()).err().unwrap();
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
        let fingerprint = Clip::open(&weights)
            .unwrap()
            .fingerprint()
            .unwrap()
            .to_string();
        std::fs::copy(&weights, folder.path().join("clip.pt")).unwrap();
        write_model(folder.path(), "clip.pt", &fingerprint);
        let encoder = open(&folder.path().to_string_lossy(), &exact()).unwrap();
        assert_eq!(encoder.fingerprint(), fingerprint);
    }

    #[test]
    fn models_that_name_each_other_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        write_model(&first, "../second", "0");
        write_model(&second, "../first", "0");
        let error = open(&first.to_string_lossy(), &exact()).err().unwrap();
        assert_eq!(error.kind(), "model");
        assert!(
            error.to_string().contains("another model, 8 times over"),
            "{error}"
        );
        write_model(&first, ".", "0");
        assert!(open(&first.to_string_lossy(), &exact()).is_err());
    }
}
