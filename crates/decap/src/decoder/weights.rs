//! The decoder's parameters, from and to safetensors under the reference checkpoint's names.

use std::path::Path;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::DecoderConfig;
use super::layout::{ParameterLayout, TensorLayout};
use decap_encoder::weights::{Bytes, NewTensor, Tensors, write_safetensors};
use decap_encoder::{Error, Result};

/// The reference's state dict repeats the token embedding under this name.
const TIED_OUTPUT: &str = "decoder.lm_head.weight";

/// Constant masks that old versions of transformers stored; they are no parameters.
const OLD_BUFFERS: [&str; 2] = [".attn.bias", ".attn.masked_bias"];

/// Appended to a tensor's name for the scales of its int8 form.
const SCALE_SUFFIX: &str = "_scale";

/// How parameters are stored in a file. In memory they are f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WeightsDtype {
    /// Four bytes a value, exact.
    #[default]
    F32,
    /// Two bytes a value, 11 bits of precision.
    F16,
    /// Two bytes a value, 8 bits of precision.
    Bf16,
    /// One byte a value of a matrix, and an f32 scale an output: an embedding's row, a
    /// linear layer's output. Vectors stay f32. `X` is stored as `X` (i8) and `X_scale` (f32).
    Int8,
}

/// All parameters of a decoder, f32.
#[derive(Debug, Clone)]
pub struct DecoderWeights {
    config: DecoderConfig,
    pub(super) layout: ParameterLayout,
    pub(super) values: Vec<f32>,
}

impl DecoderWeights {
    /// Reads the tensors of a decoder of shape `config` from a safetensors file.
    ///
    /// Names and shapes are the reference checkpoint's (`clip_project.model.0.weight`,
    /// `decoder.transformer.h.0.attn.c_attn.weight` as Conv1D `[in, out]`, ...); each tensor may
    /// be f32, f16, bf16 or int8 with scales. A copy of the tied output layer is accepted where
    /// it is equal, and the attention masks of old checkpoints are skipped.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] with the name of the tensor that is missing, unknown,
    /// of another shape or type, or not finite.
    pub fn open(path: &Path, config: &DecoderConfig) -> Result<Self> {
        Self::from_tensors(&Tensors::read(path, Bytes::map(path)?)?, config)
    }

    /// As [`DecoderWeights::open`], from tensors at hand.
    ///
    /// # Errors
    /// [`Error::Model`] as there.
    pub fn from_tensors(tensors: &Tensors, config: &DecoderConfig) -> Result<Self> {
        config.validate(tensors.path())?;
        let layout = ParameterLayout::new(config);
        // Every shape is checked before the buffer is made, so that a file cannot ask for more
        // memory than a small multiple of its own size.
        for tensor in &layout.tensors {
            check_shape(tensors, tensor)?;
        }
        check_for_strangers(tensors, &layout)?;
        let mut values = vec![0.0; layout.num_values()];
        for tensor in &layout.tensors {
            read_tensor(tensors, tensor, &mut values[tensor.range.clone()])?;
        }
        let weights = Self {
            config: config.clone(),
            layout,
            values,
        };
        weights.check_tied_output(tensors)?;
        Ok(weights)
    }

    /// Parameters all zero: the start of an initialisation.
    pub fn zeros(config: &DecoderConfig) -> Self {
        let layout = ParameterLayout::new(config);
        let values = vec![0.0; layout.num_values()];
        Self {
            config: config.clone(),
            layout,
            values,
        }
    }

    /// Where each tensor lies in [`DecoderWeights::values`].
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// All parameters, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All parameters, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The decoder's shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Names, shapes and values of all tensors, in checkpoint order; the tied output is no tensor
    /// of its own.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.layout.tensors.iter().map(|tensor| {
            (
                tensor.name.as_str(),
                tensor.shape.as_slice(),
                &self.values[tensor.range.clone()],
            )
        })
    }

    /// Writes all tensors to the safetensors file `path`, which appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written, [`Error::Usage`] where a value does not fit
    /// into `dtype`.
    pub fn save(&self, path: &Path, dtype: WeightsDtype) -> Result<()> {
        let mut stored = Vec::new();
        for tensor in &self.layout.tensors {
            stored.extend(store_tensor(
                tensor,
                &self.values[tensor.range.clone()],
                dtype,
            )?);
        }
        write_safetensors(path, &stored, None)
    }

    fn check_tied_output(&self, tensors: &Tensors) -> Result<()> {
        if !tensors.contains(TIED_OUTPUT) {
            return Ok(());
        }
        let shape = [self.config.vocabulary_size, self.config.width];
        let output = tensors.f32(TIED_OUTPUT, &shape)?;
        if output != self.values[self.layout.token_embedding.clone()] {
            return Err(Error::model(
                tensors.path(),
                format!(
                    "tensor `{TIED_OUTPUT}`: expected a copy of the token embedding, got other values"
                ),
            ));
        }
        Ok(())
    }
}

fn check_shape(tensors: &Tensors, expected: &TensorLayout) -> Result<()> {
    let found = tensors.get(&expected.name)?;
    if found.shape != expected.shape {
        return Err(Error::model(
            tensors.path(),
            format!(
                "tensor `{}`: expected shape {:?}, got {:?}",
                expected.name, expected.shape, found.shape
            ),
        ));
    }
    Ok(())
}

fn check_for_strangers(tensors: &Tensors, layout: &ParameterLayout) -> Result<()> {
    let known = |name: &str| layout.tensors.iter().any(|tensor| tensor.name == name);
    for name in tensors.names() {
        let scale_of_known = name.strip_suffix(SCALE_SUFFIX).is_some_and(known);
        let old_buffer = OLD_BUFFERS.iter().any(|suffix| name.ends_with(suffix));
        if !known(name) && !scale_of_known && !old_buffer && name != TIED_OUTPUT {
            return Err(Error::model(
                tensors.path(),
                format!("tensor `{name}`: not one of this decoder's"),
            ));
        }
    }
    Ok(())
}

fn read_tensor(tensors: &Tensors, expected: &TensorLayout, target: &mut [f32]) -> Result<()> {
    let found = tensors.get(&expected.name)?;
    if found.dtype != Dtype::I8 {
        return tensors.f32_into(&expected.name, &expected.shape, target);
    }
    let outputs = expected.shape[expected.output_axis];
    let scales = tensors.f32(&format!("{}{SCALE_SUFFIX}", expected.name), &[outputs])?;
    let row = expected.shape[1..].iter().product::<usize>().max(1);
    let rows = target
        .par_chunks_mut(row)
        .zip(found.bytes.par_chunks(row))
        .with_min_len(64);
    rows.enumerate().for_each(|(index, (values, steps))| {
        let steps = steps.iter().map(|&step| f32::from(step as i8));
        match expected.output_axis {
            0 => {
                let values = values.iter_mut().zip(steps);
                values.for_each(|(value, step)| *value = step * scales[index]);
            }
            _ => {
                let values = values.iter_mut().zip(steps).zip(&scales);
                values.for_each(|((value, step), scale)| *value = step * scale);
            }
        }
    });
    Ok(())
}

/// The output that element `index` of a matrix belongs to.
fn output_of(tensor: &TensorLayout, index: usize) -> usize {
    match tensor.output_axis {
        0 => index / tensor.shape[1..].iter().product::<usize>(),
        _ => index % tensor.shape[1],
    }
}

fn store_tensor(
    tensor: &TensorLayout,
    values: &[f32],
    dtype: WeightsDtype,
) -> Result<Vec<NewTensor>> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::Usage(format!(
            "tensor `{}`: value {index} is {}, expected a number",
            tensor.name, values[index]
        )));
    }
    let stored = |dtype, bytes| NewTensor {
        name: tensor.name.clone(),
        dtype,
        shape: tensor.shape.clone(),
        bytes,
    };
    Ok(match dtype {
        WeightsDtype::F32 => vec![NewTensor::f32(tensor.name.clone(), &tensor.shape, values)],
        WeightsDtype::F16 => {
            let limit = f16::MAX.to_f32();
            if let Some(value) = values.iter().find(|value| value.abs() > limit) {
                return Err(Error::Usage(format!(
                    "tensor `{}`: {value} does not fit into f16, expected at most {limit}",
                    tensor.name
                )));
            }
            let bytes = values
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes());
            vec![stored(Dtype::F16, bytes.collect())]
        }
        WeightsDtype::Bf16 => {
            let bytes = values
                .iter()
                .flat_map(|&value| bf16::from_f32(value).to_le_bytes());
            vec![stored(Dtype::BF16, bytes.collect())]
        }
        WeightsDtype::Int8 if tensor.shape.len() == 2 => {
            let (steps, scales) = quantise(tensor, values);
            let scale_name = format!("{}{SCALE_SUFFIX}", tensor.name);
            vec![
                stored(Dtype::I8, steps),
                NewTensor::f32(scale_name, &[scales.len()], &scales),
            ]
        }
        WeightsDtype::Int8 => vec![NewTensor::f32(tensor.name.clone(), &tensor.shape, values)],
    })
}

/// Symmetric int8: an output's largest magnitude becomes 127 steps of its scale.
fn quantise(tensor: &TensorLayout, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut scales = vec![0.0_f32; tensor.shape[tensor.output_axis]];
    for (index, value) in values.iter().enumerate() {
        let scale = &mut scales[output_of(tensor, index)];
        *scale = scale.max(value.abs() / 127.0);
    }
    let step = |(index, value): (usize, &f32)| match scales[output_of(tensor, index)] {
        0.0 => 0,
        scale => (value / scale).round().clamp(-127.0, 127.0) as i8 as u8,
    };
    (values.iter().enumerate().map(step).collect(), scales)
}
