//! Softmax cross-entropy fused with the tied output layer, whose logits are never all held.

mod blocks;
mod exponentials;
mod gradients;
mod loss;

use crate::cross_entropy::{CrossEntropy, Loss};
use crate::gemm::{How, TileKernel};
use crate::matrix::{Accumulate, Precision};
use blocks::with_blocks;
use gradients::{Gradients, Slope};

/// Gradients that [`linear_cross_entropy`] computes.
#[derive(Debug)]
pub struct LinearCrossEntropyGradients<'a> {
    /// Gradient of the hidden states, `[rows, width]`; overwritten.
    pub hidden: &'a mut [f32],
    /// Gradient of the embedding matrix, `[classes, width]`; overwritten.
    pub embedding: &'a mut [f32],
}

/// Cross-entropy of `logits = hidden embedding'` without ever holding all logits.
///
/// `hidden` is `[rows, width]`, `embedding` `[classes, width]` (tied with the input embedding),
/// `targets` `[rows]`. Rows that do not count cost nothing.
///
/// # Panics
/// When the lengths do not agree or a target that counts is not below `classes`.
pub fn linear_cross_entropy(
    hidden: &[f32],
    embedding: &[f32],
    width: usize,
    targets: &[u32],
    settings: CrossEntropy,
    gradients: Option<LinearCrossEntropyGradients<'_>>,
) -> Loss {
    let precision = Precision::F32;
    linear_cross_entropy_with(
        precision, hidden, embedding, width, targets, settings, gradients,
    )
}

/// [`linear_cross_entropy`] whose products round their operands to `precision`; loss, softmax, sums
/// and gradients stay f32.
///
/// `Int8` is taken as `Bf16`: gradients do not fit into bytes.
///
/// # Panics
/// When the lengths do not agree or a target that counts is not below `classes`.
pub fn linear_cross_entropy_with(
    precision: Precision,
    hidden: &[f32],
    embedding: &[f32],
    width: usize,
    targets: &[u32],
    settings: CrossEntropy,
    mut gradients: Option<LinearCrossEntropyGradients<'_>>,
) -> Loss {
    assert_eq!(
        hidden.len(),
        targets.len() * width,
        "hidden states of a cross-entropy"
    );
    assert!(
        width > 0 && embedding.len().is_multiple_of(width),
        "embedding of a cross-entropy"
    );
    let classes = embedding.len() / width;
    if let Some(gradients) = &mut gradients {
        assert_eq!(gradients.hidden.len(), hidden.len(), "hidden gradient");
        assert_eq!(
            gradients.embedding.len(),
            embedding.len(),
            "embedding gradient"
        );
        gradients.hidden.fill(0.0);
    }
    let counted: Vec<usize> = (0..targets.len())
        .filter(|&row| Some(targets[row]) != settings.ignore_index)
        .collect();
    let hidden: Vec<f32> = counted
        .iter()
        .flat_map(|row| &hidden[row * width..(row + 1) * width])
        .copied()
        .collect();
    let targets: Vec<usize> = counted.iter().map(|&row| targets[row] as usize).collect();
    for &target in &targets {
        assert!(target < classes, "target {target} of {classes} classes");
    }
    let how = How::active(precision.of_floats());
    let mut rows = Vec::with_capacity(counted.len());
    match gradients {
        None => with_blocks(how, &hidden, width, embedding, &targets, |blocks| {
            rows = blocks.row_sums();
        }),
        Some(gradients) if counted.is_empty() => gradients.embedding.fill(0.0),
        Some(gradients) => {
            let slope = Slope {
                factor: 1.0 / counted.len() as f32,
                smoothing: settings.label_smoothing,
                classes,
            };
            let chunk = rows_at_once(how, counted.len(), classes);
            let chunks = hidden.chunks(chunk * width).zip(targets.chunks(chunk));
            for ((hidden, targets), counted) in chunks.zip(counted.chunks(chunk)) {
                let mut of_hidden = vec![0.0; hidden.len()];
                let mut into = Gradients {
                    hidden: &mut of_hidden,
                    embedding: &mut *gradients.embedding,
                    accumulate: match rows.is_empty() {
                        true => Accumulate::Overwrite,
                        false => Accumulate::Add,
                    },
                };
                with_blocks(how, hidden, width, embedding, targets, |blocks| {
                    rows.extend(blocks.gradients(slope, &mut into));
                });
                for (row, values) in counted.iter().zip(of_hidden.chunks_exact(width)) {
                    gradients.hidden[row * width..(row + 1) * width].copy_from_slice(values);
                }
            }
        }
    }
    let smoothing = f64::from(settings.label_smoothing);
    let losses = rows.iter().map(|row| {
        let mean = row.total / classes as f64;
        (1.0 - smoothing) * (row.log_sum() - row.target) + smoothing * (row.log_sum() - mean)
    });
    Loss {
        mean: losses.sum::<f64>() / counted.len().max(1) as f64,
        counted: counted.len(),
    }
}

/// The most words of exponentials of logits that are kept: those of some rows and all classes, in 128 MiB. Tests keep
/// so few that the rows are processed in more than one part.
const KEPT: usize = if cfg!(test) { 1 << 17 } else { 1 << 25 };

/// Rows whose gradients are computed at once.
fn rows_at_once(how: How, rows: usize, classes: usize) -> usize {
    let kernel = TileKernel::choose(how.set, how.precision, rows);
    let most = KEPT * kernel.input_format().values_per_word() / classes;
    rows.div_ceil(rows.div_ceil(most.max(1)))
}

#[cfg(test)]
mod tests {
    use super::blocks::BLOCK_CLASSES;
    use super::*;
    use crate::cross_entropy::tests::{CASES, TOLERANCE, exact, targets};
    use crate::dispatch::{KernelSet, with_kernels};
    use crate::testing::{assert_close, random};

    #[test]
    fn fused_loss_agrees_with_f64_under_every_set() {
        let width = 33;
        for set in KernelSet::supported() {
            for (rows, classes, settings) in CASES {
                let (hidden, embedding) = (random(rows * width, 2), random(classes * width, 3));
                let targets = targets(rows, classes);
                let at = |values: &[f32], i: usize, l: usize| f64::from(values[i * width + l]);
                let logits: Vec<f64> = (0..rows * classes)
                    .map(|i| {
                        let (row, class) = (i / classes, i % classes);
                        (0..width)
                            .map(|l| at(&hidden, row, l) * at(&embedding, class, l))
                            .sum()
                    })
                    .collect();
                let (loss, slope) = exact(&logits, classes, &targets, settings);
                let mut expected_hidden = vec![0.0; rows * width];
                let mut expected_embedding = vec![0.0; classes * width];
                for (i, slope) in slope.iter().enumerate() {
                    let (row, class) = (i / classes, i % classes);
                    for l in 0..width {
                        expected_hidden[row * width + l] +=
                            (slope * at(&embedding, class, l)) as f32;
                        expected_embedding[class * width + l] +=
                            (slope * at(&hidden, row, l)) as f32;
                    }
                }
                let mut hidden_gradient = vec![f32::NAN; rows * width];
                let mut embedding_gradient = vec![f32::NAN; classes * width];
                let got = with_kernels(set, || {
                    let gradients = LinearCrossEntropyGradients {
                        hidden: &mut hidden_gradient,
                        embedding: &mut embedding_gradient,
                    };
                    linear_cross_entropy(
                        &hidden,
                        &embedding,
                        width,
                        &targets,
                        settings,
                        Some(gradients),
                    )
                });
                let what = format!("{set} {rows}x{classes}");
                assert!(
                    (got.mean - loss).abs() < 1e-6 * loss.max(1.0),
                    "{what}: {got:?} {loss}"
                );
                assert_close(&hidden_gradient, &expected_hidden, TOLERANCE, &what);
                assert_close(&embedding_gradient, &expected_embedding, TOLERANCE, &what);
            }
        }
    }

    /// The loss in `precision`, and the gradients of the hidden states and of the embedding.
    fn run(
        precision: Precision,
        (hidden, embedding, width): (&[f32], &[f32], usize),
        targets: &[u32],
        settings: CrossEntropy,
    ) -> (f64, Vec<f32>, Vec<f32>) {
        let mut of_hidden = vec![f32::NAN; hidden.len()];
        let mut of_embedding = vec![f32::NAN; embedding.len()];
        let gradients = LinearCrossEntropyGradients {
            hidden: &mut of_hidden,
            embedding: &mut of_embedding,
        };
        let gradients = Some(gradients);
        let loss = linear_cross_entropy_with(
            precision, hidden, embedding, width, targets, settings, gradients,
        );
        (loss.mean, of_hidden, of_embedding)
    }

    /// bf16 keeps 8 bits: logits of 33 products are off by a few 1e-3, gradients by as much of them.
    #[test]
    fn fused_loss_in_bf16_is_close_under_every_set() {
        // One block of classes, and several with an incomplete last one.
        for (rows, classes, width) in [(40, 200, 33), (67, BLOCK_CLASSES + 45, 40)] {
            let (hidden, embedding) = (random(rows * width, 4), random(classes * width, 5));
            let matrices = (&hidden[..], &embedding[..], width);
            let targets = targets(rows, classes);
            for (label_smoothing, ignore_index) in [(0.0, None), (0.1, Some(targets[3]))] {
                let settings = CrossEntropy {
                    label_smoothing,
                    ignore_index,
                };
                let exact = run(Precision::F32, matrices, &targets, settings);
                for set in KernelSet::supported() {
                    let got =
                        with_kernels(set, || run(Precision::Bf16, matrices, &targets, settings));
                    assert!((got.0 - exact.0).abs() < 1e-2 * exact.0, "{set}");
                    assert_close(&got.1, &exact.1, 1e-3, set.name());
                    assert_close(&got.2, &exact.2, 1e-3, set.name());
                }
            }
        }
    }

    /// Values that bf16 holds exactly, with logits hundreds apart: exponentials relative to the target's do not fit
    /// into f32.
    #[test]
    fn logits_far_above_the_target_do_not_overflow() {
        let (rows, classes, width) = (40, 200, 33);
        let steps = |len, factor: usize| -> Vec<f32> {
            let step = |i: usize| ((i * factor + i / 7) % 17) as f32 - 8.0;
            (0..len).map(step).collect()
        };
        let (hidden, embedding) = (steps(rows * width, 31), steps(classes * width, 13));
        let matrices = (&hidden[..], &embedding[..], width);
        let (targets, settings) = (targets(rows, classes), CrossEntropy::default());
        let exact = run(Precision::F32, matrices, &targets, settings);
        assert!(exact.0 > 100.0, "a loss that is large, not {}", exact.0);
        for set in KernelSet::supported() {
            let got = with_kernels(set, || run(Precision::Bf16, matrices, &targets, settings));
            assert!((got.0 - exact.0).abs() < 1e-5 * exact.0, "{set} {}", got.0);
            // Gradients are as large as 8, and as exact as probabilities in bf16.
            assert_close(&got.1, &exact.1, 2e-2, set.name());
            assert_close(&got.2, &exact.2, 2e-2, set.name());
        }
    }

    /// If the target has all but a thousandth of the probability, its gradient is small: the rounding error must not be
    /// relative to the probability.
    #[test]
    fn well_predicted_targets_keep_their_gradients() {
        let (rows, classes, width) = (40, 200, 32);
        // 1.3 is not a bf16.
        let embedding: Vec<f32> = random(classes * width, 8)
            .iter()
            .map(|x| 1.3 * x.signum())
            .collect();
        let targets = targets(rows, classes);
        let of_target = targets
            .iter()
            .flat_map(|&target| &embedding[target as usize * width..][..width]);
        let hidden: Vec<f32> = of_target.map(|x| 0.3 * x).collect();
        let matrices = (&hidden[..], &embedding[..], width);
        let exact = run(Precision::F32, matrices, &targets, CrossEntropy::default());
        assert!(exact.0 < 0.01, "a loss that is small, not {}", exact.0);
        for set in KernelSet::supported() {
            let settings = CrossEntropy::default();
            let got = with_kernels(set, || run(Precision::Bf16, matrices, &targets, settings));
            for (got, exact) in [(&got.1, &exact.1), (&got.2, &exact.2)] {
                let largest = exact
                    .iter()
                    .fold(0.0, |largest: f32, x| largest.max(x.abs()));
                let off = got
                    .iter()
                    .zip(exact)
                    .map(|(got, exact)| (got - exact).abs());
                let off = off.fold(0.0, f32::max);
                // Logits of 16 are off by a few hundredths, and so is the rest of the probability.
                assert!(off < 0.15 * largest, "{set}: off by {off} of {largest}");
            }
        }
    }

    /// A training run that diverged must show.
    #[test]
    fn what_is_no_number_stays_none_under_every_set() {
        let (rows, classes, width) = (40, 200, 33);
        let (mut hidden, embedding) = (random(rows * width, 6), random(classes * width, 7));
        hidden[5 * width + 3] = f32::NAN;
        let matrices = (&hidden[..], &embedding[..], width);
        for set in KernelSet::supported() {
            for precision in [Precision::F32, Precision::Bf16] {
                let (loss, of_hidden, of_embedding) = with_kernels(set, || {
                    let settings = CrossEntropy::default();
                    run(precision, matrices, &targets(rows, classes), settings)
                });
                let what = format!("{set} {precision:?}");
                assert!(loss.is_nan(), "{what}");
                assert!(
                    of_hidden[5 * width..][..width].iter().all(|x| x.is_nan()),
                    "{what}"
                );
                assert!(of_embedding.iter().any(|x| x.is_nan()), "{what}");
            }
        }
    }

    #[test]
    fn nothing_counted_is_no_loss() {
        let settings = CrossEntropy {
            ignore_index: Some(0),
            ..CrossEntropy::default()
        };
        let loss = linear_cross_entropy(&[1.0; 4], &[1.0; 6], 2, &[0, 0], settings, None);
        assert_eq!(loss, Loss::default());
    }
}
