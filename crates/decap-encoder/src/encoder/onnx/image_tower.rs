//! An image tower exported to ONNX.

use rten::{NodeId, ValueView};
use serde::{Deserialize, Serialize};

use super::Pooling;
use super::session::{Output, Session};
use crate::encoder::{ImageTower, Preprocess};
use crate::error::{Error, Result};
use crate::weights::Folder;

/// How an image tower is used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxImageOptions {
    /// The outputs that are the features, side by side in this order. Default: `image_embeds` or
    /// `pooler_output` where there is one, else the first output.
    pub outputs: Vec<String>,
    /// What becomes of an output `[batch, tokens, width]`. An output `[batch, channels, height,
    /// width]` of a convolutional network is always averaged.
    pub pooling: Pooling,
    /// How a photo becomes pixels.
    pub preprocess: Preprocess,
}

/// An image tower exported to ONNX: pixels `[batch, 3, size, size]` to features.
#[derive(Debug)]
pub struct OnnxImageTower {
    session: Session,
    input: NodeId,
    outputs: Vec<NodeId>,
    /// Photos a run, where the file fixes them.
    fixed_batch: Option<usize>,
    width: usize,
    options: OnnxImageOptions,
}

impl OnnxImageTower {
    /// Photos a run where the file leaves it open: enough to fill the cores, little memory.
    const BATCH: usize = 16;

    /// Loads the ONNX file `name` of `folder`; it is run once where it does not tell its width.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Model`] where it is no image tower or has
    /// other outputs or another size than the options say, [`Error::Usage`] for options that
    /// make no sense.
    pub fn open(folder: &Folder, name: &str, options: OnnxImageOptions) -> Result<Self> {
        options.preprocess.validate()?;
        let session = Session::open(folder, name)?;
        let [(input, _)] = session.inputs()[..] else {
            let names: Vec<_> = session.inputs().into_iter().map(|(_, name)| name).collect();
            let message = format!("expected one input, the pixels, got {}", names.join(", "));
            return Err(session.error(message));
        };
        let outputs = if options.outputs.is_empty() {
            vec![session.output(None, &["image_embeds", "pooler_output"])?]
        } else {
            let find = |name: &String| session.output(Some(name), &[]);
            options.outputs.iter().map(find).collect::<Result<_>>()?
        };
        let fixed_batch = check_input(&session, input, options.preprocess.size as usize)?;
        session.check_input_size(
            fixed_batch.unwrap_or(Self::BATCH),
            options.preprocess.values(),
        )?;
        let mut tower = Self {
            session,
            input,
            outputs,
            fixed_batch,
            width: 0,
            options,
        };
        tower.width = match tower.declared_width() {
            Some(width) => width,
            None => {
                let batch = fixed_batch.unwrap_or(1);
                let blank = vec![0.0; tower.options.preprocess.values() * batch];
                tower.run(&blank, batch)?.len() / batch
            }
        };
        Ok(tower)
    }

    /// How many weights the network has.
    pub fn parameters(&self) -> usize {
        self.session.parameters()
    }

    /// The width of the features, where the file tells those of all outputs.
    fn declared_width(&self) -> Option<usize> {
        self.outputs
            .iter()
            .map(|&output| match self.session.shape(output)?[..] {
                [_, channels, _, _] => channels,
                [_, _, width] | [_, width] => width,
                _ => None,
            })
            .sum()
    }

    /// `pixels` `[batch, 3, size, size]` to features `[batch, width]`, in one run.
    fn run(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>> {
        let size = self.options.preprocess.size as usize;
        let pixels = ValueView::from_shape([batch, 3, size, size], pixels)
            .map_err(|error| self.session.error(error.to_string()))?;
        let outputs = self
            .session
            .run(vec![(self.input, pixels.into())], &self.outputs)?;
        let pooled = outputs
            .into_iter()
            .map(|output| self.pool(output, batch))
            .collect::<Result<Vec<_>>>()?;
        let mut features = Vec::with_capacity(pooled.iter().map(Vec::len).sum());
        for photo in 0..batch {
            for values in &pooled {
                let width = values.len() / batch;
                features.extend_from_slice(&values[photo * width..][..width]);
            }
        }
        Ok(features)
    }

    /// One output to `[batch, width]`.
    fn pool(&self, output: Output, batch: usize) -> Result<Vec<f32>> {
        let Output { shape, values } = output;
        if shape[0] != batch {
            let message = format!("expected an output of {batch} rows, got shape {shape:?}");
            return Err(self.session.error(message));
        }
        Ok(match shape[..] {
            [_, _, height, width] => {
                let area = height * width;
                let mean = |plane: &[f32]| plane.iter().sum::<f32>() / area as f32;
                values.chunks_exact(area).map(mean).collect()
            }
            [_, tokens, width] => {
                let photos = values.chunks_exact(tokens * width);
                photos
                    .flat_map(|photo| pool_tokens(photo, width, tokens, self.options.pooling))
                    .collect()
            }
            _ => values,
        })
    }
}

/// The vectors of `tokens` `[tokens, width]` as one; only the first `real` are looked at.
pub(super) fn pool_tokens(values: &[f32], width: usize, real: usize, pooling: Pooling) -> Vec<f32> {
    match pooling {
        Pooling::Cls => values[..width].to_vec(),
        Pooling::Mean => {
            let mut mean = vec![0.0; width];
            for token in values.chunks_exact(width).take(real) {
                decap_kernels::add_assign(&mut mean, token);
            }
            decap_kernels::scale(&mut mean, 1.0 / real.max(1) as f32);
            mean
        }
    }
}

/// Checks the input against `[batch, 3, size, size]`; returns the batch where it is fixed.
fn check_input(session: &Session, input: NodeId, size: usize) -> Result<Option<usize>> {
    let Some(shape) = session.shape(input) else {
        return Ok(None);
    };
    let matches = |extent: Option<usize>, wanted| extent.is_none_or(|extent| extent == wanted);
    match shape[..] {
        [batch, channels, height, width]
            if matches(channels, 3) && matches(height, size) && matches(width, size) =>
        {
            Ok(batch.filter(|&batch| batch > 0))
        }
        _ => {
            let extents = shape.iter().map(|extent| match extent {
                Some(extent) => extent.to_string(),
                None => "any".into(),
            });
            Err(session.error(format!(
                "expected an input of pixels [any, 3, {size}, {size}] after the preprocessing, \
                 got [{}]",
                extents.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

impl ImageTower for OnnxImageTower {
    fn preprocess(&self) -> &Preprocess {
        &self.options.preprocess
    }

    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>> {
        let values = self.options.preprocess.values();
        if pixels.len() != values * batch {
            return Err(Error::Mismatch(format!(
                "expected {batch} photos of {values} values, got {} values",
                pixels.len()
            )));
        }
        let run_batch = self.fixed_batch.unwrap_or(Self::BATCH);
        let mut features = Vec::with_capacity(batch * self.width);
        for pixels in pixels.chunks(run_batch * values) {
            let photos = pixels.len() / values;
            if self.fixed_batch.is_some() && photos < run_batch {
                let mut padded = pixels.to_vec();
                padded.resize(run_batch * values, 0.0);
                let run = self.run(&padded, run_batch)?;
                features.extend_from_slice(&run[..photos * (run.len() / run_batch)]);
            } else {
                features.extend(self.run(pixels, photos)?);
            }
        }
        if features.len() != batch * self.width {
            let width = features.len() / batch.max(1);
            let message = format!("expected features of width {}, got {width}", self.width);
            return Err(self.session.error(message));
        }
        Ok(features)
    }
}
