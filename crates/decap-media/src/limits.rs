//! What a photo may claim.

use crate::error::{InputFault, Limit};

/// How much a photo may claim before it is refused; checked before memory is taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Size of the file, in bytes. Default 512 MiB.
    pub file_bytes: u64,
    /// Width times height. Default 256,000,000.
    pub pixels: u64,
    /// Width and height. Default 1,048,576: a resize filter spans a whole edge.
    pub edge: u32,
    /// Memory that one photo may take while it is decoded, in bytes: the decoder's samples and the
    /// pixels made of them. Default 3 GiB: 256 megapixels of 16-bit samples with alpha.
    pub decoder_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 512 << 20,
            pixels: 256_000_000,
            edge: 1 << 20,
            decoder_bytes: 3 << 30,
        }
    }
}

/// Refuses a photo of more pixels, or a longer edge, than the limits allow.
pub(crate) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), InputFault> {
    if width == 0 || height == 0 {
        return Err(InputFault::Damaged(format!(
            "expected pixels, got {width} x {height}"
        )));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(InputFault::OverLimit {
            limit: Limit::Pixels,
            message: format!(
                "expected at most {} pixels, got {width} x {height}",
                limits.pixels
            ),
        });
    }
    if width.max(height) > limits.edge {
        return Err(InputFault::TooLarge(format!(
            "expected edges of at most {} pixels, got {width} x {height}",
            limits.edge
        )));
    }
    Ok(())
}

/// Refuses a photo whose samples and pixels together take more memory than the limits allow.
pub(crate) fn check_decoder_bytes(bytes: u64, limits: &Limits) -> Result<(), InputFault> {
    if bytes <= limits.decoder_bytes {
        return Ok(());
    }
    Err(InputFault::TooLarge(format!(
        "expected to decode it in at most {} bytes, got {bytes}",
        limits.decoder_bytes
    )))
}
