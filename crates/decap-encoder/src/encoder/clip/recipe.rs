//! Each form's own preprocessing: what its library does to a photo.

use serde::Deserialize;

use super::config::ImageConfig;
use crate::encoder::processor::{self, PROCESSOR_FILE};
use crate::encoder::{Anchor, CropRounding, Preprocess, Resize};
use crate::error::{Error, Result};
use crate::media::resize::Filter;
use crate::weights::Folder;

/// `_transform` of <https://github.com/openai/CLIP/blob/main/clip/clip.py>.
pub(super) fn openai(config: &ImageConfig) -> Preprocess {
    // The configuration keeps an image size to 4096.
    let size = config.image_size as u32;
    Preprocess {
        size,
        resize: Resize::ShortestSide(size),
        ..Preprocess::default()
    }
}

/// Hugging Face's `preprocessor_config.json`; without one, CLIP's own.
pub(super) fn hugging_face(folder: &Folder, config: &ImageConfig) -> Result<Preprocess> {
    let base = Preprocess {
        crop_rounding: CropRounding::Down,
        ..openai(config)
    };
    if !folder.contains(PROCESSOR_FILE) {
        return Ok(base);
    }
    let size = base.size;
    let recipe = processor::read(folder, base)?;
    if recipe.size != size {
        return Err(Error::model(
            folder.path(PROCESSOR_FILE),
            format!("expected a crop of {size}, got {}", recipe.size),
        ));
    }
    Ok(recipe)
}

/// The `preprocess_cfg` of OpenCLIP's `open_clip_config.json`, as `image_transform` follows it.
pub(super) fn open_clip(folder: &Folder, config: &ImageConfig) -> Result<Preprocess> {
    let name = "open_clip_config.json";
    let file: OpenClipFile = folder.json(name)?;
    let broken = |message: String| Error::model(folder.path(name), message);
    let (base, recipe) = (openai(config), file.preprocess_cfg);
    let preprocess = Preprocess {
        resize: match recipe.resize_mode.as_deref() {
            None | Some("shortest") => base.resize,
            Some("squash") => Resize::Squash,
            Some("longest") => Resize::Letterbox {
                fill: recipe.fill_color,
                anchor: Anchor::Centre,
            },
            Some(other) => return Err(broken(format!("`resize_mode`: unknown {other:?}"))),
        },
        filter: match recipe.interpolation.as_deref() {
            None | Some("bicubic" | "random") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some(other) => return Err(broken(format!("`interpolation`: unknown {other:?}"))),
        },
        mean: recipe.mean.unwrap_or(base.mean),
        std: recipe.std.unwrap_or(base.std),
        ..base
    };
    preprocess
        .validate()
        .map_err(|error| broken(error.to_string()))?;
    Ok(preprocess)
}

#[derive(Deserialize)]
struct OpenClipFile {
    #[serde(default)]
    preprocess_cfg: OpenClipRecipe,
}

#[derive(Deserialize, Default)]
struct OpenClipRecipe {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
    #[serde(default)]
    fill_color: u8,
}
