//! A projection head: a tower's features into the shared space.

use decap_kernels::{Accumulate, MatrixView, MatrixViewMut, matmul};

use crate::error::{Error, Result};
use crate::weights::Tensors;

/// What lies between a tower's features `[features]` and an embedding `[width]`.
///
/// `standardise`, then a linear map, plus (where there is one) a hidden layer beside it:
/// `y = x' W + b + gelu_new(x' V + c) U`, `x' = (x - mean) * scale`.
/// A tower that already ends in the shared space (CLIP) has [`Head::Identity`].
#[derive(Debug, Clone)]
pub enum Head {
    /// The features are the embedding.
    Identity {
        /// Their number.
        width: usize,
    },
    /// Learned by `align`.
    Learned(Box<LearnedHead>),
}

/// The tensors of a learned head; all f32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedHead {
    /// Number of features that go in.
    pub features: usize,
    /// Width of the shared space.
    pub width: usize,
    /// Mean of each feature over the training set, `[features]`.
    pub mean: Vec<f32>,
    /// One over the standard deviation of each feature, `[features]`.
    pub scale: Vec<f32>,
    /// `[features, width]`.
    pub weight: Vec<f32>,
    /// `[width]`.
    pub bias: Vec<f32>,
    /// The hidden layer beside the linear map.
    pub hidden: Option<HiddenLayer>,
}

/// The hidden layer of a learned head.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenLayer {
    /// Hidden units.
    pub units: usize,
    /// `[features, units]`.
    pub weight_in: Vec<f32>,
    /// `[units]`.
    pub bias_in: Vec<f32>,
    /// `[units, width]`.
    pub weight_out: Vec<f32>,
}

impl Head {
    /// Features that go in.
    pub fn features(&self) -> usize {
        match self {
            Self::Identity { width } => *width,
            Self::Learned(head) => head.features,
        }
    }

    /// Width that comes out.
    pub fn width(&self) -> usize {
        match self {
            Self::Identity { width } => *width,
            Self::Learned(head) => head.width,
        }
    }

    /// Maps features `[rows, features]` to `[rows, width]`, not yet normalised.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the length is no multiple of the features.
    pub fn apply(&self, features: Vec<f32>) -> Result<Vec<f32>> {
        if self.features() == 0 || !features.len().is_multiple_of(self.features()) {
            return Err(Error::Mismatch(format!(
                "expected rows of {} features, got {} values",
                self.features(),
                features.len()
            )));
        }
        Ok(match self {
            Self::Identity { .. } => features,
            Self::Learned(head) => head.apply(features),
        })
    }

    /// The head called `name` (`image` or `text`) in a heads file.
    ///
    /// # Errors
    /// [`Error::Model`] for tensors that are missing, misshapen or not numbers.
    pub fn read(tensors: &Tensors, name: &str) -> Result<Self> {
        LearnedHead::read(tensors, name).map(|head| Self::Learned(Box::new(head)))
    }
}

impl LearnedHead {
    /// Maps features `[rows, features]` to `[rows, width]`.
    fn apply(&self, mut features: Vec<f32>) -> Vec<f32> {
        for row in features.chunks_exact_mut(self.features) {
            for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = (*value - mean) * scale;
            }
        }
        let mut output = affine(&features, &self.weight, &self.bias);
        if let Some(hidden) = &self.hidden {
            let mut units = affine(&features, &hidden.weight_in, &hidden.bias_in);
            decap_kernels::gelu_new(&mut units);
            accumulate(
                &units,
                &hidden.weight_out,
                hidden.units,
                &mut output,
                self.width,
            );
        }
        output
    }

    fn read(tensors: &Tensors, name: &str) -> Result<Self> {
        let shape = |tensor: &str| -> Result<[usize; 2]> {
            let tensor = format!("{name}.{tensor}");
            let shape = tensors.get(&tensor)?.shape;
            shape.try_into().map_err(|_| {
                let message = format!("tensor `{tensor}`: expected 2 axes, got {shape:?}");
                Error::model(tensors.path(), message)
            })
        };
        let take = |tensor: &str, shape: &[usize]| tensors.f32(&format!("{name}.{tensor}"), shape);
        let [features, width] = shape("weight")?;
        let hidden = if tensors.contains(&format!("{name}.hidden.weight_in")) {
            let [_, units] = shape("hidden.weight_in")?;
            Some(HiddenLayer {
                units,
                weight_in: take("hidden.weight_in", &[features, units])?,
                bias_in: take("hidden.bias_in", &[units])?,
                weight_out: take("hidden.weight_out", &[units, width])?,
            })
        } else {
            None
        };
        Ok(Self {
            features,
            width,
            mean: take("mean", &[features])?,
            scale: take("scale", &[features])?,
            weight: take("weight", &[features, width])?,
            bias: take("bias", &[width])?,
            hidden,
        })
    }

    /// The tensors under their names in a heads file: name, shape, values.
    pub fn tensors(&self, name: &str) -> Vec<(String, Vec<usize>, &[f32])> {
        let mut tensors = vec![
            (format!("{name}.mean"), vec![self.features], &self.mean[..]),
            (
                format!("{name}.scale"),
                vec![self.features],
                &self.scale[..],
            ),
            (
                format!("{name}.weight"),
                vec![self.features, self.width],
                &self.weight[..],
            ),
            (format!("{name}.bias"), vec![self.width], &self.bias[..]),
        ];
        if let Some(hidden) = &self.hidden {
            tensors.extend([
                (
                    format!("{name}.hidden.weight_in"),
                    vec![self.features, hidden.units],
                    &hidden.weight_in[..],
                ),
                (
                    format!("{name}.hidden.bias_in"),
                    vec![hidden.units],
                    &hidden.bias_in[..],
                ),
                (
                    format!("{name}.hidden.weight_out"),
                    vec![hidden.units, self.width],
                    &hidden.weight_out[..],
                ),
            ]);
        }
        tensors
    }
}

/// `x W + b`: `x` `[rows, bias-less width of W]`, `W` `[in, out]`, `b` `[out]`.
fn affine(input: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let inputs = weight.len() / bias.len();
    let mut output = bias.repeat(input.len() / inputs);
    accumulate(input, weight, inputs, &mut output, bias.len());
    output
}

/// `output += input weight`: `[rows, inputs]`, `[inputs, width]`, `[rows, width]`.
fn accumulate(input: &[f32], weight: &[f32], inputs: usize, output: &mut [f32], width: usize) {
    let rows = input.len() / inputs;
    matmul(
        MatrixView::row_major(input, rows, inputs),
        MatrixView::row_major(weight, inputs, width),
        Accumulate::Add,
        MatrixViewMut::row_major(output, rows, width),
    );
}
