//! CCITT fax compression of black and white pages: ITU-T T.4 (group 3) and T.6 (group 4).

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, Bits};

use crate::error::InputFault;

/// How the rows are coded: TIFF's compressions 2, 3 and 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaxCoding {
    /// One-dimensional, each row on a byte of its own, no marks between rows.
    Rows,
    /// One-dimensional, with end-of-line marks.
    Group3,
    /// Each row one- or two-dimensional, as the bit behind its end-of-line mark says.
    Group3TwoDimensional,
    /// Two-dimensional throughout.
    Group4,
}

const END_OF_LINE_ZEROS: u8 = 11;

/// Decodes `rows` rows of `width` pixels: packed bits, 1 for black, each row on whole bytes.
///
/// As libtiff does it, a row of group 3 that does not make sense ends early and the next mark is
/// looked for; elsewhere it is a fault, since all that follows hangs on it.
pub(super) fn decode(
    data: &[u8],
    coding: FaxCoding,
    width: usize,
    rows: usize,
) -> Result<Vec<u8>, InputFault> {
    let row_bytes = width.div_ceil(8);
    let mut packed = vec![0; row_bytes * rows];
    let mut bits = BitsOf { data, at: 0 };
    let (mut reference, mut changes) = (Vec::new(), Vec::new());
    for row in packed.chunks_exact_mut(row_bytes) {
        if matches!(coding, FaxCoding::Group3 | FaxCoding::Group3TwoDimensional) {
            bits.pass_end_of_line();
        }
        if bits.is_at_end() {
            return Err(InputFault::Damaged(
                "cut short: the end of the photo is missing".into(),
            ));
        }
        let is_two_dimensional = match coding {
            FaxCoding::Group4 => true,
            FaxCoding::Group3TwoDimensional => bits.bit() == 0,
            FaxCoding::Rows | FaxCoding::Group3 => false,
        };
        changes.clear();
        let outcome = match is_two_dimensional {
            true => two_dimensional_row(&mut bits, &reference, width, &mut changes),
            false => one_dimensional_row(&mut bits, width, &mut changes),
        };
        if outcome.is_none() {
            match coding {
                FaxCoding::Group3 | FaxCoding::Group3TwoDimensional => bits.seek_end_of_line(),
                FaxCoding::Rows | FaxCoding::Group4 => {
                    return Err(InputFault::Damaged(
                        "expected a row of fax codes, got others".into(),
                    ));
                }
            }
        }
        if coding == FaxCoding::Rows {
            bits.at = bits.at.next_multiple_of(8);
        }
        blacken(row, &changes, width);
        std::mem::swap(&mut reference, &mut changes);
    }
    Ok(packed)
}

/// Runs of white and black in turns; `changes` gets the positions where the colour changes.
fn one_dimensional_row(bits: &mut BitsOf, width: usize, changes: &mut Vec<usize>) -> Option<()> {
    let (mut position, mut is_black) = (0, false);
    while position < width {
        position += run(bits, is_black)?;
        changes.push(position);
        is_black = !is_black;
    }
    (position == width).then_some(())
}

/// A row told by how it differs from the `reference` row (T.6, 2.2); names as there.
fn two_dimensional_row(
    bits: &mut BitsOf,
    reference: &[usize],
    width: usize,
    changes: &mut Vec<usize>,
) -> Option<()> {
    let reference_at = |index: usize| reference.get(index).map_or(width, |&it| it.min(width));
    let mut a0: Option<usize> = None; // `None` is the imaginary white pixel before the row
    let mut is_black = false;
    let mut b1 = 0;
    while a0.is_none_or(|a0| a0 < width) {
        let is_behind = |change: usize| a0.is_none_or(|a0| change > a0);
        while b1 > 0 && is_behind(reference_at(b1 - 1)) {
            b1 -= 1;
        }
        while b1 < reference.len() && (!is_behind(reference_at(b1)) || (b1 % 2 == 1) != is_black) {
            b1 += 1;
        }
        match mode::decode(bits)? {
            Mode::Pass => a0 = Some(reference_at(b1 + 1)),
            Mode::Vertical(delta) => {
                let a1 = reference_at(b1).checked_add_signed(isize::from(delta))?;
                if a0.is_some_and(|a0| a1 < a0) || a1 > width {
                    return None;
                }
                changes.push(a1);
                is_black = !is_black;
                a0 = Some(a1);
            }
            Mode::Horizontal => {
                let a1 = a0.unwrap_or(0) + run(bits, is_black)?;
                let a2 = a1 + run(bits, !is_black)?;
                if a2 > width {
                    return None;
                }
                changes.extend([a1, a2]);
                a0 = Some(a2);
            }
            Mode::Extension | Mode::EOF => return None,
        }
    }
    Some(())
}

/// The length of one run: any number of codes for multiples of 64, then one for the rest.
fn run(bits: &mut BitsOf, is_black: bool) -> Option<usize> {
    let mut length = 0;
    loop {
        let part = usize::from(match is_black {
            true => black::decode(bits)?,
            false => white::decode(bits)?,
        });
        length += part;
        if part < 64 {
            return Some(length);
        }
        if bits.is_at_end() {
            return None;
        }
    }
}

fn blacken(row: &mut [u8], changes: &[usize], width: usize) {
    for pair in changes.chunks(2) {
        let start = pair[0].min(width);
        let end = pair.get(1).map_or(width, |&end| end.min(width));
        for x in start..end {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
}

/// The bits of `data`, highest first; zeros follow its end.
struct BitsOf<'a> {
    data: &'a [u8],
    at: usize,
}

impl BitsOf<'_> {
    fn is_at_end(&self) -> bool {
        self.at >= self.data.len() * 8
    }

    fn bit(&mut self) -> u16 {
        let bit = self.window(1);
        self.at += 1;
        bit
    }

    /// The next `count` bits, at most 16.
    fn window(&self, count: u8) -> u16 {
        let byte = |index: usize| u32::from(self.data.get(index).copied().unwrap_or(0));
        let first = self.at / 8;
        let three = byte(first) << 16 | byte(first + 1) << 8 | byte(first + 2);
        let aligned = three << (8 + self.at % 8);
        (aligned >> (32 - u32::from(count.clamp(1, 16)))) as u16
    }

    /// Passes over an end-of-line mark, with the zeros before it, where one is next.
    fn pass_end_of_line(&mut self) {
        while !self.is_at_end() && self.window(END_OF_LINE_ZEROS) == 0 {
            self.seek_one();
        }
    }

    /// To the place before the next end-of-line mark.
    fn seek_end_of_line(&mut self) {
        while !self.is_at_end() && self.window(END_OF_LINE_ZEROS) != 0 {
            self.at += 1;
        }
    }

    fn seek_one(&mut self) {
        while !self.is_at_end() && self.bit() == 0 {}
    }
}

impl BitReader for BitsOf<'_> {
    type Error = Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        (bits <= 16).then(|| self.window(bits))
    }

    fn consume(&mut self, bits: u8) -> Result<(), Infallible> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn expect(&mut self, bits: Bits) -> Result<(), Option<Bits>> {
        let data = self.window(bits.len);
        match data == bits.data {
            true => Ok(()),
            false => Err(Some(Bits {
                data,
                len: bits.len,
            })),
        }
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (8 - (self.at % 8) as u8) % 8
    }
}
