//! The components of a JPEG brought to one size, for every combination of sampling factors, as
//! libjpeg-turbo does it (`jinit_upsampler` in
//! <https://github.com/libjpeg-turbo/libjpeg-turbo/blob/3.1.0/src/jdsample.c>).

use libjpeg_turbo_rs::RawImage;

/// A component as it was stored: `width` by `height` samples, in rows of `stride`.
struct Plane<'a> {
    samples: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

/// All components of `raw` at the size of the photo, `[height, width, components]`, u8.
///
/// `factors` are their sampling factors, each a divisor of the largest. `None` where the planes are
/// smaller than the header says.
pub(super) fn interleaved(raw: &RawImage, factors: &[(usize, usize)]) -> Option<Vec<u8>> {
    let across = factors.iter().map(|it| it.0).max()?;
    let down = factors.iter().map(|it| it.1).max()?;
    let channels = factors.len();
    let mut samples = vec![0; raw.width * raw.height * channels];
    for (channel, &(horizontal, vertical)) in factors.iter().enumerate() {
        let plane = Plane {
            samples: raw.planes.get(channel)?,
            stride: *raw.plane_widths.get(channel)?,
            width: (raw.width * horizontal).div_ceil(across),
            height: (raw.height * vertical).div_ceil(down),
        };
        if plane.width > plane.stride || plane.stride * plane.height > plane.samples.len() {
            return None;
        }
        let steps = (across / horizontal, down / vertical);
        let mut row = vec![0; plane.width * steps.0];
        for (y, target) in samples.chunks_exact_mut(raw.width * channels).enumerate() {
            plane.upsample_row(y, steps, &mut row);
            for (pixel, &sample) in target.chunks_exact_mut(channels).zip(&row) {
                pixel[channel] = sample;
            }
        }
    }
    Some(samples)
}

impl Plane<'_> {
    /// Row `y` of the photo. Steps of two are interpolated, with libjpeg's rounding and edges; all
    /// others repeat their samples.
    fn upsample_row(&self, y: usize, steps: (usize, usize), row: &mut [u8]) {
        let here = self.row(y / steps.1);
        // The row above or below that is nearer: row `y` lies at a quarter of the distance.
        let next = match y % 2 {
            0 => self.row((y / 2).saturating_sub(1)),
            _ => self.row(y / 2 + 1),
        };
        match steps {
            (2, 1) if self.width > 2 => {
                let sum = |x: usize| u32::from(here[x]);
                interpolate(self.width, row, sum, 2, [1, 2]);
            }
            (2, 2) if self.width > 2 => {
                let sum = |x: usize| 3 * u32::from(here[x]) + u32::from(next[x]);
                interpolate(self.width, row, sum, 4, [8, 7]);
            }
            (1, 2) => {
                let bias = 1 + y as u32 % 2;
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = ((3 * u32::from(here[x]) + u32::from(next[x]) + bias) >> 2) as u8;
                }
            }
            (across, _) => {
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = here[x / across];
                }
            }
        }
    }

    /// Row `y` of the plane; beyond the last row that belongs to the photo, that one again.
    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y.min(self.height - 1) * self.stride..][..self.width]
    }
}

/// Makes two samples of each: three parts of it and one of its left or right neighbour. `sum(x)` is
/// what stands for sample `x`, `4 << (shift - 2)` times its size; `biases` round the left and the
/// right of the two.
fn interpolate(
    width: usize,
    row: &mut [u8],
    sum: impl Fn(usize) -> u32,
    shift: u32,
    biases: [u32; 2],
) {
    for x in 0..width {
        let left = sum(x.saturating_sub(1));
        let right = sum((x + 1).min(width - 1));
        let here = 3 * sum(x);
        row[2 * x] = ((here + left + biases[0]) >> shift) as u8;
        row[2 * x + 1] = ((here + right + biases[1]) >> shift) as u8;
    }
}

/// `[pixels, 3]` from YCbCr to RGB (`ycc_rgb_convert` in
/// <https://github.com/libjpeg-turbo/libjpeg-turbo/blob/3.1.0/src/jdcolor.c>).
pub(super) fn ycbcr_to_rgb(samples: &mut [u8]) {
    for pixel in samples.chunks_exact_mut(3) {
        let rgb = rgb_of([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&rgb);
    }
}

/// `[pixels, 4]` from YCCK to CMYK: RGB turned round, black as it is.
pub(super) fn ycck_to_cmyk(samples: &mut [u8]) {
    for pixel in samples.chunks_exact_mut(4) {
        let rgb = rgb_of([pixel[0], pixel[1], pixel[2]]);
        pixel[..3].copy_from_slice(&rgb.map(|value| 255 - value));
    }
}

fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    // 1.402, 1.772, 0.71414 and 0.34414 times 65,536.
    const RED_BY_CR: i32 = 91_881;
    const BLUE_BY_CB: i32 = 116_130;
    const GREEN_BY_CR: i32 = -46_802;
    const GREEN_BY_CB: i32 = -22_554;
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    [
        RED_BY_CR * cr,
        GREEN_BY_CB * cb + GREEN_BY_CR * cr,
        BLUE_BY_CB * cb,
    ]
    .map(|difference| (y + ((difference + HALF) >> 16)).clamp(0, 255) as u8)
}
