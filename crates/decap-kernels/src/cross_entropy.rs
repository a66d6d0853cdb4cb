//! Softmax cross-entropy, on given logits or fused with the tied output layer.

use crate::arch::{Kernel, Simd, dispatch, map_lanes};
use crate::dispatch::KernelSet;
use crate::gemm::tile::TileKernel;
use crate::gemm::{
    Accumulate, Epilogue, How, MatrixView, MatrixViewMut, Output, PackedInput, PackedMatrix,
    Precision, Product, multiply_packed, product, with_f32_scratch, with_packed_input,
};
#[cfg(target_arch = "x86_64")]
use crate::gemm::{Layout, LogitTiles, Pieces, with_product, with_scratch};
use crate::softmax::{exp_sum, maximum};
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
            rows = blocks.row_sums(None);
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

/// Classes whose logits are in memory at a time: those of a batch stay in the last-level cache.
const BLOCK_CLASSES: usize = 2048;

/// Exponentials of logits that are kept at most: those of some rows and all classes, in 128 MiB. In tests so few
/// that there is more than one lot of rows.
const KEPT: usize = if cfg!(test) { 1 << 17 } else { 1 << 25 };

/// Rows whose gradients are computed at once.
fn rows_at_once(how: How, rows: usize, classes: usize) -> usize {
    if TileKernel::choose(how.set, how.precision, rows).is_of_matrix_unit() {
        return rows;
    }
    let most = (KEPT / classes).max(1);
    rows.div_ceil(rows.div_ceil(most))
}

/// A cross-entropy of some rows whose logits are computed a block of classes after the other.
///
/// Gradients need the sums of the rows first. The matrix unit computes logits twice, for the sums and for the
/// gradients: that costs one product more than keeping them, and saves reading and writing logits and the gradient of
/// the embedding over and over, which takes longer. Elsewhere products take longer than that, and logits are kept.
struct Blocks<'a> {
    how: How,
    /// The rows, `[rows, width]`.
    hidden: MatrixView<'a>,
    /// The same, as the products with the embedding read them.
    packed: PackedInput<'a>,
    /// `[classes, width]`
    embedding: &'a [f32],
    classes: usize,
    /// `[rows]`
    targets: &'a [usize],
}

/// Packs the hidden states of some rows and lends their cross-entropy to `work`.
fn with_blocks(
    how: How,
    hidden: &[f32],
    width: usize,
    embedding: &[f32],
    targets: &[usize],
    work: impl FnOnce(Blocks<'_>),
) {
    let hidden = MatrixView::row_major(hidden, targets.len(), width);
    with_packed_input(how.set, how.threads, how.precision, hidden, |packed| {
        work(Blocks {
            how,
            hidden,
            packed,
            embedding,
            classes: embedding.len() / width,
            targets,
        });
    });
}

/// What is known of the logits of a row.
#[derive(Clone, Copy)]
struct RowSums {
    largest: f32,
    /// Sum of `e^(logit - largest)`.
    exponentials: f64,
    /// Sum of the logits.
    total: f64,
    /// Logit of the target.
    target: f64,
}

impl RowSums {
    fn log_sum(&self) -> f64 {
        f64::from(self.largest) + self.exponentials.ln()
    }
}

/// How gradients of logits follow from probabilities.
#[derive(Clone, Copy)]
struct Slope {
    /// One over the rows that count.
    factor: f32,
    /// Share of the target that is spread over all classes.
    smoothing: f32,
    classes: usize,
}

impl Slope {
    /// What is taken from the gradient of every class.
    fn spread(self) -> f32 {
        self.smoothing / self.classes as f32 * self.factor
    }

    /// Takes the target's own part from the gradients of the classes from `first`.
    fn take_target(self, target: usize, first: usize, gradients: &mut [f32]) {
        if let Some(gradient) = gradients.get_mut(target.wrapping_sub(first)) {
            *gradient -= (1.0 - self.smoothing) * self.factor;
        }
    }
}

/// Where gradients go.
struct Gradients<'a> {
    /// Those of the rows are added here, `[rows, width]`.
    hidden: &'a mut [f32],
    /// `[classes, width]`
    embedding: &'a mut [f32],
    /// What happens to those of the embedding.
    accumulate: Accumulate,
}

/// Exponentials of the logits of some rows, one block of classes, `[rows, classes]`, after the other.
struct Kept<'a> {
    exponentials: &'a mut [f32],
    /// What each row's logits were reduced by before, of each block, `[blocks, rows]`.
    references: Vec<f32>,
}

impl Blocks<'_> {
    /// The sums of the rows; their exponentials go to `kept`.
    fn row_sums(&self, mut kept: Option<&mut Kept<'_>>) -> Vec<RowSums> {
        let nothing = RowSums {
            largest: f32::NEG_INFINITY,
            exponentials: 0.0,
            total: 0.0,
            target: 0.0,
        };
        let len = self.targets.len();
        let mut rows = vec![nothing; len];
        if rows.is_empty() {
            return rows;
        }
        for first in (0..self.classes).step_by(BLOCK_CLASSES) {
            let block = self.block(first);
            let size = block.rows();
            let mut add = |logits: &mut [f32]| {
                self.logits(block, logits);
                let pairs = rows.par_iter_mut().zip(logits.par_chunks_exact_mut(size));
                pairs
                    .zip(self.targets)
                    .for_each(|((row, logits), &target)| {
                        if (first..first + size).contains(&target) {
                            row.target = f64::from(logits[target - first]);
                        }
                        dispatch(self.how.set, AddLogits { row, logits });
                    });
            };
            match &mut kept {
                None => with_f32_scratch(len * size, add),
                Some(kept) => {
                    add(&mut kept.exponentials[len * first..len * (first + size)]);
                    kept.references.extend(rows.iter().map(|row| row.largest));
                }
            }
        }
        rows
    }

    /// The sums of the rows, and the gradients.
    fn gradients(&self, slope: Slope, into: &mut Gradients<'_>) -> Vec<RowSums> {
        let hidden = PackedMatrix::pack(self.hidden, self.how.precision);
        #[cfg(target_arch = "x86_64")]
        if self.packed.kernel.is_of_matrix_unit() {
            let rows = self.row_sums(None);
            let log_sums: Vec<f32> = rows.iter().map(|row| row.log_sum() as f32).collect();
            for first in (0..self.classes).step_by(BLOCK_CLASSES) {
                let then = |by_row: PackedInput<'_>, by_class: PackedInput<'_>| {
                    self.add_products(first, by_row, by_class, &hidden, into);
                };
                self.with_gradients_in_tiles(first, &log_sums, slope, then);
            }
            return rows;
        }
        let How {
            set,
            threads,
            precision,
        } = self.how;
        let len = self.targets.len();
        with_f32_scratch(len * self.classes, |exponentials| {
            let mut kept = Kept {
                exponentials,
                references: Vec::new(),
            };
            let rows = self.row_sums(Some(&mut kept));
            let blocks = kept.exponentials.chunks_mut(len * BLOCK_CLASSES);
            let blocks = blocks.zip(kept.references.chunks_exact(len));
            for (index, (values, references)) in blocks.enumerate() {
                let first = index * BLOCK_CLASSES;
                let size = values.len() / len;
                let each = values.par_chunks_exact_mut(size).zip(references);
                let each = each.zip(&rows).zip(self.targets);
                each.for_each(|(((values, reference), row), &target)| {
                    let factor = (f64::from(*reference) - row.log_sum()).exp();
                    let scale = ScaleExponentials {
                        factor: factor as f32 * slope.factor,
                        spread: slope.spread(),
                        values,
                    };
                    dispatch(set, scale);
                    slope.take_target(target, first, values);
                });
                let gradients = MatrixView::row_major(values, len, size);
                with_packed_input(set, threads, precision, gradients, |by_row| {
                    let transposed = gradients.transposed();
                    with_packed_input(set, threads, precision, transposed, |by_class| {
                        self.add_products(first, by_row, by_class, &hidden, into);
                    });
                });
            }
            rows
        })
    }

    /// Adds what the gradients of the logits of a block of classes, `[rows, classes]` and transposed, bring.
    fn add_products(
        &self,
        first: usize,
        by_row: PackedInput<'_>,
        by_class: PackedInput<'_>,
        hidden: &PackedMatrix,
        into: &mut Gradients<'_>,
    ) {
        let (block, width) = (self.block(first), self.hidden.columns());
        let out = MatrixViewMut::row_major(into.hidden, self.targets.len(), width);
        let out = &mut Output::new(out);
        multiply_packed(self.how, by_row, block, Accumulate::Add, out);
        let values = &mut into.embedding[first * width..][..block.rows() * width];
        let out = Output::new(MatrixViewMut::row_major(values, block.rows(), width));
        Product {
            accumulate: into.accumulate,
            ..product(by_class, self.how.threads, hidden, Epilogue::default())
        }
        .run(&out);
    }

    /// Lends the gradients of the logits of a block of classes, `[rows, classes]` and transposed.
    #[cfg(target_arch = "x86_64")]
    fn with_gradients_in_tiles(
        &self,
        first: usize,
        log_sums: &[f32],
        slope: Slope,
        then: impl FnOnce(PackedInput<'_>, PackedInput<'_>),
    ) {
        let (block, set) = (self.block(first), self.how.set);
        let layout = |lines, depth| {
            let (grouping, order) = self.packed.kernel.group_rows(set, lines);
            Layout::new(grouping, self.packed.layout.format, order, depth)
        };
        let (rows, size) = (self.targets.len(), block.rows());
        let layouts = [layout(rows, size), layout(size, rows)];
        let gradient = |row: usize, at: usize, logits: &mut [f32]| {
            let gradient = LogitGradients {
                log_sum: log_sums[row],
                factor: slope.factor,
                spread: slope.spread(),
                logits,
            };
            dispatch(set, gradient);
            slope.take_target(self.targets[row], first + at, logits);
        };
        with_scratch(layouts[0].words() + layouts[1].words(), |words| {
            let (by_row, by_class) = words.split_at_mut(layouts[0].words());
            let tiles = LogitTiles {
                rows: (Pieces::new(by_row), layouts[0]),
                classes: (Pieces::new(by_class), layouts[1]),
                gradient: &gradient,
            };
            with_product(self.how, self.packed, block.transposed(), |product| {
                product.run_into_gradients(&tiles);
            });
            let operand = |words, layout| PackedInput {
                words,
                layout,
                ..self.packed
            };
            then(operand(by_row, layouts[0]), operand(by_class, layouts[1]));
        });
    }

    /// The embeddings of a block of classes, `[some classes, width]`.
    fn block(&self, first: usize) -> MatrixView<'_> {
        let (width, size) = (
            self.hidden.columns(),
            BLOCK_CLASSES.min(self.classes - first),
        );
        let embedding = &self.embedding[first * width..(first + size) * width];
        MatrixView::row_major(embedding, size, width)
    }

    /// The logits of a block of classes, `[rows, classes]`.
    fn logits(&self, block: MatrixView<'_>, logits: &mut [f32]) {
        let out = MatrixViewMut::row_major(logits, self.targets.len(), block.rows());
        let out = &mut Output::new(out);
        let block = block.transposed();
        multiply_packed(self.how, self.packed, block, Accumulate::Overwrite, out);
    }
}

/// Adds more logits of a row to its sums.
struct AddLogits<'a> {
    row: &'a mut RowSums,
    logits: &'a mut [f32],
}

impl Kernel for AddLogits<'_> {
    type Output = ();

    /// The logits are replaced by `e^(logit - largest)`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.row;
        row.total += sum(simd, self.logits);
        let largest = maximum(simd, self.logits).max(row.largest);
        row.exponentials *= f64::from(row.largest - largest).exp();
        row.largest = largest;
        row.exponentials += f64::from(exp_sum(simd, self.logits, 1.0, -largest));
    }
}

/// Turns exponentials of logits into their gradients, the target's own part aside.
struct ScaleExponentials<'a> {
    factor: f32,
    spread: f32,
    values: &'a mut [f32],
}

impl Kernel for ScaleExponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (factor, spread) = (simd.splat(self.factor), simd.splat(-self.spread));
        map_lanes!(simd, S, self.values, |x| simd.mul_add(x, factor, spread));
    }
}

/// Turns logits into their gradients, the target's own part aside.
#[cfg(target_arch = "x86_64")]
struct LogitGradients<'a> {
    log_sum: f32,
    factor: f32,
    spread: f32,
    logits: &'a mut [f32],
}

#[cfg(target_arch = "x86_64")]
impl Kernel for LogitGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (log_sum, factor) = (simd.splat(self.log_sum), simd.splat(self.factor));
        let spread = simd.splat(-self.spread);
        map_lanes!(simd, S, self.logits, |x| {
            simd.mul_add(simd.exp(simd.sub(x, log_sum)), factor, spread)
        });
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

/// Sum of a long row: f32 over short runs, f64 over the runs.
#[inline(always)]
fn sum<S: Simd>(simd: S, row: &[f32]) -> f64 {
    let mut total = 0.0;
    for run in row.chunks(64 * S::LANES) {
        let mut lanes = simd.zero();
        for values in run.chunks(S::LANES) {
            lanes = simd.add(lanes, simd.load_partial(values));
        }
        total += f64::from(simd.sum(lanes));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// exp is good to 3e-7, sums of thousands of them to a few of these.
    const TOLERANCE: f32 = 3e-6;

    /// Loss and gradient of the logits in f64.
    fn exact(logits: &[f64], classes: usize, targets: &[u32], s: CrossEntropy) -> (f64, Vec<f64>) {
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

    const CASES: [(usize, usize, CrossEntropy); 4] = [
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

    fn targets(rows: usize, classes: usize) -> Vec<u32> {
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

    /// bf16 keeps 8 bits: logits of 33 products are off by a few 1e-3, gradients by as much of them.
    #[test]
    fn fused_loss_in_bf16_is_close_under_every_set() {
        // One block of classes, and more with a last one that is not whole.
        for (rows, classes, width) in [(40, 200, 33), (67, BLOCK_CLASSES + 45, 40)] {
            let (hidden, embedding) = (random(rows * width, 4), random(classes * width, 5));
            let targets = targets(rows, classes);
            let run = |precision| {
                let mut dh = vec![f32::NAN; rows * width];
                let mut de = vec![f32::NAN; classes * width];
                let gradients = LinearCrossEntropyGradients {
                    hidden: &mut dh,
                    embedding: &mut de,
                };
                let settings = CrossEntropy::default();
                let loss = linear_cross_entropy_with(
                    precision,
                    &hidden,
                    &embedding,
                    width,
                    &targets,
                    settings,
                    Some(gradients),
                );
                (loss.mean, dh, de)
            };
            let exact = run(Precision::F32);
            for set in KernelSet::supported() {
                let got = with_kernels(set, || run(Precision::Bf16));
                assert!((got.0 - exact.0).abs() < 1e-2 * exact.0, "{set}");
                assert_close(&got.1, &exact.1, 1e-3, set.name());
                assert_close(&got.2, &exact.2, 1e-3, set.name());
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
        let loss = linear_cross_entropy(&[1.0; 4], &[1.0; 6], 2, &[0, 0], settings, None);
        assert_eq!(loss, Loss::default());
    }
}
