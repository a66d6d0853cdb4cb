//! The activations of the towers and the decoder, vector by vector.

use super::sums::map_lanes;
use crate::arch::Simd;

/// A function applied to each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x sigmoid(1.702 x)`, the one of OpenAI's CLIP.
    QuickGelu,
    /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, the one of GPT-2 (`gelu_new`).
    GeluNew,
    /// `0.5 x (1 + erf(x / sqrt(2)))`, the exact form (`gelu`).
    Gelu,
}

/// Applies `activation` with the instructions of `simd`.
#[inline(always)]
pub(crate) fn activate<S: Simd>(simd: S, activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => map_lanes!(simd, S, values, |x| simd.max(x, simd.zero())),
        Activation::QuickGelu => map_lanes!(simd, S, values, |x| {
            simd.mul(x, sigmoid(simd, simd.mul(x, simd.splat(1.702))))
        }),
        Activation::GeluNew => map_lanes!(simd, S, values, |x| {
            // 0.5 (1 + tanh(u)) = sigmoid(2 u)
            simd.mul(x, sigmoid(simd, twice_gelu_new_argument(simd, x)))
        }),
        Activation::Gelu => map_lanes!(simd, S, values, |x| {
            let erf = erf(
                simd,
                simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2)),
            );
            let half = simd.mul(x, simd.splat(0.5));
            simd.mul_add(half, erf, half)
        }),
    }
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn twice_gelu_new_argument<S: Simd>(simd: S, x: S::V) -> S::V {
    let cubic = simd.mul_add(
        simd.mul(x, x),
        simd.splat(2.0 * SQRT_2_OVER_PI * CUBIC),
        simd.splat(2.0 * SQRT_2_OVER_PI),
    );
    simd.mul(x, cubic)
}

/// The slope of [`Activation::GeluNew`] at `x`.
///
/// With `s = sigmoid(2 u)`: `d/dx (x s) = s + x s (1 - s) 2 u'`.
#[inline(always)]
pub(crate) fn gelu_new_slope<S: Simd>(simd: S, x: S::V) -> S::V {
    let s = sigmoid(simd, twice_gelu_new_argument(simd, x));
    let slope = simd.mul_add(
        simd.mul(x, x),
        simd.splat(6.0 * SQRT_2_OVER_PI * CUBIC),
        simd.splat(2.0 * SQRT_2_OVER_PI),
    );
    let rest = simd.sub(simd.splat(1.0), s);
    let bend = simd.mul(simd.mul(x, slope), simd.mul(s, rest));
    simd.add(s, bend)
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::V) -> S::V {
    let e = simd.exp(simd.sub(simd.zero(), x));
    simd.reciprocal(simd.add(simd.splat(1.0), e))
}

/// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::V) -> S::V {
    let one = simd.splat(1.0);
    let magnitude = simd.max(x, simd.sub(simd.zero(), x));
    let t = simd.reciprocal(simd.mul_add(magnitude, simd.splat(0.327_591_1), one));
    let mut p = simd.splat(1.061_405_4);
    for c in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = simd.mul_add(p, t, simd.splat(c));
    }
    let square = simd.mul(magnitude, magnitude);
    let tail = simd.mul(simd.mul(p, t), simd.exp(simd.sub(simd.zero(), square)));
    let positive = simd.sub(one, tail);
    simd.select_less(x, simd.zero(), simd.sub(simd.zero(), positive), positive)
}
