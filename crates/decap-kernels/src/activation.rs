//! Activations of whole slices, forward and backward.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::lanes::{Activation, activate, gelu_new_slope};
use crate::parallel::for_each_chunk_mut;

impl Activation {
    /// Applies the function to each of `values`, in place.
    pub fn apply(self, values: &mut [f32]) {
        let set = KernelSet::active();
        for_each_chunk_mut(values, |_, values| {
            dispatch(
                set,
                Apply {
                    activation: self,
                    values,
                },
            );
        });
    }
}

/// [`Activation::GeluNew`] in place.
pub fn gelu_new(values: &mut [f32]) {
    Activation::GeluNew.apply(values);
}

/// [`Activation::GeluNew`] of `input`, written to `output`.
///
/// # Panics
/// When the lengths differ.
pub fn gelu_new_into(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output of gelu_new");
    let set = KernelSet::active();
    for_each_chunk_mut(output, |start, values| {
        values.copy_from_slice(&input[start..start + values.len()]);
        let activation = Activation::GeluNew;
        dispatch(set, Apply { activation, values });
    });
}

/// [`Activation::Gelu`] in place.
pub fn gelu(values: &mut [f32]) {
    Activation::Gelu.apply(values);
}

/// [`Activation::QuickGelu`] in place.
pub fn quick_gelu(values: &mut [f32]) {
    Activation::QuickGelu.apply(values);
}

/// [`Activation::Relu`] in place.
pub fn relu(values: &mut [f32]) {
    Activation::Relu.apply(values);
}

/// Turns the gradient of `gelu_new(input)` into the gradient of `input`, in place.
///
/// # Panics
/// When the lengths differ.
pub fn gelu_new_backward(input: &[f32], gradient: &mut [f32]) {
    assert_eq!(input.len(), gradient.len(), "gradient of gelu_new");
    let set = KernelSet::active();
    for_each_chunk_mut(gradient, |start, gradient| {
        let input = &input[start..start + gradient.len()];
        dispatch(set, GeluNewBackward { input, gradient });
    });
}

struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        activate(simd, self.activation, self.values);
    }
}

struct GeluNewBackward<'a> {
    input: &'a [f32],
    gradient: &'a mut [f32],
}

impl Kernel for GeluNewBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let inputs = self.input.chunks(S::LANES);
        for (x, gradient) in inputs.zip(self.gradient.chunks_mut(S::LANES)) {
            let slope = gelu_new_slope(simd, simd.load_partial(x));
            let result = simd.mul(simd.load_partial(gradient), slope);
            simd.store_partial(result, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// `exp` is good to 3e-7 relative and `erf` to 1.5e-7 absolute; inputs reach 8.
    const TOLERANCE: f32 = 2e-6;

    fn exact(activation: Activation, x: f64) -> f64 {
        let u = 0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x);
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::GeluNew => 0.5 * x * (1.0 + u.tanh()),
            Activation::Gelu => 0.5 * x * (1.0 + exact_erf(x / std::f64::consts::SQRT_2)),
        }
    }

    /// Maclaurin series; converges for the arguments of these tests.
    fn exact_erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    const ALL: [Activation; 5] = [
        Activation::Identity,
        Activation::Relu,
        Activation::QuickGelu,
        Activation::GeluNew,
        Activation::Gelu,
    ];

    #[test]
    fn activations_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for activation in ALL {
                for len in [0, 1, 7, 16, 17, 63, 1000] {
                    let input: Vec<f32> = random(len, 1).iter().map(|x| 5.0 * x).collect();
                    let expected: Vec<f32> = input
                        .iter()
                        .map(|&x| exact(activation, f64::from(x)) as f32)
                        .collect();
                    let mut output = input.clone();
                    with_kernels(set, || activation.apply(&mut output));
                    let what = format!("{set} {activation:?} {len}");
                    assert_close(&output, &expected, TOLERANCE, &what);
                }
            }
        }
    }

    #[test]
    fn large_inputs_stay_finite() {
        for set in KernelSet::supported() {
            for activation in ALL {
                let mut values = [-1e4, -100.0, -30.0, 30.0, 100.0, 1e4];
                with_kernels(set, || activation.apply(&mut values));
                assert!(
                    values.iter().all(|value| value.is_finite()),
                    "{set} {activation:?}"
                );
                assert_eq!(values[5], 1e4, "{set} {activation:?}");
            }
        }
    }

    #[test]
    fn gelu_new_backward_is_the_slope() {
        for set in KernelSet::supported() {
            let input: Vec<f32> = random(100, 2).iter().map(|x| 4.0 * x).collect();
            let mut gradient = vec![2.0; 100];
            with_kernels(set, || gelu_new_backward(&input, &mut gradient));
            let step = 1e-5;
            let expected: Vec<f32> = input
                .iter()
                .map(|&x| {
                    let at = |x| exact(Activation::GeluNew, x);
                    let x = f64::from(x);
                    ((at(x + step) - at(x - step)) / step) as f32
                })
                .collect();
            assert_close(&gradient, &expected, 1e-5, set.name());
        }
    }
}
