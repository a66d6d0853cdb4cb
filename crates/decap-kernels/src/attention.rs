//! Multi-head attention: whole sequences forward and backward, and one token against a cache.

use crate::arch::{Kernel, Simd, add_scaled, dispatch, dot};
use crate::dispatch::KernelSet;
use crate::gemm::{
    self, Accumulate, Activations, How, MatrixView, MatrixViewMut, Output, OutputBlock, Precision,
    Threads, with_f32_scratch,
};
use crate::softmax::softmax_scaled;
use rayon::prelude::*;

/// Which tokens a token attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// All tokens of its sequence.
    Full,
    /// Itself and those before it.
    Causal,
}

/// Heads of an attention layer; scores are scaled by `1 / sqrt(head_width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Number of heads.
    pub num_heads: usize,
    /// Values of a head; the layer is `num_heads * head_width` wide.
    pub head_width: usize,
    /// Which tokens a token attends to.
    pub mask: Mask,
}

impl Attention {
    /// Width of the layer.
    pub fn width(&self) -> usize {
        self.num_heads * self.head_width
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }
}

/// How the tokens of a batch lie in memory.
#[derive(Clone, Copy, Debug)]
pub enum Sequences<'a> {
    /// `[batch, tokens, ...]`, with `lengths[i] <= tokens` valid tokens in sequence `i`; outputs
    /// and gradients of the others are 0.
    Padded {
        /// Rows that each sequence occupies.
        tokens: usize,
        /// Valid tokens of each sequence, `[batch]`.
        lengths: &'a [usize],
    },
    /// `[sum of lengths, ...]`: sequences follow each other without padding.
    Packed {
        /// Tokens of each sequence, `[batch]`.
        lengths: &'a [usize],
    },
}

/// One sequence: its rows, and where its probabilities start.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    first_row: usize,
    tokens: usize,
    probabilities: usize,
}

impl Sequences<'_> {
    fn lengths(&self) -> &[usize] {
        match self {
            Self::Padded { lengths, .. } | Self::Packed { lengths } => lengths,
        }
    }

    /// Rows of the batch, padding included.
    pub fn rows(&self) -> usize {
        match self {
            Self::Padded { tokens, lengths } => tokens * lengths.len(),
            Self::Packed { lengths } => lengths.iter().sum(),
        }
    }

    /// Values of all attention probabilities: `[num_heads, length, length]` for each sequence.
    pub fn probabilities_len(&self, attention: &Attention) -> usize {
        let squares: usize = self.lengths().iter().map(|length| length * length).sum();
        attention.num_heads * squares
    }

    fn iterate(&self, num_heads: usize) -> Vec<Sequence> {
        let (mut row, mut probabilities) = (0, 0);
        let mut sequences = Vec::with_capacity(self.lengths().len());
        for &length in self.lengths() {
            let occupied = match self {
                Self::Padded { tokens, .. } => *tokens,
                Self::Packed { .. } => length,
            };
            assert!(
                length <= occupied,
                "length {length} of a sequence of {occupied} tokens"
            );
            sequences.push(Sequence {
                first_row: row,
                tokens: length,
                probabilities,
            });
            row += occupied;
            probabilities += num_heads * length * length;
        }
        sequences
    }
}

/// Attention of whole sequences.
///
/// `qkv` is `[rows, 3 * width]`, queries, keys and values side by side; `output` is
/// `[rows, width]`. `probabilities`, when given, is filled for the backward pass and has
/// [`Sequences::probabilities_len`] values.
///
/// # Panics
/// When the lengths do not agree.
pub fn attention(
    qkv: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    probabilities: Option<&mut [f32]>,
    output: &mut [f32],
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(output.len(), rows * width, "output of attention");
    if let Sequences::Padded { .. } = sequences {
        output.fill(0.0);
    }
    let wanted = sequences.probabilities_len(&attention);
    if let Some(probabilities) = &probabilities {
        assert_eq!(probabilities.len(), wanted, "probabilities of attention");
    }
    if output.is_empty() {
        return;
    }
    let set = KernelSet::active();
    let output = Output::new(MatrixViewMut::row_major(output, rows, width));
    let head = |head: Head, scores: &mut [f32]| {
        // SAFETY: each head of each sequence has rows and columns of its own.
        let out = unsafe { head.block(&output, attention, 0) };
        forward_head((set, Precision::F32), qkv, attention, head, scores, out);
    };
    let heads = heads(sequences, attention);
    match probabilities {
        Some(probabilities) => {
            let jobs = split_probabilities(heads, probabilities);
            jobs.into_par_iter()
                .for_each(|(job, scores)| head(job, scores));
        }
        None => heads.into_par_iter().for_each(|job| {
            with_f32_scratch(job.sequence.tokens * job.sequence.tokens, |scores| {
                head(job, scores);
            });
        }),
    }
}

/// [`attention`] whose output is in the form for the next product; where that is bf16, so are the
/// operands of the products in it.
///
/// # Panics
/// When the sizes do not agree.
pub fn attention_into(
    qkv: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    output: &mut Activations,
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(output.width(), width, "width of attention's output");
    assert_eq!(output.rows(), rows, "rows of attention's output");
    if let Some(output) = output.floats_mut() {
        return self::attention(qkv, sequences, attention, None, output);
    }
    let set = KernelSet::active();
    let head_width = attention.head_width;
    let padded = matches!(sequences, Sequences::Padded { .. });
    match output.column_writer(head_width) {
        Some(writer) if !padded => {
            heads(sequences, attention)
                .into_par_iter()
                .for_each(|head| {
                    let tokens = head.sequence.tokens;
                    with_f32_scratch(tokens * (tokens + head_width), |scratch| {
                        let (scores, values) = scratch.split_at_mut(tokens * tokens);
                        let out = Output::new(MatrixViewMut::row_major(values, tokens, head_width));
                        // SAFETY: the only block of an output of its own.
                        let block = unsafe { out.block(0, tokens, 0, head_width) };
                        forward_head((set, Precision::Bf16), qkv, attention, head, scores, block);
                        for (token, values) in values.chunks_exact(head_width).enumerate() {
                            let row = head.sequence.first_row + token;
                            // SAFETY: each head of each sequence has rows and columns of its own.
                            unsafe { writer.write(row, head.index * head_width, values) };
                        }
                    });
                });
        }
        _ => with_f32_scratch(rows * width, |values| {
            self::attention(qkv, sequences, attention, None, values);
            output.fill_rows(1, |row, piece| {
                piece.copy_from_slice(&values[row * width..][..piece.len()]);
            });
        }),
    }
}

/// One head of one sequence.
#[derive(Clone, Copy, Debug)]
struct Head {
    sequence: Sequence,
    index: usize,
}

fn heads(sequences: Sequences<'_>, attention: Attention) -> Vec<Head> {
    let sequences = sequences.iterate(attention.num_heads).into_iter();
    let per_head =
        |sequence: Sequence| (0..attention.num_heads).map(move |index| Head { sequence, index });
    sequences
        .filter(|sequence| sequence.tokens > 0)
        .flat_map(per_head)
        .collect()
}

fn split_probabilities(heads: Vec<Head>, mut rest: &mut [f32]) -> Vec<(Head, &mut [f32])> {
    let split = |head: Head| {
        let square = head.sequence.tokens * head.sequence.tokens;
        let (scores, after) = std::mem::take(&mut rest).split_at_mut(square);
        rest = after;
        (head, scores)
    };
    heads.into_iter().map(split).collect()
}

impl Head {
    /// Queries (`part` 0), keys (1) or values (2) of the head, `[tokens, head_width]`.
    fn view<'a>(&self, qkv: &'a [f32], attention: Attention, part: usize) -> MatrixView<'a> {
        let stride = 3 * attention.width();
        let column = part * attention.width() + self.index * attention.head_width;
        let start = self.sequence.first_row * stride + column;
        let tokens = self.sequence.tokens;
        MatrixView::with_row_stride(&qkv[start..], tokens, attention.head_width, stride)
    }

    /// The head's rows and columns in an output whose rows hold one or three widths.
    ///
    /// # Safety
    /// As for [`Output::block`].
    unsafe fn block<'a>(
        &self,
        output: &'a Output<'_>,
        attention: Attention,
        part: usize,
    ) -> OutputBlock<'a> {
        let column = part * attention.width() + self.index * attention.head_width;
        let (row, tokens) = (self.sequence.first_row, self.sequence.tokens);
        // SAFETY: the caller's promise is the same.
        unsafe { output.block(row, tokens, column, attention.head_width) }
    }
}

fn forward_head(
    (set, precision): (KernelSet, Precision),
    qkv: &[f32],
    attention: Attention,
    head: Head,
    scores: &mut [f32],
    mut out: OutputBlock<'_>,
) {
    let tokens = head.sequence.tokens;
    let [queries, keys, values] = [0, 1, 2].map(|part| head.view(qkv, attention, part));
    let scores_out = square(scores, tokens);
    multiply((set, precision), queries, keys.transposed(), scores_out);
    dispatch(
        set,
        MaskedSoftmax {
            scores,
            tokens,
            attention,
        },
    );
    let probabilities = MatrixView::row_major(scores, tokens, tokens);
    multiply((set, precision), probabilities, values, out.as_output());
}

fn square(values: &mut [f32], tokens: usize) -> Output<'_> {
    Output::new(MatrixViewMut::row_major(values, tokens, tokens))
}

fn multiply(
    (set, precision): (KernelSet, Precision),
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    mut out: Output<'_>,
) {
    let how = How {
        set,
        threads: Threads::One,
        precision,
    };
    gemm::multiply(how, a, b, Accumulate::Overwrite, &mut out);
}

struct MaskedSoftmax<'a> {
    scores: &'a mut [f32],
    tokens: usize,
    attention: Attention,
}

impl Kernel for MaskedSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (token, row) in self.scores.chunks_exact_mut(self.tokens).enumerate() {
            let visible = match self.attention.mask {
                Mask::Full => self.tokens,
                Mask::Causal => token + 1,
            };
            let (row, hidden) = row.split_at_mut(visible);
            softmax_scaled(simd, row, self.attention.scale());
            hidden.fill(0.0);
        }
    }
}

/// Gradient of [`attention`] with respect to `qkv`.
///
/// `probabilities` are those that the forward pass saved, `output_gradient` is `[rows, width]`
/// and `qkv_gradient` `[rows, 3 * width]`; it is overwritten.
///
/// # Panics
/// When the lengths do not agree.
pub fn attention_backward(
    qkv: &[f32],
    probabilities: &[f32],
    output_gradient: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    qkv_gradient: &mut [f32],
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(qkv_gradient.len(), qkv.len(), "qkv gradient of attention");
    assert_eq!(
        output_gradient.len(),
        rows * width,
        "output gradient of attention"
    );
    let wanted = sequences.probabilities_len(&attention);
    assert_eq!(probabilities.len(), wanted, "probabilities of attention");
    if let Sequences::Padded { .. } = sequences {
        qkv_gradient.fill(0.0);
    }
    if qkv.is_empty() {
        return;
    }
    let set = KernelSet::active();
    let qkv_gradient = Output::new(MatrixViewMut::row_major(qkv_gradient, rows, 3 * width));
    heads(sequences, attention)
        .into_par_iter()
        .for_each(|head| {
            let tokens = head.sequence.tokens;
            let start = head.sequence.probabilities + head.index * tokens * tokens;
            let probabilities = &probabilities[start..start + tokens * tokens];
            let start = head.sequence.first_row * width + head.index * attention.head_width;
            let output_gradient = MatrixView::with_row_stride(
                &output_gradient[start..],
                tokens,
                attention.head_width,
                width,
            );
            with_f32_scratch(tokens * tokens, |scores| {
                let inputs = BackwardInputs {
                    set,
                    qkv,
                    attention,
                    head,
                    probabilities,
                    output_gradient,
                };
                inputs.run(scores, &qkv_gradient);
            });
        });
}

struct BackwardInputs<'a> {
    set: KernelSet,
    qkv: &'a [f32],
    attention: Attention,
    head: Head,
    probabilities: &'a [f32],
    output_gradient: MatrixView<'a>,
}

impl BackwardInputs<'_> {
    /// `dV = P' dO`; `dP = dO V'`; `dS = P (dP - rowsum(P dP)) scale`; `dQ = dS K`; `dK = dS' Q`.
    fn run(&self, scores: &mut [f32], qkv_gradient: &Output<'_>) {
        let (head, attention) = (self.head, self.attention);
        let set = (self.set, Precision::F32);
        let tokens = head.sequence.tokens;
        let [queries, keys, values] = [0, 1, 2].map(|part| head.view(self.qkv, attention, part));
        // SAFETY: each head of each sequence, and each of the three parts, has rows and columns of
        // its own.
        let [mut dq, mut dk, mut dv] =
            [0, 1, 2].map(|part| unsafe { head.block(qkv_gradient, attention, part) });
        let probabilities = MatrixView::row_major(self.probabilities, tokens, tokens);
        multiply(
            set,
            probabilities.transposed(),
            self.output_gradient,
            dv.as_output(),
        );
        multiply(
            set,
            self.output_gradient,
            values.transposed(),
            square(scores, tokens),
        );
        dispatch(
            self.set,
            SoftmaxBackward {
                gradients: scores,
                probabilities: self.probabilities,
                tokens,
                scale: attention.scale(),
            },
        );
        let scores = MatrixView::row_major(scores, tokens, tokens);
        multiply(set, scores, keys, dq.as_output());
        multiply(set, scores.transposed(), queries, dk.as_output());
    }
}

struct SoftmaxBackward<'a> {
    gradients: &'a mut [f32],
    probabilities: &'a [f32],
    tokens: usize,
    scale: f32,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = simd.splat(self.scale);
        let probabilities = self.probabilities.chunks_exact(self.tokens);
        for (gradient, probability) in self
            .gradients
            .chunks_exact_mut(self.tokens)
            .zip(probabilities)
        {
            let mean = simd.splat(dot(simd, gradient, probability));
            let lanes = gradient
                .chunks_mut(S::LANES)
                .zip(probability.chunks(S::LANES));
            for (gradient, probability) in lanes {
                let centered = simd.sub(simd.load_partial(gradient), mean);
                let scaled = simd.mul(simd.load_partial(probability), scale);
                simd.store_partial(simd.mul(centered, scaled), gradient);
            }
        }
    }
}

/// Keys and values of the tokens so far, each `[batch, capacity, width]`.
#[derive(Debug)]
pub struct KeyValueCache<'a> {
    /// Keys.
    pub keys: &'a mut [f32],
    /// Values.
    pub values: &'a mut [f32],
    /// Tokens that there is room for in each sequence.
    pub capacity: usize,
}

/// Attention of one new token in each sequence, to itself and all before it.
///
/// `qkv` is `[batch, 3 * width]` and `output` `[batch, width]`; `positions[i]` tokens of sequence
/// `i` are in the cache already, and the new key and value are written behind them.
///
/// # Panics
/// When the lengths do not agree or the cache is full.
pub fn attention_step(
    qkv: &[f32],
    cache: KeyValueCache<'_>,
    positions: &[usize],
    attention: Attention,
    output: &mut [f32],
) {
    let width = attention.width();
    let batch = positions.len();
    assert_eq!(qkv.len(), batch * 3 * width, "qkv of an attention step");
    assert_eq!(output.len(), batch * width, "output of an attention step");
    assert_eq!(
        cache.keys.len(),
        batch * cache.capacity * width,
        "cached keys"
    );
    assert_eq!(cache.values.len(), cache.keys.len(), "cached values");
    let set = KernelSet::active();
    if output.is_empty() {
        return;
    }
    for (index, &position) in positions.iter().enumerate() {
        assert!(position < cache.capacity, "no room for token {position}");
        let row = &qkv[index * 3 * width..(index + 1) * 3 * width];
        let start = (index * cache.capacity + position) * width;
        cache.keys[start..start + width].copy_from_slice(&row[width..2 * width]);
        cache.values[start..start + width].copy_from_slice(&row[2 * width..]);
    }
    let (keys, values) = (&*cache.keys, &*cache.values);
    let step = |(index, output): (usize, &mut [f32])| {
        let start = index * cache.capacity * width;
        let end = start + (positions[index] + 1) * width;
        // Outside of the kernel: a closure is compiled without the instructions of the function around it.
        with_f32_scratch(positions[index] + 1, |scores| {
            dispatch(
                set,
                Step {
                    queries: &qkv[index * 3 * width..index * 3 * width + width],
                    keys: &keys[start..end],
                    values: &values[start..end],
                    attention,
                    scores,
                    output,
                },
            );
        });
    };
    if batch == 1 {
        step((0, output));
    } else {
        output
            .par_chunks_exact_mut(width)
            .enumerate()
            .for_each(step);
    }
}

struct Step<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    attention: Attention,
    /// Scratch, a value a token.
    scores: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (width, head_width) = (self.attention.width(), self.attention.head_width);
        let scores = self.scores;
        for head in 0..self.attention.num_heads {
            let columns = head * head_width..(head + 1) * head_width;
            let query = &self.queries[columns.clone()];
            for (score, key) in scores.iter_mut().zip(self.keys.chunks_exact(width)) {
                *score = dot(simd, query, &key[columns.clone()]);
            }
            softmax_scaled(simd, scores, self.attention.scale());
            let output = &mut self.output[columns.clone()];
            output.fill(0.0);
            for (&weight, value) in scores.iter().zip(self.values.chunks_exact(width)) {
                add_scaled(simd, output, weight, &value[columns.clone()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// Sums of up to a hundred f32 products against f64.
    const TOLERANCE: f32 = 1e-5;

    /// One sequence, `qkv` `[tokens, 3 * width]`, in f64.
    fn exact(qkv: &[f64], attention: Attention) -> Vec<f64> {
        let (width, d) = (attention.width(), attention.head_width);
        let tokens = qkv.len() / (3 * width);
        let mut output = vec![0.0; tokens * width];
        for head in 0..attention.num_heads {
            let at = |token: usize, part: usize, i: usize| {
                qkv[token * 3 * width + part * width + head * d + i]
            };
            for query in 0..tokens {
                let visible = match attention.mask {
                    Mask::Full => tokens,
                    Mask::Causal => query + 1,
                };
                let scores: Vec<f64> = (0..visible)
                    .map(|key| {
                        let dot: f64 = (0..d).map(|i| at(query, 0, i) * at(key, 1, i)).sum();
                        (dot / (d as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for i in 0..d {
                    let mixed: f64 = (0..visible).map(|key| scores[key] * at(key, 2, i)).sum();
                    output[query * width + head * d + i] = mixed / sum;
                }
            }
        }
        output
    }

    fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&value| f64::from(value)).collect()
    }

    fn narrow(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&value| value as f32).collect()
    }

    const SHAPES: [Attention; 3] = [
        Attention {
            num_heads: 1,
            head_width: 7,
            mask: Mask::Full,
        },
        Attention {
            num_heads: 3,
            head_width: 16,
            mask: Mask::Causal,
        },
        Attention {
            num_heads: 2,
            head_width: 20,
            mask: Mask::Full,
        },
    ];

    #[test]
    fn packed_and_padded_batches_agree_with_f64_under_every_set() {
        let lengths = [5, 1, 0, 17];
        for set in KernelSet::supported() {
            for shape in SHAPES {
                let width = shape.width();
                let rows: usize = lengths.iter().sum();
                let qkv = random(rows * 3 * width, 1);
                let mut expected = Vec::new();
                let (mut padded, mut expected_padded) = (Vec::new(), Vec::new());
                let mut row = 0;
                for length in lengths {
                    let own = &qkv[row * 3 * width..(row + length) * 3 * width];
                    let output = narrow(&exact(&widen(own), shape));
                    row += length;
                    padded.extend_from_slice(own);
                    padded.resize(padded.len() + (17 - length) * 3 * width, f32::NAN);
                    expected_padded.extend_from_slice(&output);
                    expected_padded.resize(expected_padded.len() + (17 - length) * width, 0.0);
                    expected.extend(output);
                }
                let mut output = vec![f32::NAN; rows * width];
                let mut output_padded = vec![f32::NAN; 4 * 17 * width];
                with_kernels(set, || {
                    let sequences = Sequences::Packed { lengths: &lengths };
                    attention(&qkv, sequences, shape, None, &mut output);
                    let sequences = Sequences::Padded {
                        tokens: 17,
                        lengths: &lengths,
                    };
                    let mut kept = vec![f32::NAN; sequences.probabilities_len(&shape)];
                    attention(
                        &padded,
                        sequences,
                        shape,
                        Some(&mut kept),
                        &mut output_padded,
                    );
                    assert!(kept.iter().all(|p| (0.0..=1.00001).contains(p)));
                });
                assert_close(&output, &expected, TOLERANCE, &format!("{set} {shape:?}"));
                let what = format!("{set} {shape:?} padded");
                assert_close(&output_padded, &expected_padded, TOLERANCE, &what);
            }
        }
    }

    #[test]
    fn backward_is_the_slope_under_every_set() {
        let lengths = [4, 6];
        let sequences = Sequences::Packed { lengths: &lengths };
        for shape in SHAPES {
            let width = shape.width();
            let qkv = random(10 * 3 * width, 2);
            let gradient = random(10 * width, 3);
            let loss = |qkv: &[f64]| -> f64 {
                let (first, second) = qkv.split_at(4 * 3 * width);
                let output = [exact(first, shape), exact(second, shape)].concat();
                output
                    .iter()
                    .zip(&gradient)
                    .map(|(o, g)| o * f64::from(*g))
                    .sum()
            };
            let mut wide = widen(&qkv);
            let expected: Vec<f32> = (0..qkv.len())
                .map(|i| {
                    let middle = wide[i];
                    wide[i] = middle + 1e-5;
                    let above = loss(&wide);
                    wide[i] = middle - 1e-5;
                    let below = loss(&wide);
                    wide[i] = middle;
                    ((above - below) / 2e-5) as f32
                })
                .collect();
            for set in KernelSet::supported() {
                let mut output = vec![0.0; 10 * width];
                let mut kept = vec![0.0; sequences.probabilities_len(&shape)];
                let mut got = vec![f32::NAN; qkv.len()];
                with_kernels(set, || {
                    attention(&qkv, sequences, shape, Some(&mut kept), &mut output);
                    attention_backward(&qkv, &kept, &gradient, sequences, shape, &mut got);
                });
                assert_close(&got, &expected, TOLERANCE, &format!("{set} {shape:?}"));
            }
        }
    }

    #[test]
    fn steps_with_a_cache_equal_the_whole_causal_sequence() {
        let shape = SHAPES[1];
        let width = shape.width();
        let (batch, tokens, capacity) = (2, 9, 12);
        let qkv = random(batch * tokens * 3 * width, 4);
        let mut expected = vec![0.0; batch * tokens * width];
        let sequences = Sequences::Packed {
            lengths: &[tokens, tokens],
        };
        attention(&qkv, sequences, shape, None, &mut expected);
        for set in KernelSet::supported() {
            let mut keys = vec![f32::NAN; batch * capacity * width];
            let mut values = keys.clone();
            for token in 0..tokens {
                let rows: Vec<f32> = (0..batch)
                    .flat_map(|b| &qkv[(b * tokens + token) * 3 * width..][..3 * width])
                    .copied()
                    .collect();
                let cache = KeyValueCache {
                    keys: &mut keys,
                    values: &mut values,
                    capacity,
                };
                let mut output = vec![0.0; batch * width];
                with_kernels(set, || {
                    attention_step(&rows, cache, &[token; 2], shape, &mut output);
                });
                for b in 0..batch {
                    let expected = &expected[(b * tokens + token) * width..][..width];
                    let got = &output[b * width..(b + 1) * width];
                    assert_close(got, expected, TOLERANCE, &format!("{set} token {token}"));
                }
            }
        }
    }
}
