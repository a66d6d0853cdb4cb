//! A photo's bytes to RGB pixels.

/// A decoded photo: 8-bit RGB, upright, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `[height, width, 3]`, u8.
    pub pixels: Vec<u8>,
}
