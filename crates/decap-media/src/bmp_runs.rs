//! Palette indices packed in runs of bytes or half bytes.
//! <https://learn.microsoft.com/windows/win32/gdi/bitmap-compression>

/// `[height, width]` indices from the top down, of rows stored from the bottom up; 0 where nothing was
/// written. `None` where `data` ends before its end mark and before all rows.
pub(super) fn indices(
    data: &[u8],
    width: usize,
    height: usize,
    has_half_bytes: bool,
) -> Option<Vec<u8>> {
    const END_OF_ROW: u8 = 0;
    const END: u8 = 1;
    const SKIP: u8 = 2;
    let mut written = Canvas {
        indices: vec![0; width * height],
        width,
        x: 0,
        rows_left: height,
    };
    let mut rest = data;
    while written.rows_left > 0 {
        let (&[first, second], behind) = rest.split_first_chunk()?;
        rest = behind;
        match (first, second) {
            (0, END_OF_ROW) => written.skip(0, 1),
            (0, END) => break,
            (0, SKIP) => {
                let (&[right, up], behind) = rest.split_first_chunk()?;
                rest = behind;
                let x = written.x;
                if up > 0 {
                    written.skip(0, up.into());
                    written.x = x;
                }
                written.skip(right.into(), 0);
            }
            // So many indices as they are, padded to two bytes.
            (0, count) => {
                let bytes = match has_half_bytes {
                    true => usize::from(count).div_ceil(2),
                    false => usize::from(count),
                };
                let literal = rest.get(..bytes)?;
                // The last padding may be missing.
                rest = rest.get(bytes.next_multiple_of(2)..).unwrap_or_default();
                for place in 0..usize::from(count) {
                    written.put(match has_half_bytes {
                        true => half_of(literal[place / 2], place),
                        false => literal[place],
                    });
                }
            }
            (count, value) => {
                for place in 0..usize::from(count) {
                    written.put(match has_half_bytes {
                        true => half_of(value, place),
                        false => value,
                    });
                }
            }
        }
    }
    Some(written.indices)
}

/// The upper half of a byte comes first.
fn half_of(byte: u8, place: usize) -> u8 {
    match place.is_multiple_of(2) {
        true => byte >> 4,
        false => byte & 0xF,
    }
}

struct Canvas {
    indices: Vec<u8>,
    width: usize,
    x: usize,
    /// Rows that are not finished, the present one among them.
    rows_left: usize,
}

impl Canvas {
    /// A run never goes on in the next row: what is too long is cut off, as by Pillow.
    fn put(&mut self, index: u8) {
        if self.x < self.width {
            self.indices[(self.rows_left - 1) * self.width + self.x] = index;
            self.x += 1;
        }
    }

    fn skip(&mut self, right: usize, up: usize) {
        if up > 0 {
            self.x = 0;
            self.rows_left = self.rows_left.saturating_sub(up);
        }
        self.x = (self.x + right).min(self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_literals_and_skips() {
        // Three of 7; end of row; literal 1, 2, 3 with padding; end.
        let data = [3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 1];
        assert_eq!(indices(&data, 3, 2, false).unwrap(), [1, 2, 3, 7, 7, 7]);
        // One of 9; one to the right and one row up; one of 8; end.
        let data = [1, 9, 0, 2, 1, 1, 1, 8, 0, 1];
        assert_eq!(indices(&data, 3, 2, false).unwrap(), [0, 0, 8, 9, 0, 0]);
        // Half bytes: five of 1 and 2 in turn, cut to the row; literal 3, 4, 5.
        let data = [5, 0x12, 0, 0, 0, 3, 0x34, 0x50, 0, 1];
        assert_eq!(
            indices(&data, 4, 2, true).unwrap(),
            [3, 4, 5, 0, 1, 2, 1, 2]
        );
        // All rows are there, without an end mark.
        assert_eq!(indices(&[2, 5, 0, 0], 2, 1, false).unwrap(), [5, 5]);
    }

    #[test]
    fn what_breaks_off_is_none() {
        let data = [3, 7, 0, 0, 0, 4, 1, 2, 3, 4, 0, 1];
        for length in [0, 1, 3, 5, 8, 11] {
            assert_eq!(indices(&data[..length], 4, 3, false), None, "{length}");
        }
        assert!(indices(&data, 4, 3, false).is_some());
        // Skipped far beyond the picture.
        assert_eq!(indices(&[0, 2, 255, 255], 1, 1, false), Some(vec![0]));
    }
}
