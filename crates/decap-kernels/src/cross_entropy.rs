//! Softmax cross-entropy on given logits.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::lanes::{exp_sum, map_lanes, maximum, sum};
use crate::words::with_f32_scratch;
use rayon::prelude::*;

/// Settings of the loss, as `torch.nn.functional.cross_entropy` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Share of the target that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
    /// Rows with this target do not count.
    pub ignore_index: Option<u32>,
}

/// A loss and what it is the mean of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Mean over the rows that count; 0 when none does (PyTorch: not a number).
    pub mean: f64,
    /// Rows that count.
    pub counted: usize,
}

/// Mean cross-entropy of `logits`, `[rows, classes]`, against `targets`, `[rows]`.
///
/// When `gradient`, `[rows, classes]`, is given, it is overwritten by the gradient of the mean.
///
/// # Panics
/// When the lengths do not agree or a target that counts is not below `classes`.
pub fn cross_entropy(
    logits: &[f32],
    classes: usize,
    targets: &[u32],
    settings: CrossEntropy,
    gradient: Option<&mut [f32]>,
) -> Loss {
    assert_eq!(
        logits.len(),
        targets.len() * classes,
        "logits of a cross-entropy"
    );
    let counts = |&target: &u32| Some(target) != settings.ignore_index;
    let counted = targets.iter().filter(|target| counts(target)).count();
    if counted == 0 {
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
        }
        return Loss::default();
    }
    let row_loss = RowLoss {
        set: KernelSet::active(),
        label_smoothing: settings.label_smoothing,
        factor: 1.0 / counted as f32,
    };
    let losses: Vec<f64> = match gradient {
        Some(gradient) => {
            assert_eq!(gradient.len(), logits.len(), "gradient of a cross-entropy");
            gradient
                .par_chunks_exact_mut(classes)
                .zip(logits.par_chunks_exact(classes))
                .zip(targets)
                .map(|((gradient, logits), target)| {
                    if counts(target) {
                        gradient.copy_from_slice(logits);
                        row_loss.replace(gradient, *target)
                    } else {
                        gradient.fill(0.0);
                        0.0
                    }
                })
                .collect()
        }
        None => logits
            .par_chunks_exact(classes)
            .zip(targets)
            .filter(|(_, target)| counts(target))
            .map(|(logits, target)| {
                with_f32_scratch(classes, |row| {
                    row.copy_from_slice(logits);
                    row_loss.replace(row, *target)
                })
            })
            .collect(),
    };
    Loss {
        mean: losses.iter().sum::<f64>() / counted as f64,
        counted,
    }
}

/// Loss of one row.
#[derive(Clone, Copy)]
struct RowLoss {
    set: KernelSet,
    label_smoothing: f32,
    /// Factor of the gradient.
    factor: f32,
}

impl RowLoss {
    /// Replaces the logits by their gradient and returns the loss of the row.
    fn replace(self, row: &mut [f32], target: u32) -> f64 {
        let target = target as usize;
        assert!(
            target < row.len(),
            "target {target} of {} classes",
            row.len()
        );
        dispatch(
            self.set,
            Replace {
                settings: self,
                row,
                target,
            },
        )
    }
}

struct Replace<'a> {
    settings: RowLoss,
    row: &'a mut [f32],
    target: usize,
}

impl Kernel for Replace<'_> {
    type Output = f64;

    /// With `q = (1 - s) onehot + s / n`: `loss = logsumexp(x) - sum(q x)`, `dx = softmax(x) - q`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let RowLoss {
            label_smoothing,
            factor,
            ..
        } = self.settings;
        let classes = self.row.len() as f64;
        let largest = maximum(simd, self.row);
        let logit = f64::from(self.row[self.target]);
        let mean = sum(simd, self.row) / classes;
        let exponentials = exp_sum(simd, self.row, 1.0, -largest);
        let log_sum = f64::from(largest) + f64::from(exponentials).ln();
        let spread = label_smoothing / classes as f32 * factor;
        let (scale, offset) = (simd.splat(factor / exponentials), simd.splat(-spread));
        map_lanes!(simd, S, self.row, |e| simd.mul_add(e, scale, offset));
        self.row[self.target] -= (1.0 - label_smoothing) * factor;
        let smoothing = f64::from(label_smoothing);
        (1.0 - smoothing) * (log_sum - logit) + smoothing * (log_sum - mean)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// exp is good to 3e-7, sums of thousands of them to a few of these.
    pub(crate) const TOLERANCE: f32 = 3e-6;

    /// Loss and gradient of the logits in f64.
    pub(crate) fn exact(
        logits: &[f64],
        classes: usize,
        targets: &[u32],
        s: CrossEntropy,
    ) -> (f64, Vec<f64>) {
        let counted = targets
            .iter()
            .filter(|&&t| Some(t) != s.ignore_index)
            .count();
        let (mut loss, mut gradient) = (0.0, Vec::new());
        let smoothing = f64::from(s.label_smoothing);
        for (row, &target) in logits.chunks(classes).zip(targets) {
            if Some(target) == s.ignore_index {
                gradient.extend(vec![0.0; classes]);
                continue;
            }
            let log_sum = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            for (class, x) in row.iter().enumerate() {
                let hot = if class == target as usize {
                    1.0 - smoothing
                } else {
                    0.0
                };
                let wanted = hot + smoothing / classes as f64;
                loss -= wanted * (x - log_sum) / counted as f64;
                gradient.push(((x - log_sum).exp() - wanted) / counted as f64);
            }
        }
        (loss, gradient)
    }

    pub(crate) const CASES: [(usize, usize, CrossEntropy); 4] = [
        (
            1,
            1,
            CrossEntropy {
                label_smoothing: 0.0,
                ignore_index: None,
            },
        ),
        (
            3,
            7,
            CrossEntropy {
                label_smoothing: 0.1,
                ignore_index: None,
            },
        ),
        (
            9,
            65,
            CrossEntropy {
                label_smoothing: 0.1,
                ignore_index: Some(0),
            },
        ),
        (
            300,
            1000,
            CrossEntropy {
                label_smoothing: 0.0,
                ignore_index: Some(3),
            },
        ),
    ];

    pub(crate) fn targets(rows: usize, classes: usize) -> Vec<u32> {
        (0..rows).map(|row| (row * 7919 % classes) as u32).collect()
    }

    #[test]
    fn loss_and_gradient_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for (rows, classes, settings) in CASES {
                let logits: Vec<f32> = random(rows * classes, 1).iter().map(|x| 4.0 * x).collect();
                let targets = targets(rows, classes);
                let wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
                let (loss, gradient) = exact(&wide, classes, &targets, settings);
                let expected: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
                let mut got = vec![f32::NAN; logits.len()];
                with_kernels(set, || {
                    let with = cross_entropy(&logits, classes, &targets, settings, Some(&mut got));
                    let without = cross_entropy(&logits, classes, &targets, settings, None);
                    assert_eq!(with, without);
                    assert!(
                        (with.mean - loss).abs() < 1e-6 * loss.max(1.0),
                        "{set} {with:?} {loss}"
                    );
                });
                assert_close(
                    &got,
                    &expected,
                    TOLERANCE,
                    &format!("{set} {rows}x{classes}"),
                );
            }
        }
    }

    #[test]
    fn nothing_counted_is_no_loss() {
        let settings = CrossEntropy {
            ignore_index: Some(0),
            ..CrossEntropy::default()
        };
        let mut gradient = [1.0; 4];
        let loss = cross_entropy(&[1.0; 4], 2, &[0, 0], settings, Some(&mut gradient));
        assert_eq!((loss, gradient), (Loss::default(), [0.0; 4]));
    }
}
