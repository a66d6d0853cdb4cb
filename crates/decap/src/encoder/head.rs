//! A projection head: a tower's features into the shared space.

use crate::error::{Error, Result};
use crate::weights::Tensors;

/// What lies between a tower's features `[features]` and an embedding `[width]`.
///
/// `standardise`, then a linear map, plus (where there is one) a hidden layer beside it:
/// `y = x' W + b + gelu(x' V + c) U`, `x' = (x - mean) * scale`.
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
