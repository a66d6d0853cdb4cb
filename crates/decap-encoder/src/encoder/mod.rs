//! The frozen dual encoder: two towers, a shared space, a fingerprint.

pub mod clip;
mod deferred;
mod description;
mod facts;
mod fingerprint;
mod head;
mod onnx;
mod open;
pub mod preprocess;
mod processor;
mod reference;

pub use description::{
    ENCODER_FILE, EncoderDescription, ImageTowerDescription, TextTowerDescription,
};
pub use facts::{EncoderFacts, OnnxFacts, OnnxImageFacts, OnnxTextFacts};
pub use fingerprint::Fingerprint;
pub use head::{Head, HiddenLayer, LearnedHead};
pub use onnx::{
    EXPORT_FILES, LetterCase, OnnxImageOptions, OnnxImageTower, OnnxTextOptions, OnnxTextTower,
    Padding, Pooling,
};
pub use open::{open, open_folder, open_for_model};
pub use preprocess::{Anchor, Channels, CropRounding, Preprocess, Resize};
pub use reference::{EncoderReference, MODEL_FILE};
pub use reference::{MODEL_FORMAT, MODEL_FORMAT_VERSION};

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::digest::RunKey;
use crate::embedding::{Embedding, Embeddings};
use crate::error::{Error, Result};
use crate::media::Limits;
use crate::media::RgbImage;
use crate::media::image::{decode_to_fit, read_within};
use crate::precision::Precision;
use crate::tokenizer::Tokenizer;

pub use crate::tokenizer::TooLong;

/// A frozen network that turns pixels into features.
pub trait ImageTower: Send + Sync {
    /// How a photo becomes this tower's pixels.
    fn preprocess(&self) -> &Preprocess;

    /// Features a photo.
    fn width(&self) -> usize;

    /// The features `[batch, width]` of preprocessed pixels `[batch, 3, size, size]`.
    ///
    /// # Errors
    /// [`Error::Model`] where the network cannot run.
    fn forward(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>>;
}

/// A frozen network that turns sentences into features.
pub trait TextTower: Send + Sync {
    /// Features a sentence.
    fn width(&self) -> usize;

    /// The features `[texts, width]` of sentences, in order.
    ///
    /// # Errors
    /// [`Error::Model`] where the network cannot run.
    fn forward(&self, texts: &[&str]) -> Result<Vec<f32>>;
}

/// The ways a photo is looked at; the embeddings of the views are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageViews {
    /// As it is.
    #[default]
    Plain,
    /// As it is and mirrored: twice the work, a steadier embedding.
    Mirrored,
}

/// Opens the text tower when a sentence is first encoded: captioning photos needs none.
type OpenTextTower = Box<dyn Fn() -> Result<Arc<dyn TextTower>> + Send + Sync>;

/// Opens the tokenizer that goes with the text tower.
type OpenTokenizer = Box<dyn Fn() -> Result<Tokenizer> + Send + Sync>;

/// The reference's softmax temperature (DeCap, section 3.2).
pub const REFERENCE_TAU: f32 = 0.01;

/// Two towers and their heads: photos and sentences as unit vectors `[width]` of one space.
pub struct Encoder {
    name: String,
    fingerprint: Fingerprint,
    image_towers: Vec<Arc<dyn ImageTower>>,
    image_head: Head,
    image_views: ImageViews,
    open_text_tower: OpenTextTower,
    text_tower: Mutex<Option<Arc<dyn TextTower>>>,
    text_head: Head,
    open_tokenizer: OpenTokenizer,
    tau: f32,
    precision: Precision,
    reduces_photos: bool,
}

/// What an encoder is put together from.
pub struct EncoderParts {
    /// A name for people.
    pub name: String,
    /// Tells encoders apart: a hash of all that decides an embedding.
    pub fingerprint: Fingerprint,
    /// One or more image towers; their features are concatenated.
    pub image_towers: Vec<Arc<dyn ImageTower>>,
    /// From those features into the shared space.
    pub image_head: Head,
    /// The views of a photo.
    pub image_views: ImageViews,
    /// Opens the text tower on first use.
    pub open_text_tower: OpenTextTower,
    /// From its features into the shared space.
    pub text_head: Head,
    /// Opens the tokenizer that a decoder for this encoder learns.
    pub open_tokenizer: OpenTokenizer,
    /// The softmax temperature that suits projections in this space.
    pub tau: f32,
}

/// One photo's pixels for each image tower, each `[3, size, size]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedImage {
    pixels: Vec<Vec<f32>>,
}

impl Encoder {
    /// Puts towers and heads together.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the heads do not end in one width.
    pub fn new(parts: EncoderParts) -> Result<Self> {
        let features: usize = parts.image_towers.iter().map(|tower| tower.width()).sum();
        if parts.image_head.features() != features {
            return Err(Error::Mismatch(format!(
                "expected an image head over {features} features, got one over {}",
                parts.image_head.features()
            )));
        }
        if parts.image_head.width() != parts.text_head.width() {
            return Err(Error::Mismatch(format!(
                "expected both heads to end in one width, got {} and {}",
                parts.image_head.width(),
                parts.text_head.width()
            )));
        }
        Ok(Self {
            name: parts.name,
            fingerprint: parts.fingerprint,
            image_towers: parts.image_towers,
            image_head: parts.image_head,
            image_views: parts.image_views,
            open_text_tower: parts.open_text_tower,
            text_tower: Mutex::new(None),
            text_head: parts.text_head,
            open_tokenizer: parts.open_tokenizer,
            tau: parts.tau,
            precision: Precision::F32,
            reduces_photos: false,
        })
    }

    /// This encoder, whose towers were made for `precision`.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self.opening_photos_in(precision)
    }

    /// This encoder, which opens photos as [`Encoder::open_photo`] does in `precision`, and whose
    /// towers compute as they did: those of ONNX as their files say.
    #[must_use]
    pub fn opening_photos_in(mut self, precision: Precision) -> Self {
        self.reduces_photos = precision.reduces_photos();
        self
    }

    /// What its towers were asked to compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// A name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells encoders apart: equal only for equal encoders.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.as_str()
    }

    /// Whether `fingerprint` is this encoder's, or was it in an earlier version.
    pub fn is_known_as(&self, fingerprint: &str) -> bool {
        self.fingerprint.is(fingerprint)
    }

    /// Tells apart all that decides an embedding: this encoder, what its towers compute in and how
    /// photos are opened.
    pub fn run_key(&self) -> RunKey {
        RunKey::of(&[
            "embedding",
            self.fingerprint.as_str(),
            &format!("{:?}", self.precision.of_towers()),
            if self.reduces_photos {
                "reduced"
            } else {
                "whole"
            },
        ])
    }

    /// The width of an embedding.
    pub fn width(&self) -> usize {
        self.image_head.width()
    }

    /// The image towers.
    pub fn image_towers(&self) -> &[Arc<dyn ImageTower>] {
        &self.image_towers
    }

    /// The views of a photo that are averaged.
    pub fn image_views(&self) -> ImageViews {
        self.image_views
    }

    /// The softmax temperature that suits projections in this space.
    pub fn tau(&self) -> f32 {
        self.tau
    }

    /// The tokenizer that a decoder for this encoder learns.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Model`] where there is none, or it is damaged.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        (self.open_tokenizer)()
    }

    /// The embedding of one photo.
    ///
    /// # Errors
    /// [`Error::Model`] where a tower cannot run.
    pub fn encode_image(&self, image: &RgbImage) -> Result<Embedding> {
        let embeddings = self.encode_images(std::slice::from_ref(image))?;
        embeddings
            .get(0)
            .ok_or_else(|| Error::Usage("expected one embedding, got none".into()))
    }

    /// The embeddings `[images, width]` of photos, in order.
    ///
    /// # Errors
    /// As [`Encoder::encode_image`].
    pub fn encode_images(&self, images: &[RgbImage]) -> Result<Embeddings> {
        let prepared: Vec<_> = images.par_iter().map(|image| self.prepare(image)).collect();
        self.encode_prepared(&prepared)
    }

    /// The shorter side, in pixels, that a photo may be decoded at instead of its own: where photos are
    /// reduced, what every tower needs.
    pub fn least_side(&self) -> Option<u32> {
        let towers = self.image_towers.iter();
        let ample_side = towers.map(|tower| tower.preprocess().ample_side()).max();
        ample_side.filter(|_| self.reduces_photos)
    }

    /// Opens the photo at `path` as the towers want to see it.
    ///
    /// In all precisions but f32, a JPEG that is larger than every tower needs
    /// ([`Preprocess::ample_side`]) is decoded at 1/2, 1/4 or 1/8 of its size.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] for the photo.
    pub fn open_photo(&self, path: &Path, limits: &Limits) -> Result<PreparedImage> {
        let bytes = read_within(path, limits.file_bytes)?;
        let photo = decode_to_fit(&bytes, path, limits, self.least_side())?;
        Ok(self.prepare(&photo))
    }

    /// The pixels that the towers want to see of `image`: the part of the work that needs no
    /// network, so that it can run beside one.
    pub fn prepare(&self, image: &RgbImage) -> PreparedImage {
        let pixels = self
            .image_towers
            .iter()
            .map(|tower| tower.preprocess().apply(image));
        PreparedImage {
            pixels: pixels.collect(),
        }
    }

    /// The embeddings `[images, width]` of prepared photos, in order.
    ///
    /// # Errors
    /// As [`Encoder::encode_image`].
    pub fn encode_prepared(&self, images: &[PreparedImage]) -> Result<Embeddings> {
        let plain = self.embed_view(images, |pixels| pixels.to_vec())?;
        if self.image_views == ImageViews::Plain || images.is_empty() {
            return Ok(plain);
        }
        let sizes: Vec<usize> = self
            .image_towers
            .iter()
            .map(|tower| tower.preprocess().size as usize)
            .collect();
        let mut towers = sizes.iter().cycle();
        let mirrored = self.embed_view(images, |pixels| {
            mirror(pixels, towers.next().copied().unwrap_or(1))
        })?;
        let sums = plain
            .as_slice()
            .iter()
            .zip(mirrored.as_slice())
            .map(|(a, b)| a + b);
        Embeddings::new(sums.collect(), self.width())
    }

    /// The embeddings `[texts, width]` of sentences, in order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where this encoder has no text tower, [`Error::Model`] where the
    /// tower cannot run.
    pub fn encode_texts(&self, texts: &[&str]) -> Result<Embeddings> {
        if texts.is_empty() {
            return Ok(Embeddings::empty(self.width()));
        }
        let features = self.text_tower()?.forward(texts)?;
        Embeddings::new(self.text_head.apply(features)?, self.width())
    }

    /// The text tower, opened on first use.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where there is none, else what opening it says.
    pub fn text_tower(&self) -> Result<Arc<dyn TextTower>> {
        let mut slot = self
            .text_tower
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(tower) = &*slot {
            return Ok(Arc::clone(tower));
        }
        let tower = (self.open_text_tower)()?;
        if tower.width() != self.text_head.features() {
            return Err(Error::Mismatch(format!(
                "expected a text tower of width {}, got {}",
                self.text_head.features(),
                tower.width()
            )));
        }
        *slot = Some(Arc::clone(&tower));
        Ok(tower)
    }

    /// One view of each image through towers and head: unit vectors `[images, width]`.
    fn embed_view(
        &self,
        images: &[PreparedImage],
        mut view: impl FnMut(&[f32]) -> Vec<f32>,
    ) -> Result<Embeddings> {
        if images.is_empty() {
            return Ok(Embeddings::empty(self.width()));
        }
        let mut batches = vec![Vec::new(); self.image_towers.len()];
        for image in images {
            for (batch, pixels) in batches.iter_mut().zip(&image.pixels) {
                batch.extend(view(pixels));
            }
        }
        let features = concatenated_features(&self.image_towers, &batches, images.len())?;
        Embeddings::new(self.image_head.apply(features)?, self.width())
    }
}

/// The features `[images, sum of widths]` of several towers side by side; `batches` holds each
/// tower's pixels `[images, 3, size, size]`.
///
/// # Errors
/// [`Error::Model`] where a tower cannot run.
pub fn concatenated_features(
    towers: &[Arc<dyn ImageTower>],
    batches: &[Vec<f32>],
    images: usize,
) -> Result<Vec<f32>> {
    let mut outputs = Vec::with_capacity(towers.len());
    for (tower, pixels) in towers.iter().zip(batches) {
        outputs.push((tower.width(), tower.forward(pixels, images)?));
    }
    if let [(_, features)] = &mut outputs[..] {
        return Ok(std::mem::take(features));
    }
    let mut features = Vec::with_capacity(outputs.iter().map(|(_, values)| values.len()).sum());
    for image in 0..images {
        for (width, values) in &outputs {
            features.extend_from_slice(&values[image * width..(image + 1) * width]);
        }
    }
    Ok(features)
}

/// Mirrors planes `[3, size, size]` left to right.
pub fn mirror(pixels: &[f32], size: usize) -> Vec<f32> {
    let mut mirrored = pixels.to_vec();
    mirrored
        .chunks_exact_mut(size.max(1))
        .for_each(<[f32]>::reverse);
    mirrored
}
