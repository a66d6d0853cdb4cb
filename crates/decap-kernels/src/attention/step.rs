//! Attention of one token against those before it.

use super::sequences::Attention;
use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::lanes::{add_scaled, dot};
use crate::softmax::softmax_scaled;
use crate::words::with_f32_scratch;
use rayon::prelude::*;

/// Keys and values of the tokens so far, each `[batch, capacity, width]`.
#[derive(Debug)]
pub struct KeyValueCache<'a> {
    /// Keys.
    pub keys: &'a mut [f32],
    /// Values.
    pub values: &'a mut [f32],
    /// How many tokens each sequence has room for.
    pub capacity: usize,
}

/// Attention of one new token in each sequence, to itself and all before it.
///
/// `qkv` is `[batch, 3 * width]` and `output` `[batch, width]`; `positions[i]` tokens of sequence
/// `i` are in the cache already; the new key and value are appended to them.
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
        // Outside the kernel, because a closure is compiled without the instruction set of the function around it.
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
    /// Scratch, one value for each token.
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
