//! Hugging Face's `preprocessor_config.json`: what its image processors do to a photo.

use serde::Deserialize;

use super::{Preprocess, Resize};
use crate::error::{Error, Result};
use crate::media::resize::Filter;
use crate::weights::Folder;

/// The file in a model's folder.
pub(super) const PROCESSOR_FILE: &str = "preprocessor_config.json";

/// The recipe of `folder`'s [`PROCESSOR_FILE`]; what it does not say is as in `base`.
///
/// The result is that of the processors on Pillow (`CLIPImageProcessorPil`, before transformers 5
/// `CLIPImageProcessor`); those on torchvision's tensors differ from them by a rounding in some pixels.
///
/// # Errors
/// [`Error::Io`] where there is no such file, [`Error::Model`] where it asks for what no recipe of
/// ours does.
pub(super) fn read(folder: &Folder, base: Preprocess) -> Result<Preprocess> {
    let file: Processor = folder.json(PROCESSOR_FILE)?;
    let broken = |message: String| Error::model(folder.path(PROCESSOR_FILE), message);
    file.recipe(base).map_err(broken)
}

#[derive(Deserialize)]
struct Processor {
    size: Option<Edge>,
    crop_size: Option<Edge>,
    resample: Option<u32>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// A size as old and new files write it.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Edge {
    Number(u32),
    Shortest { shortest_edge: u32 },
    Both { height: u32, width: u32 },
}

impl Edge {
    fn square(self) -> Result<u32, String> {
        match self {
            Self::Number(edge)
            | Self::Shortest {
                shortest_edge: edge,
            } => Ok(edge),
            Self::Both { height, width } if height == width => Ok(height),
            Self::Both { height, width } => {
                Err(format!("expected a square, got {width} x {height}"))
            }
        }
    }
}

impl Processor {
    fn recipe(&self, base: Preprocess) -> Result<Preprocess, String> {
        let is_off = |switch: Option<bool>| switch == Some(false);
        if is_off(self.do_resize) {
            return Err("expected photos to be resized".to_owned());
        }
        let resized = self.size.map(Edge::square).transpose()?;
        let is_squashed = matches!(self.size, Some(Edge::Both { .. }));
        let size = match self.crop_size {
            Some(crop) if !is_off(self.do_center_crop) => crop.square()?,
            _ if is_squashed => resized.unwrap_or(base.size),
            _ if is_off(self.do_center_crop) => {
                return Err("expected photos to be cropped or squashed to a square".to_owned());
            }
            _ => base.size,
        };
        let resize = match resized {
            None => Resize::ShortestSide(size),
            Some(edge) if is_squashed && edge == size => Resize::Squash,
            Some(_) if is_squashed => {
                return Err(format!(
                    "expected a crop as large as the squashed photo, got {size}"
                ));
            }
            Some(edge) => Resize::ShortestSide(edge),
        };
        let (mean, std) = if is_off(self.do_normalize) {
            ([0.0; 3], [1.0; 3])
        } else {
            (
                self.image_mean.unwrap_or(base.mean),
                self.image_std.unwrap_or(base.std),
            )
        };
        let divisor = match self.rescale_factor {
            _ if is_off(self.do_rescale) => 1.0,
            Some(factor) => (1.0 / factor) as f32,
            None => base.divisor,
        };
        let filter = match self.resample {
            None => base.filter,
            // Pillow's numbers.
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            Some(code) => return Err(format!("`resample`: expected 2 or 3, got {code}")),
        };
        let recipe = Preprocess {
            size,
            resize,
            filter,
            divisor,
            mean,
            std,
            ..base
        };
        recipe.validate().map_err(|error| error.to_string())?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(json: &str) -> Result<Preprocess, String> {
        let file: Processor = serde_json::from_str(json).unwrap();
        file.recipe(Preprocess::default())
    }

    #[test]
    fn the_files_of_the_hub_are_understood() {
        // openai/clip-vit-base-patch32, as of 2021 and of 2023.
        let old = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
        let new = r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}}"#;
        assert_eq!(recipe(old).unwrap(), Preprocess::default());
        assert_eq!(recipe(new).unwrap(), Preprocess::default());
        // google/siglip-base-patch16-384.
        let siglip = r#"{"do_convert_rgb": null, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": {"height": 384, "width": 384}}"#;
        let siglip = recipe(siglip).unwrap();
        assert_eq!((siglip.size, siglip.resize), (384, Resize::Squash));
        assert_eq!((siglip.filter, siglip.mean), (Filter::Bilinear, [0.5; 3]));
        // Xenova/mobileclip_s0.
        let mobile = r#"{"crop_size": {"height": 256, "width": 256}, "do_normalize": false, "resample": 2,
            "image_mean": [0.1, 0.1, 0.1], "size": {"shortest_edge": 256}}"#;
        let mobile = recipe(mobile).unwrap();
        assert_eq!(
            (mobile.size, mobile.resize),
            (256, Resize::ShortestSide(256))
        );
        assert_eq!((mobile.mean, mobile.std), ([0.0; 3], [1.0; 3]));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let cases = [
            (r#"{"do_resize": false}"#, "to be resized"),
            (
                r#"{"do_center_crop": false, "size": {"shortest_edge": 224}}"#,
                "cropped or squashed",
            ),
            (r#"{"resample": 1}"#, "`resample`"),
            (
                r#"{"size": {"height": 224, "width": 336}}"#,
                "expected a square, got 336 x 224",
            ),
            (
                r#"{"size": {"height": 224, "width": 224}, "crop_size": 200}"#,
                "as large as",
            ),
            (r#"{"image_std": [1.0, 0.0, 1.0]}"#, "std"),
            (r#"{"rescale_factor": 0.0}"#, "divisor"),
        ];
        for (json, message) in cases {
            let error = recipe(json).unwrap_err();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
