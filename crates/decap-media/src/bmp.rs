//! BMP headers that the decoder does not know, rewritten as ones that it does.

use std::borrow::Cow;

use crate::error::InputFault;

const FILE_HEADER_BYTES: usize = 14;
const INFO_HEADER_BYTES: u32 = 40;
const OS2_HEADER_BYTES: u32 = 64;
const RAW: u32 = 0;
const BIT_FIELDS: u32 = 3;
const ALPHA_BIT_FIELDS: u32 = 6;

/// `bytes` as a BMP of Windows' kinds of header; most are that already.
pub(super) fn normalised(bytes: &[u8]) -> Result<Cow<'_, [u8]>, InputFault> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    };
    let short = |at: usize| number(at).map(|it| it & 0xFFFF);
    let cut_short = || InputFault::Damaged("cut short: a BMP without its header".into());
    let header_bytes = number(14).ok_or_else(cut_short)?;
    if header_bytes < INFO_HEADER_BYTES {
        let bits = short(24).ok_or_else(cut_short)?;
        return match header_bytes == 12 && matches!(bits, 1 | 4 | 8 | 24) {
            true => Ok(Cow::Borrowed(bytes)),
            false => Err(unsupported("a header of this old kind")),
        };
    }
    let (bits, compression) = short(28).zip(number(30)).ok_or_else(cut_short)?;
    let put = |bytes: &mut [u8], at: usize, value: u32| {
        if let Some(target) = bytes.get_mut(at..at + 4) {
            target.copy_from_slice(&value.to_le_bytes());
        }
    };
    match (header_bytes, bits, compression) {
        // OS/2 has the same fields first, and more behind them that matter little.
        (OS2_HEADER_BYTES, _, 0..=2) => {
            let surplus = OS2_HEADER_BYTES - INFO_HEADER_BYTES;
            let header_end = FILE_HEADER_BYTES + INFO_HEADER_BYTES as usize;
            let rest = bytes.get(header_end + surplus as usize..);
            let mut shorter = bytes[..header_end].to_vec();
            shorter.extend_from_slice(rest.ok_or_else(cut_short)?);
            let pixels_at = number(10).unwrap_or(0).saturating_sub(surplus);
            put(&mut shorter, 10, pixels_at);
            put(&mut shorter, 14, INFO_HEADER_BYTES);
            Ok(Cow::Owned(shorter))
        }
        (OS2_HEADER_BYTES, ..) => Err(unsupported("the compression of OS/2")),
        // Four masks behind a short header are where a longer header has them.
        (INFO_HEADER_BYTES, _, ALPHA_BIT_FIELDS) => {
            let mut longer = bytes.to_vec();
            put(&mut longer, 14, INFO_HEADER_BYTES + 16);
            put(&mut longer, 30, BIT_FIELDS);
            Ok(Cow::Owned(longer))
        }
        // The only masks that fit three bytes a pixel are those that go without saying.
        (_, 24, BIT_FIELDS) => match [54, 58, 62].map(number) {
            [Some(0xFF_0000), Some(0xFF00), Some(0xFF)] => {
                let mut plain = bytes.to_vec();
                put(&mut plain, 30, RAW);
                Ok(Cow::Owned(plain))
            }
            _ => Err(unsupported("unusual bit masks")),
        },
        (_, 1 | 2 | 4 | 8 | 16 | 24 | 32, 0..=3) => Ok(Cow::Borrowed(bytes)),
        _ => Err(unsupported("these bits or compression")),
    }
}

fn unsupported(what: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "a BMP with {what} is not read; convert it to JPEG or PNG"
    ))
}

/// Makes all pixels opaque where none is: Windows programs give an alpha mask and leave its bits
/// unset. `pixels` `[pixels, 4]`, u8, alpha last.
pub(super) fn drop_unset_alpha(pixels: &mut [u8]) {
    if pixels.chunks_exact(4).all(|pixel| pixel[3] == 0) {
        let pixels = pixels.chunks_exact_mut(4);
        pixels.for_each(|pixel| pixel[3] = 255);
    }
}
