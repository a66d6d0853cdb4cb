//! Resizing photos, bit for bit as Pillow does it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::RgbImage;

/// The interpolation filter of a resize.
///
/// When a photo shrinks, the filter widens with it ("antialias"), so every source pixel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Keys' cubic with a = -0.5, as Pillow's `BICUBIC`.
    #[default]
    Bicubic,
    /// The triangle, as Pillow's `BILINEAR`.
    Bilinear,
}

/// A window of a resized photo, in pixels of the resized photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels left of it.
    pub left: u64,
    /// Pixels above it.
    pub top: u64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// The `window` of `image` resized to `width` x `height`: `[window.height, window.width, 3]`, u8.
///
/// Equals Pillow's `image.resize((width, height), filter).crop(window)`, yet computes nothing
/// outside of the window. There are two passes, across and down, and each rounds to 8 bits
/// (<https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/Resample.c>). The order
/// is that of Pillow 13, which begins with the pass down where the height shrinks by more than
/// twice as many pixels as the width (<https://github.com/python-pillow/Pillow/pull/9549>);
/// earlier releases always begin across.
pub fn resize_window(
    image: &RgbImage,
    (width, height): (u64, u64),
    window: Window,
    filter: Filter,
) -> Vec<u8> {
    /// Output rows a task; tasks repeat the work on the few source rows that they share.
    const BAND_ROWS: usize = 32;

    let shrinkage = |from: u32, to: u64| i128::from(from) - i128::from(to);
    let (less_width, less_height) = (
        shrinkage(image.width(), width),
        shrinkage(image.height(), height),
    );
    let resize_band = if less_height > 0 && less_height > 2 * less_width {
        resize_band_down_first
    } else {
        resize_band_across_first
    };
    let columns = taps(image.width(), width, window.left, window.width, filter);
    let rows = taps(image.height(), height, window.top, window.height, filter);
    let row_values = window.width as usize * 3;
    let mut resized = vec![0; row_values * window.height as usize];
    if row_values > 0 {
        resized
            .par_chunks_mut(row_values * BAND_ROWS)
            .zip(rows.par_chunks(BAND_ROWS))
            .for_each(|(band, rows)| resize_band(image, &columns, rows, band));
    }
    resized
}

/// Fixed-point weights: 22 bits behind the point, so that 8-bit samples cannot overflow.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// The source pixels that make one output pixel.
#[derive(Debug, PartialEq)]
struct Taps {
    /// Index of the first.
    first: usize,
    /// One weight each, fixed-point.
    weights: Vec<i32>,
}

/// The taps of the `count` output pixels from `start` on, `output` being the whole resized length.
///
/// `precompute_coeffs` and `normalize_coeffs_8bpc` of Pillow, in the same order of operations.
fn taps(input: u32, output: u64, start: u64, count: u32, filter: Filter) -> Vec<Taps> {
    if u64::from(input) == output {
        // Pillow leaves out a pass that would change nothing.
        let unchanged = |index| Taps {
            first: index as usize,
            weights: vec![1 << PRECISION_BITS],
        };
        return (start..start + u64::from(count)).map(unchanged).collect();
    }
    let (support, weigh): (f64, fn(f64) -> f64) = match filter {
        Filter::Bicubic => (2.0, bicubic),
        Filter::Bilinear => (1.0, bilinear),
    };
    let scale = f64::from(input) / output as f64;
    let filter_scale = scale.max(1.0);
    let support = support * filter_scale;
    (start..start + u64::from(count))
        .map(|index| {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as u32;
            let end = ((center + support + 0.5) as u32).min(input);
            let weights: Vec<f64> = (first..end)
                .map(|x| weigh((f64::from(x) - center + 0.5) * (1.0 / filter_scale)))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| {
                let scaled = weight / sum * f64::from(1 << PRECISION_BITS);
                (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
            };
            Taps {
                first: first as usize,
                weights: weights.iter().map(fixed).collect(),
            }
        })
        .collect()
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Fills `band` `[rows, columns, 3]`: each source row is resized across once and at once weighed
/// into all output rows that it belongs to, so memory does not grow with the photo.
fn resize_band_across_first(image: &RgbImage, columns: &[Taps], rows: &[Taps], band: &mut [u8]) {
    let row_values = columns.len() * 3;
    let source_row_bytes = image.width() as usize * 3;
    let first = rows.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end = rows
        .iter()
        .map(|taps| taps.first + taps.weights.len())
        .max()
        .unwrap_or(0);

    let mut sums = vec![HALF; band.len()];
    let mut across = vec![0; row_values];
    for source in first..end {
        let bytes = &image.pixels()[source * source_row_bytes..][..source_row_bytes];
        resize_row(bytes, columns, &mut across);
        for (taps, sums) in rows.iter().zip(sums.chunks_exact_mut(row_values)) {
            let weight = source
                .checked_sub(taps.first)
                .and_then(|at| taps.weights.get(at));
            if let Some(&weight) = weight {
                for (sum, &value) in sums.iter_mut().zip(&across) {
                    *sum += i32::from(value) * weight;
                }
            }
        }
    }
    for (value, sum) in band.iter_mut().zip(sums) {
        *value = narrow(sum);
    }
}

/// Fills `band` `[rows, columns, 3]`: source rows are weighed into one, which is resized across.
fn resize_band_down_first(image: &RgbImage, columns: &[Taps], rows: &[Taps], band: &mut [u8]) {
    let source_row_bytes = image.width() as usize * 3;
    let mut sums = vec![HALF; source_row_bytes];
    let mut down = vec![0; source_row_bytes];
    for (taps, resized) in rows.iter().zip(band.chunks_exact_mut(columns.len() * 3)) {
        sums.fill(HALF);
        let source_rows = image
            .pixels()
            .chunks_exact(source_row_bytes)
            .skip(taps.first);
        for (bytes, &weight) in source_rows.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(bytes) {
                *sum += i32::from(value) * weight;
            }
        }
        for (value, &sum) in down.iter_mut().zip(&sums) {
            *value = narrow(sum);
        }
        resize_row(&down, columns, resized);
    }
}

/// One row across: `source` `[width, 3]` to `resized` `[columns, 3]`.
fn resize_row(source: &[u8], columns: &[Taps], resized: &mut [u8]) {
    for (taps, pixel) in columns.iter().zip(resized.chunks_exact_mut(3)) {
        let mut sums = [HALF; 3];
        let bytes = &source[taps.first * 3..][..taps.weights.len() * 3];
        for (rgb, &weight) in bytes.chunks_exact(3).zip(&taps.weights) {
            sums[0] += i32::from(rgb[0]) * weight;
            sums[1] += i32::from(rgb[1]) * weight;
            sums[2] += i32::from(rgb[2]) * weight;
        }
        pixel.copy_from_slice(&sums.map(narrow));
    }
}

/// `clip8` of Pillow.
fn narrow(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one() {
        for (input, output) in [(1, 7), (7, 1), (640, 224), (224, 640), (1_000_000, 224)] {
            for filter in [Filter::Bicubic, Filter::Bilinear] {
                for taps in taps(input, output, 0, output as u32, filter) {
                    let sum: i64 = taps.weights.iter().map(|&weight| i64::from(weight)).sum();
                    // Each weight is rounded by at most one half.
                    let bound = taps.weights.len() as i64 / 2 + 1;
                    assert!(
                        (sum - (1 << PRECISION_BITS)).abs() <= bound,
                        "{input} to {output}"
                    );
                    assert!(taps.first + taps.weights.len() <= input as usize);
                }
            }
        }
    }

    #[test]
    fn a_window_is_the_same_part_of_the_whole() {
        let pixels = (0..40 * 30 * 3)
            .map(|index| (index * 7919 % 251) as u8)
            .collect();
        let image = RgbImage::new(40, 30, pixels).unwrap();
        let whole = Window {
            left: 0,
            top: 0,
            width: 100,
            height: 90,
        };
        let part = Window {
            left: 13,
            top: 37,
            width: 50,
            height: 41,
        };
        let whole = resize_window(&image, (100, 90), whole, Filter::Bicubic);
        let expected = RgbImage::new(100, 90, whole)
            .unwrap()
            .cropped(13, 37, 50, 41)
            .unwrap();
        let resized = resize_window(&image, (100, 90), part, Filter::Bicubic);
        assert_eq!(resized, expected.pixels());
    }
}
