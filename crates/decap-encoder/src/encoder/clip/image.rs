//! CLIP's image tower: a vision transformer whose class token is the photo's.

use decap_kernels::{Epilogue, Mask, MatrixView, PackedMatrix, linear, on_pool};

use super::config::{ClipConfig, ImageConfig};
use super::names::Tower;
use super::tensors::TensorReader;
use super::transformer::{LayerNorm, Stage, Transformer};
use crate::encoder::{ImageTower, Preprocess};
use crate::error::{Error, Result};

/// Rows of the transformer that are computed at once; bounds the memory of a large batch.
const MAX_ROWS: usize = 4096;

/// CLIP's image tower, projection included.
#[derive(Debug)]
pub struct ClipImageTower {
    config: ImageConfig,
    width: usize,
    preprocess: Preprocess,
    /// `[3 * patch * patch, width]`.
    patch_embedding: PackedMatrix,
    /// `[width]`: the class token, its position added.
    class_token: Vec<f32>,
    /// `[patches, width]`.
    positions: Vec<f32>,
    norm_before: LayerNorm,
    transformer: Transformer,
    norm_after: LayerNorm,
    /// `[width, shared width]`.
    projection: PackedMatrix,
}

impl ClipImageTower {
    pub(super) fn read(
        reader: &TensorReader<'_>,
        config: &ClipConfig,
        preprocess: Preprocess,
    ) -> Result<Self> {
        let image = config.image.clone();
        let (width, patch) = (image.transformer.width, image.patch_size);
        let epsilon = image.transformer.layer_norm_epsilon;
        let inputs = 3 * patch * patch;
        let patches = reader.outer("visual.conv1.weight", &[width, 3, patch, patch])?;
        let view = MatrixView::row_major(&patches, width, inputs).transposed();
        let patch_embedding = PackedMatrix::pack(view, reader.precision);
        let positions = reader.outer("visual.positional_embedding", &[image.tokens(), width])?;
        let class = reader.outer("visual.class_embedding", &[width])?;
        let (class_position, positions) = positions.split_at(width);
        let class_token = class
            .iter()
            .zip(class_position)
            .map(|(a, b)| a + b)
            .collect();
        Ok(Self {
            width: config.width,
            preprocess,
            patch_embedding,
            class_token,
            positions: positions.to_vec(),
            norm_before: reader.layer_norm("visual.ln_pre", width, epsilon)?,
            transformer: reader.transformer(Tower::Image, &image.transformer)?,
            norm_after: reader.layer_norm("visual.ln_post", width, epsilon)?,
            projection: reader.projection("visual.proj", width, config.width)?,
            config: image,
        })
    }

    /// The features `[batch, width]` of `pixels` `[batch, 3, size, size]`; `observe` sees the stages.
    pub(super) fn forward_observed(
        &self,
        pixels: &[f32],
        batch: usize,
        observe: &mut dyn FnMut(Stage, &[f32]),
    ) -> Vec<f32> {
        let width = self.config.transformer.width;
        let grid = self.config.grid();
        let tokens_each = self.config.tokens();
        // Each patch is a row, and the convolution a product with them.
        let patches = self.patches(pixels, batch);
        let mut embedded = vec![0.0; batch * grid * grid * width];
        linear(
            &patches,
            &self.patch_embedding,
            Epilogue::default(),
            &mut embedded,
        );
        drop(patches);
        observe(Stage::Embedded, &embedded);
        let mut placed = Vec::with_capacity(batch * tokens_each * width);
        for photo in embedded.chunks_exact(grid * grid * width) {
            placed.extend_from_slice(&self.class_token);
            placed.extend(photo.iter().zip(&self.positions).map(|(a, b)| a + b));
        }
        let mut tokens = vec![0.0; placed.len()];
        self.norm_before.forward(&placed, &mut tokens);
        drop(placed);
        let lengths = vec![tokens_each; batch];
        self.transformer
            .forward(&mut tokens, &lengths, Mask::Full, observe);
        let class_tokens: Vec<f32> = tokens
            .chunks_exact(tokens_each * width)
            .flat_map(|photo| photo[..width].iter().copied())
            .collect();
        let mut pooled = vec![0.0; batch * width];
        self.norm_after.forward(&class_tokens, &mut pooled);
        observe(Stage::Pooled, &pooled);
        let mut features = vec![0.0; batch * self.width];
        linear(
            &pooled,
            &self.projection,
            Epilogue::default(),
            &mut features,
        );
        features
    }

    /// `[batch, 3, size, size]` as rows of patches `[batch * patches, 3 * patch * patch]`; pixels
    /// right of and below the last whole patch are not seen, as by the convolution.
    fn patches(&self, pixels: &[f32], batch: usize) -> Vec<f32> {
        let (size, patch, grid) = (
            self.config.image_size,
            self.config.patch_size,
            self.config.grid(),
        );
        let mut rows = Vec::with_capacity(batch * grid * grid * 3 * patch * patch);
        for photo in pixels.chunks_exact(3 * size * size) {
            for (top, left) in
                (0..grid).flat_map(|y| (0..grid).map(move |x| (y * patch, x * patch)))
            {
                for (channel, line) in (0..3).flat_map(|c| (0..patch).map(move |line| (c, line))) {
                    let start = (channel * size + top + line) * size + left;
                    rows.extend_from_slice(&photo[start..start + patch]);
                }
            }
        }
        rows
    }
}

impl ImageTower for ClipImageTower {
    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>> {
        let each = 3 * self.config.image_size * self.config.image_size;
        if pixels.len() != batch * each {
            return Err(Error::Usage(format!(
                "expected {batch} photos of {each} values, got {} values",
                pixels.len()
            )));
        }
        let photos_at_once = (MAX_ROWS / self.config.tokens()).max(1);
        Ok(on_pool(|| {
            let mut features = Vec::with_capacity(batch * self.width);
            for chunk in pixels.chunks(photos_at_once * each) {
                features.extend(self.forward_observed(chunk, chunk.len() / each, &mut |_, _| {}));
            }
            features
        }))
    }
}
