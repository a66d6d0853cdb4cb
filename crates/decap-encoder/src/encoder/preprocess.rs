//! The preprocessing recipe: a decoded photo to a tower's pixels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::media::RgbImage;
use crate::media::resize::{Filter, Window, resize_window};

/// How a photo becomes the pixels that an image tower expects.
///
/// The default is that of OpenAI CLIP at 224 pixels
/// (<https://github.com/openai/CLIP/blob/main/clip/clip.py>, `_transform`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocess {
    /// Edge of the square that the tower sees, in pixels, at most 4096.
    pub size: u32,
    /// How the photo is brought to that square.
    pub resize: Resize,
    /// The interpolation filter.
    pub filter: Filter,
    /// Where the crop begins when the margin is odd; only for [`Resize::ShortestSide`].
    pub crop_rounding: CropRounding,
    /// What 8-bit samples are divided by before `mean` and `std`: 255 for 0 to 1, 1 for 0 to 255.
    pub divisor: f32,
    /// Subtracted from each channel, in the tower's channel order.
    pub mean: [f32; 3],
    /// Each channel is divided by this afterwards, in the tower's channel order.
    pub std: [f32; 3],
    /// The order in which the tower expects the channels.
    pub channels: Channels,
}

/// How a photo of any shape becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shortest side becomes this many pixels, the other follows; the centre is cropped.
    ShortestSide(u32),
    /// Both sides become `size`, whatever the shape was (SigLIP).
    Squash,
    /// The longest side becomes `size`; the rest of the square is filled.
    Letterbox {
        /// The value of all channels of the filling.
        fill: u8,
        /// Where the photo lies.
        anchor: Anchor,
    },
}

/// Where a letterboxed photo lies in its square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// In the middle, its short side rounded to the nearest pixel (open_clip's `longest`).
    Centre,
    /// In the upper left corner, its short side rounded down (YOLOX).
    TopLeft,
}

/// Where a centre crop begins when the margin to share is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropRounding {
    /// Half the margin, rounded to an even number: torchvision, hence OpenAI CLIP and open_clip.
    #[default]
    HalfToEven,
    /// Half the margin, rounded down: the image processors of Hugging Face.
    Down,
}

/// The order of a tower's input channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self {
            size: 224,
            resize: Resize::ShortestSide(224),
            filter: Filter::Bicubic,
            crop_rounding: CropRounding::HalfToEven,
            divisor: 255.0,
            mean: [0.481_454_67, 0.457_827_5, 0.408_210_72],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
            channels: Channels::Rgb,
        }
    }
}

impl Preprocess {
    /// The number of values that [`Preprocess::apply`] returns: 3 x `size` x `size`.
    pub fn values(&self) -> usize {
        3 * self.size as usize * self.size as usize
    }

    /// The shorter side, in pixels, that a photo must have for [`Preprocess::apply`] to shrink it by
    /// two at least: below that, a photo that was decoded at a smaller scale would lose detail.
    pub fn ample_side(&self) -> u32 {
        let side = match self.resize {
            Resize::ShortestSide(edge) => edge.max(self.size),
            Resize::Squash | Resize::Letterbox { .. } => self.size,
        };
        side.saturating_mul(2)
    }

    /// Checks that the recipe can be followed; call it on a recipe that was read from a file.
    ///
    /// # Errors
    /// [`Error::Usage`] where a size is out of range or a number is zero or not finite.
    pub fn validate(&self) -> Result<()> {
        const MAX_SIZE: u32 = 4096;
        if self.size == 0 || self.size > MAX_SIZE {
            return Err(Error::Usage(format!(
                "preprocessing: expected a size of 1 to {MAX_SIZE}, got {}",
                self.size
            )));
        }
        if let Resize::ShortestSide(edge) = self.resize
            && (edge < self.size || edge > MAX_SIZE)
        {
            return Err(Error::Usage(format!(
                "preprocessing: expected a shortest side of {} to {MAX_SIZE}, got {edge}",
                self.size
            )));
        }
        let divides = |value: &f32| value.is_finite() && *value != 0.0;
        if !divides(&self.divisor)
            || !self.std.iter().all(divides)
            || !self.mean.iter().all(|value| value.is_finite())
        {
            return Err(Error::Usage(format!(
                "preprocessing: expected finite mean, std and divisor, the last two not zero, \
                 got mean {:?}, std {:?}, divisor {}",
                self.mean, self.std, self.divisor
            )));
        }
        Ok(())
    }

    /// The pixels of `image`, `[3, size, size]`, f32.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        self.normalise(&self.square(image))
    }

    /// The photo as the tower sees it before normalisation: `[size, size, 3]`, u8, RGB.
    ///
    /// Equal to what Pillow (with torchvision or transformers) makes of the same pixels.
    pub fn square(&self, image: &RgbImage) -> Vec<u8> {
        let (width, height) = (u64::from(image.width()), u64::from(image.height()));
        let size = u64::from(self.size);
        match self.resize {
            Resize::Squash => {
                let window = Window {
                    left: 0,
                    top: 0,
                    width: self.size,
                    height: self.size,
                };
                resize_window(image, (size, size), window, self.filter)
            }
            Resize::ShortestSide(edge) => {
                // A recipe that was not validated may ask for less than the square.
                let edge = u64::from(edge.max(self.size));
                let (width, height) = if width <= height {
                    (edge, scaled_down(edge, height, width))
                } else {
                    (scaled_down(edge, width, height), edge)
                };
                let window = Window {
                    left: self.crop_start(width - size),
                    top: self.crop_start(height - size),
                    width: self.size,
                    height: self.size,
                };
                resize_window(image, (width, height), window, self.filter)
            }
            Resize::Letterbox { fill, anchor } => self.letterbox(image, fill, anchor),
        }
    }

    fn crop_start(&self, margin: u64) -> u64 {
        let half = margin / 2;
        match self.crop_rounding {
            // int(round(margin / 2)) in Python.
            CropRounding::HalfToEven if margin % 2 == 1 && half % 2 == 1 => half + 1,
            CropRounding::HalfToEven | CropRounding::Down => half,
        }
    }

    fn letterbox(&self, image: &RgbImage, fill: u8, anchor: Anchor) -> Vec<u8> {
        let longest = u64::from(image.width().max(image.height()));
        let side = |length: u32| -> u32 {
            let exact = f64::from(length) * f64::from(self.size) / longest as f64;
            let rounded = match anchor {
                Anchor::Centre => exact.round_ties_even(),
                Anchor::TopLeft => exact.floor(),
            };
            (rounded as u32).clamp(1, self.size)
        };
        let (width, height) = (side(image.width()), side(image.height()));
        let window = Window {
            left: 0,
            top: 0,
            width,
            height,
        };
        let whole = (u64::from(width), u64::from(height));
        let resized = resize_window(image, whole, window, self.filter);

        let (left, top) = match anchor {
            Anchor::Centre => ((self.size - width) / 2, (self.size - height) / 2),
            Anchor::TopLeft => (0, 0),
        };
        let mut square = vec![fill; self.values()];
        let rows = square
            .chunks_exact_mut(self.size as usize * 3)
            .skip(top as usize);
        for (row, source) in rows.zip(resized.chunks_exact(width as usize * 3)) {
            row[left as usize * 3..][..source.len()].copy_from_slice(source);
        }
        square
    }

    /// `[size, size, 3]`, u8 to `[3, size, size]`, f32.
    fn normalise(&self, square: &[u8]) -> Vec<f32> {
        let plane = self.size as usize * self.size as usize;
        let mut pixels = Vec::with_capacity(plane * 3);
        for channel in 0..3 {
            // The order of operations is torchvision's: ToTensor, then Normalize.
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let table: [f32; 256] =
                std::array::from_fn(|value| (value as f32 / self.divisor - mean) / std);
            let source = match self.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel,
            };
            pixels.extend(
                square
                    .iter()
                    .skip(source)
                    .step_by(3)
                    .map(|&v| table[usize::from(v)]),
            );
        }
        pixels
    }
}

/// `int(edge * long / short)` of Python: the long side where the short one becomes `edge`.
fn scaled_down(edge: u64, long: u64, short: u64) -> u64 {
    ((edge * long) as f64 / short as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_read_with_the_defaults_of_clip() {
        let recipe: Preprocess = serde_json::from_str("{}").unwrap();
        assert_eq!(recipe, Preprocess::default());
        let again = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&again).unwrap(), recipe);
        assert!(serde_json::from_str::<Preprocess>(r#"{"sise": 1}"#).is_err());
    }

    #[test]
    fn a_recipe_that_cannot_be_followed_is_refused() {
        let cases = [
            r#"{"size": 0}"#,
            r#"{"size": 1000000}"#,
            r#"{"size": 224, "resize": {"shortest_side": 223}}"#,
            r#"{"std": [1.0, 0.0, 1.0]}"#,
            r#"{"divisor": 0.0}"#,
            r#"{"mean": [1e39, 0.0, 1.0]}"#,
        ];
        for json in cases {
            let recipe: Preprocess = serde_json::from_str(json).unwrap();
            assert!(recipe.validate().is_err(), "{json}");
            let image = RgbImage::new(3, 2, vec![7; 18]).unwrap();
            if recipe.size < 4096 {
                assert_eq!(
                    recipe.apply(&image).len(),
                    recipe.values(),
                    "{json}: no panic"
                );
            }
        }
    }

    /// The longest and thinnest photos that the limits let through.
    #[test]
    fn extreme_shapes_are_resized() {
        for (width, height) in [(1, 1), (1, 100_000), (100_000, 1), (2, 3)] {
            let image =
                RgbImage::new(width, height, vec![200; (width * height * 3) as usize]).unwrap();
            for resize in [
                Resize::ShortestSide(40),
                Resize::Squash,
                Resize::Letterbox {
                    fill: 200,
                    anchor: Anchor::Centre,
                },
            ] {
                let recipe = Preprocess {
                    size: 32,
                    resize,
                    ..Preprocess::default()
                };
                let square = recipe.square(&image);
                assert_eq!(
                    square,
                    vec![200; 32 * 32 * 3],
                    "{width} x {height}, {resize:?}"
                );
            }
        }
    }

    #[test]
    fn bgr_swaps_the_channels() {
        let image = RgbImage::new(1, 1, vec![10, 20, 30]).unwrap();
        let recipe = Preprocess {
            size: 1,
            resize: Resize::Squash,
            divisor: 1.0,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 4.0],
            channels: Channels::Bgr,
            ..Preprocess::default()
        };
        assert_eq!(recipe.apply(&image), [29.0, 9.0, 1.75]);
    }
}
