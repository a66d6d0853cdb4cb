//! Each form's own preprocessing: what its library does to a photo.

use serde::Deserialize;

use super::config::ImageConfig;
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
    let name = "preprocessor_config.json";
    if !folder.contains(name) {
        return Ok(base);
    }
    let file: Processor = folder.json(name)?;
    let broken = |message: String| Error::model(folder.path(name), message);
    let size = |edge: &Edge| match *edge {
        Edge::Number(edge)
        | Edge::Shortest {
            shortest_edge: edge,
        } => Ok(edge),
        Edge::Both { height, width } if height == width => Ok(height),
        Edge::Both { height, width } => Err(broken(format!(
            "expected a square crop, got {width} x {height}"
        ))),
    };
    let crop = file
        .crop_size
        .as_ref()
        .map(size)
        .transpose()?
        .unwrap_or(base.size);
    if crop != base.size {
        return Err(broken(format!(
            "expected a crop of {}, got {crop}",
            base.size
        )));
    }
    let is_off = |switch: Option<bool>| switch == Some(false);
    if is_off(file.do_resize) || is_off(file.do_normalize) || is_off(file.do_rescale) {
        return Err(broken(
            "expected photos to be resized, rescaled and normalised".to_owned(),
        ));
    }
    let resize = match &file.size {
        None => base.resize,
        Some(Edge::Both { .. }) => Resize::Squash,
        Some(edge) => Resize::ShortestSide(size(edge)?),
    };
    let preprocess = Preprocess {
        resize,
        filter: file.resample.map_or(Ok(base.filter), |code| match code {
            // Pillow's numbers.
            2 => Ok(Filter::Bilinear),
            3 => Ok(Filter::Bicubic),
            _ => Err(broken(format!("`resample`: expected 2 or 3, got {code}"))),
        })?,
        mean: file.image_mean.unwrap_or(base.mean),
        std: file.image_std.unwrap_or(base.std),
        ..base
    };
    preprocess
        .validate()
        .map_err(|error| broken(error.to_string()))?;
    Ok(preprocess)
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
struct Processor {
    size: Option<Edge>,
    crop_size: Option<Edge>,
    resample: Option<u32>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// A size as old and new files write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Edge {
    Number(u32),
    Shortest { shortest_edge: u32 },
    Both { height: u32, width: u32 },
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
