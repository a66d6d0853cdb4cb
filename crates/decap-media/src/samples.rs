//! Samples of 8 bits to RGB: grey is repeated, transparency lies on white.

/// What the samples of a pixel stand for, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    RgbAlpha,
    /// Amounts of ink: 0 leaves the paper white.
    Cmyk,
}

impl Channels {
    /// Samples of a pixel.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::RgbAlpha | Self::Cmyk => 4,
        }
    }
}

/// `samples` `[pixels, channels]`, u8, as `[pixels, 3]`; in place where the result is no longer.
pub(super) fn to_rgb(samples: Vec<u8>, channels: Channels) -> Vec<u8> {
    match channels {
        Channels::Rgb => samples,
        Channels::Grey => samples.into_iter().flat_map(|value| [value; 3]).collect(),
        Channels::GreyAlpha => {
            let pixels = samples.chunks_exact(2);
            pixels.flat_map(|it| [on_white(it[0], it[1]); 3]).collect()
        }
        Channels::RgbAlpha => narrowed(samples, |[red, green, blue, alpha]| {
            [red, green, blue].map(|value| on_white(value, alpha))
        }),
        Channels::Cmyk => narrowed(samples, rgb_of_cmyk),
    }
}

/// Makes every four samples three, without a second buffer.
fn narrowed(mut samples: Vec<u8>, convert: impl Fn([u8; 4]) -> [u8; 3]) -> Vec<u8> {
    let pixels = samples.len() / 4;
    for pixel in 0..pixels {
        let from = pixel * 4;
        let four = [0, 1, 2, 3].map(|channel| samples[from + channel]);
        samples[pixel * 3..][..3].copy_from_slice(&convert(four));
    }
    samples.truncate(pixels * 3);
    samples.shrink_to_fit();
    samples
}

/// `value` over white with coverage `alpha`, rounded as Pillow's paste does it
/// (`BLEND` in <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/ImagingUtils.h>).
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    divided_by_255(value * alpha + 255 * (255 - alpha)) as u8
}

/// A premultiplied `value` as it is without its `alpha` (`unpackRGBa` in
/// <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/Unpack.c>).
pub(super) fn unmultiplied(value: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
    }
}

/// `cmyk2rgb` in <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/Convert.c>.
fn rgb_of_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| (light - divided_by_255(u32::from(ink) * light)) as u8)
}

/// Rounded, for products of two numbers of 8 bits.
fn divided_by_255(product: u32) -> u32 {
    let sum = product + 128;
    ((sum >> 8) + sum) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_pixel_becomes_rgb() {
        let cases: [(Channels, &[u8], &[u8]); 5] = [
            (Channels::Grey, &[7, 200], &[7, 7, 7, 200, 200, 200]),
            (
                Channels::GreyAlpha,
                &[0, 0, 10, 255],
                &[255, 255, 255, 10, 10, 10],
            ),
            (Channels::Rgb, &[1, 2, 3], &[1, 2, 3]),
            (
                Channels::RgbAlpha,
                &[1, 2, 3, 255, 9, 9, 9, 0, 0, 100, 200, 128],
                &[1, 2, 3, 255, 255, 255, 127, 177, 227],
            ),
            (
                Channels::Cmyk,
                &[0, 0, 0, 0, 255, 0, 128, 0, 0, 0, 0, 255],
                &[255, 255, 255, 0, 255, 127, 0, 0, 0],
            ),
        ];
        for (channels, samples, rgb) in cases {
            assert_eq!(samples.len() % channels.count(), 0);
            assert_eq!(to_rgb(samples.to_vec(), channels), rgb, "{channels:?}");
        }
    }

    #[test]
    fn premultiplied_colour_is_clipped() {
        assert_eq!(unmultiplied(64, 128), 127);
        assert_eq!(unmultiplied(200, 100), 255);
        assert_eq!(unmultiplied(200, 0), 0);
        assert_eq!(unmultiplied(200, 255), 200);
    }
}
