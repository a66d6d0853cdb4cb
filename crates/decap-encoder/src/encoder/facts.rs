//! What an encoder is, for people and programs: `model info`.

use std::fmt;

use serde::Serialize;

use super::clip::{Clip, ClipDescription};
use super::open::{Place, PlaceSource};
use super::reference::EncoderReference;
use super::{ENCODER_FILE, EncoderDescription, ImageTower, ImageViews, OnnxImageTower, onnx};
use crate::error::Result;
use crate::grouped::grouped;
use crate::places::Places;
use crate::weights::{Folder, Tensors};

/// The facts of an encoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum EncoderFacts {
    /// Of a CLIP that runs on our own kernels.
    Clip(ClipDescription),
    /// Of ONNX towers.
    Onnx(OnnxFacts),
}

/// The facts of an encoder of ONNX towers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnnxFacts {
    /// A name for people.
    pub name: String,
    /// `ONNX export` as it lies on the Hub, or `ONNX towers` of an `encoder.json`.
    pub form: String,
    /// Weights of all towers and heads.
    pub parameters: usize,
    /// Width of an embedding.
    pub width: usize,
    /// The softmax temperature that suits projections in this space.
    pub tau: f32,
    /// The image towers; their features are concatenated.
    pub image_towers: Vec<OnnxImageFacts>,
    /// The views of a photo that are averaged.
    pub image_views: ImageViews,
    /// The text tower.
    pub text_tower: OnnxTextFacts,
    /// The file of what leads from the towers' features into the shared space, where there is one.
    pub heads: Option<String>,
    /// Tells encoders apart.
    pub fingerprint: String,
}

/// The facts of an ONNX image tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnnxImageFacts {
    /// Its file.
    pub file: String,
    /// Its weights.
    pub parameters: usize,
    /// Edge of the square photo in pixels.
    pub image_size: u32,
    /// Features a photo.
    pub features: usize,
}

/// The facts of an ONNX text tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnnxTextFacts {
    /// Its file.
    pub file: String,
    /// Its weights.
    pub parameters: usize,
    /// Most tokens of a text.
    pub max_tokens: usize,
}

impl EncoderFacts {
    /// The facts of the encoder that `reference` names, as [`open`](super::open) finds it.
    ///
    /// # Errors
    /// As [`open`](super::open).
    pub fn of(reference: &str, places: &dyn Places) -> Result<Self> {
        Self::at(&Place::named(reference, places)?)
    }

    /// The facts of the encoder in `folder`, or of the model in `folder`.
    ///
    /// # Errors
    /// As [`open_folder`](super::open_folder).
    pub fn of_folder(folder: &Folder, places: &dyn Places) -> Result<Self> {
        Self::at(&Place::within(folder, places)?)
    }

    /// The facts of the encoder that the model in `folder` was made with.
    ///
    /// # Errors
    /// As [`open_for_model`](super::open_for_model).
    pub fn for_model(
        reference: &EncoderReference,
        folder: &Folder,
        places: &dyn Places,
    ) -> Result<Self> {
        Self::at(&Place::for_model(reference, folder, places)?)
    }

    fn at(place: &Place) -> Result<Self> {
        let (facts, fingerprint) = match &place.source {
            PlaceSource::Clip(path) => {
                let clip = Clip::open(path)?;
                (Self::Clip(clip.description()?), clip.fingerprint()?)
            }
            PlaceSource::Onnx(folder, description) => (
                Self::Onnx(OnnxFacts::read(folder, description)?),
                description.fingerprint.as_str().into(),
            ),
        };
        place.check(facts.name(), &fingerprint)?;
        Ok(facts)
    }

    /// A name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Clip(facts) => &facts.name,
            Self::Onnx(facts) => &facts.name,
        }
    }

    /// Tells encoders apart.
    pub fn fingerprint(&self) -> &str {
        match self {
            Self::Clip(facts) => &facts.fingerprint,
            Self::Onnx(facts) => &facts.fingerprint,
        }
    }
}

impl OnnxFacts {
    /// Loads each tower to count its weights.
    fn read(folder: &Folder, description: &EncoderDescription) -> Result<Self> {
        let mut image_towers = Vec::new();
        for tower in &description.image_towers {
            let opened = OnnxImageTower::open(folder, &tower.file, tower.options.clone())?;
            image_towers.push(OnnxImageFacts {
                file: tower.file.clone(),
                parameters: opened.parameters(),
                image_size: opened.preprocess().size,
                features: opened.width(),
            });
        }
        let text_tower = OnnxTextFacts {
            file: description.text_tower.file.clone(),
            parameters: onnx::parameters(folder, &description.text_tower.file)?,
            max_tokens: description.text_tower.options.max_tokens,
        };
        let mut width = image_towers.iter().map(|tower| tower.features).sum();
        let mut of_heads = 0;
        if let Some(file) = &description.heads {
            let tensors = Tensors::read(folder.path(file), folder.bytes(file)?)?;
            width = super::Head::read(&tensors, "image")?.width();
            let shapes = tensors.names().into_iter().filter_map(|name| {
                let tensor = tensors.get(name).ok()?;
                Some(tensor.shape.iter().product::<usize>())
            });
            of_heads = shapes.sum();
        }
        let of_images: usize = image_towers.iter().map(|tower| tower.parameters).sum();
        let form = match folder.contains(ENCODER_FILE) {
            true => "ONNX towers",
            false => "ONNX export",
        };
        Ok(Self {
            name: description.name.clone(),
            form: form.to_owned(),
            parameters: of_images + text_tower.parameters + of_heads,
            width,
            tau: description.tau,
            image_towers,
            image_views: description.image_views,
            text_tower,
            heads: description.heads.clone(),
            fingerprint: description.fingerprint.clone(),
        })
    }
}

impl fmt::Display for EncoderFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clip(facts) => facts.fmt(f),
            Self::Onnx(facts) => facts.fmt(f),
        }
    }
}

impl fmt::Display for OnnxFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name         {}", self.name)?;
        writeln!(f, "form         {}", self.form)?;
        writeln!(f, "parameters   {}", grouped(self.parameters))?;
        writeln!(f, "embedding    {} wide, tau {}", self.width, self.tau)?;
        for tower in &self.image_towers {
            writeln!(
                f,
                "image tower  {}: {} parameters, {} px to {} features",
                tower.file,
                grouped(tower.parameters),
                tower.image_size,
                tower.features
            )?;
        }
        if self.image_views == ImageViews::Mirrored {
            writeln!(f, "image views  plain and mirrored, averaged")?;
        }
        let text = &self.text_tower;
        writeln!(
            f,
            "text tower   {}: {} parameters, up to {} tokens",
            text.file,
            grouped(text.parameters),
            text.max_tokens
        )?;
        if let Some(file) = &self.heads {
            writeln!(f, "heads        {file}")?;
        }
        write!(f, "fingerprint  {}", self.fingerprint)
    }
}
