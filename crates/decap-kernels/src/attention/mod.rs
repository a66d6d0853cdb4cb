//! Multi-head attention: whole sequences forward and backward, and one token against a cache.

mod backward;
mod forward;
mod heads;
mod sequences;
mod step;

pub use backward::attention_backward;
pub use forward::{attention, attention_into};
pub use sequences::{Attention, Mask, Sequences};
pub use step::{KeyValueCache, attention_step};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{KernelSet, with_kernels};
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
