//! A frame of AV1 to 8-bit samples: YUV to RGB as its colour coefficients say.

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent, Plane};

/// How brightness and colours are made of red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Matrix {
    /// They are green, blue and red themselves.
    Identity,
    YCgCo,
    /// The parts of red and blue in the brightness (ITU-T H.273, table 4).
    Weights(f32, f32),
}

/// What the numbers of a frame stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colours {
    pub(super) matrix: Matrix,
    pub(super) is_full_range: bool,
}

impl Colours {
    /// Of the container's `colr` property or, without one, of the frame itself; `None` for what is not
    /// read. Where neither says anything it is BT.601, as in libavif.
    pub(super) fn of(property: Option<&[u8]>, picture: &Picture) -> Option<Self> {
        let told = property.and_then(|it| {
            let rest = it.strip_prefix(b"nclx")?;
            Some((
                u16::from_be_bytes([*rest.get(4)?, *rest.get(5)?]),
                rest.get(6)? >> 7 == 1,
            ))
        });
        let (matrix, is_full_range) = told.unwrap_or_else(|| {
            let number = match picture.matrix_coefficients() {
                MatrixCoefficients::Identity => 0,
                MatrixCoefficients::BT709 => 1,
                MatrixCoefficients::BT470M => 4,
                MatrixCoefficients::BT470BG => 5,
                MatrixCoefficients::ST240M => 7,
                MatrixCoefficients::YCgCo => 8,
                MatrixCoefficients::BT2020NonConstantLuminance => 9,
                MatrixCoefficients::Unspecified => 2,
                _ => u16::MAX,
            };
            (number, picture.color_range() == YUVRange::Full)
        });
        let matrix = match matrix {
            0 => Matrix::Identity,
            1 => Matrix::Weights(0.2126, 0.0722),
            2 | 5 | 6 => Matrix::Weights(0.299, 0.114),
            4 => Matrix::Weights(0.30, 0.11),
            7 => Matrix::Weights(0.212, 0.087),
            8 => Matrix::YCgCo,
            9 => Matrix::Weights(0.2627, 0.0593),
            _ => return None,
        };
        Some(Self {
            matrix,
            is_full_range,
        })
    }

    /// Red, green and blue of brightness 0 to 1 and colours -0.5 to 0.5.
    fn rgb(self, y: f32, u: f32, v: f32) -> [f32; 3] {
        match self.matrix {
            Matrix::Identity => [v + 0.5, y, u + 0.5],
            Matrix::YCgCo => {
                let rest = y - u;
                [rest + v, y + u, rest - v]
            }
            Matrix::Weights(red_weight, blue_weight) => {
                let red = y + 2.0 * (1.0 - red_weight) * v;
                let blue = y + 2.0 * (1.0 - blue_weight) * u;
                let green_weight = 1.0 - red_weight - blue_weight;
                let green = (y - red_weight * red - blue_weight * blue) / green_weight;
                [red, green, blue]
            }
        }
    }
}

/// A plane of samples of 8 bits, or of more in two bytes each.
struct Samples {
    plane: Plane,
    stride: usize,
    is_wide: bool,
    width: usize,
    height: usize,
}

impl Samples {
    fn of(picture: &Picture, component: PlanarImageComponent) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (across, down) = match (component, picture.pixel_layout()) {
            (PlanarImageComponent::Y, _) | (_, PixelLayout::I444 | PixelLayout::I400) => (1, 1),
            (_, PixelLayout::I422) => (2, 1),
            (_, PixelLayout::I420) => (2, 2),
        };
        Self {
            plane: picture.plane(component),
            stride: picture.stride(component) as usize,
            is_wide: picture.bit_depth() > 8,
            width: width.div_ceil(across),
            height: height.div_ceil(down),
        }
    }

    /// Row `y`, as floats.
    fn read_row(&self, y: usize, row: &mut Vec<f32>) {
        row.clear();
        let bytes = &self.plane[y.min(self.height - 1) * self.stride..];
        match self.is_wide {
            false => row.extend(bytes[..self.width].iter().map(|it| f32::from(*it))),
            true => {
                let samples = bytes[..2 * self.width].chunks_exact(2);
                row.extend(samples.map(|it| f32::from(u16::from_ne_bytes([it[0], it[1]]))));
            }
        }
    }
}

/// A colour plane, spread over the pixels: the nearest sample counts three quarters and the next one a
/// quarter, across and down, as libavif's bilinear filter does it.
struct Spread {
    samples: Samples,
    is_halved: (bool, bool),
    rows: [Vec<f32>; 2],
}

impl Spread {
    fn of(picture: &Picture, component: PlanarImageComponent) -> Self {
        let layout = picture.pixel_layout();
        Self {
            samples: Samples::of(picture, component),
            is_halved: (layout != PixelLayout::I444, layout == PixelLayout::I420),
            rows: [Vec::new(), Vec::new()],
        }
    }

    fn read_row(&mut self, y: usize, row: &mut Vec<f32>) {
        let [near, next] = &mut self.rows;
        if self.is_halved.1 {
            let neighbour = match y % 2 {
                0 => (y / 2).saturating_sub(1),
                _ => y / 2 + 1,
            };
            self.samples.read_row(y / 2, near);
            self.samples.read_row(neighbour, next);
            let pairs = near.iter_mut().zip(next);
            pairs.for_each(|(near, next)| *near = 0.75 * *near + 0.25 * *next);
        } else {
            self.samples.read_row(y, near);
        }
        row.clear();
        if !self.is_halved.0 {
            row.extend_from_slice(near);
            return;
        }
        for x in 0..near.len() {
            let (left, here) = (near[x.saturating_sub(1)], 0.75 * near[x]);
            let right = near[(x + 1).min(near.len() - 1)];
            row.extend([here + 0.25 * left, here + 0.25 * right]);
        }
    }
}

/// How numbers become fractions.
struct Scale {
    black: f32,
    brightness: f32,
    middle: f32,
    colour: f32,
}

impl Scale {
    fn of(picture: &Picture, colours: Colours) -> Self {
        let bits = picture.bits_per_component().map_or(8, |it| it.0);
        let unit = (1_u32 << (bits - 8)) as f32;
        let full = ((1_u32 << bits) - 1) as f32;
        let is_identity = colours.matrix == Matrix::Identity;
        let (black, brightness, middle, colour) = match colours.is_full_range {
            true => (0.0, full, 128.0 * unit, full),
            false => (16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit),
        };
        match is_identity {
            // All three are brightnesses: half of the range is taken off here and added later.
            true => Self {
                black,
                brightness,
                middle: black + 0.5 * brightness,
                colour: brightness,
            },
            false => Self {
                black,
                brightness,
                middle,
                colour,
            },
        }
    }
}

fn byte(fraction: f32) -> u8 {
    (fraction * 255.0 + 0.5) as u8 // saturates
}

/// The pixels of a frame, `[height, width, 3]`, u8.
pub(super) fn rgb_of(picture: &Picture, colours: Colours) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let scale = Scale::of(picture, colours);
    let brightness = Samples::of(picture, PlanarImageComponent::Y);
    let mut pixels = Vec::with_capacity(width * height * 3);
    let mut y_row = Vec::new();
    if picture.pixel_layout() == PixelLayout::I400 {
        for y in 0..height {
            brightness.read_row(y, &mut y_row);
            let grey = |value: &f32| [byte((value - scale.black) / scale.brightness); 3];
            pixels.extend(y_row.iter().flat_map(grey));
        }
        return pixels;
    }
    let mut u = Spread::of(picture, PlanarImageComponent::U);
    let mut v = Spread::of(picture, PlanarImageComponent::V);
    let (mut u_row, mut v_row) = (Vec::new(), Vec::new());
    for y in 0..height {
        brightness.read_row(y, &mut y_row);
        u.read_row(y, &mut u_row);
        v.read_row(y, &mut v_row);
        for ((y, u), v) in y_row.iter().zip(&u_row).zip(&v_row) {
            let rgb = colours.rgb(
                (y - scale.black) / scale.brightness,
                (u - scale.middle) / scale.colour,
                (v - scale.middle) / scale.colour,
            );
            pixels.extend(rgb.map(byte));
        }
    }
    pixels
}

/// The brightness of a frame that is a mask, `[height, width]`, u8.
pub(super) fn mask_of(picture: &Picture, is_full_range: bool) -> Vec<u8> {
    let colours = Colours {
        matrix: Matrix::Identity,
        is_full_range,
    };
    let scale = Scale::of(picture, colours);
    let brightness = Samples::of(picture, PlanarImageComponent::Y);
    let mut mask = Vec::with_capacity(brightness.width * brightness.height);
    let mut row = Vec::new();
    for y in 0..brightness.height {
        brightness.read_row(y, &mut row);
        let value = |value: &f32| byte((value - scale.black) / scale.brightness);
        mask.extend(row.iter().map(value));
    }
    mask
}
