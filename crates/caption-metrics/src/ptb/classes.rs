//! Characters as class bytes: what the rules see of a text.

/// The groups of characters, written by `tools/reference/metrics_ptb_classes.py`.
const GROUPS: &str = include_str!("classes.txt");

/// The class byte of characters that no token starts with.
const OTHER: u8 = 0x01;

/// The class byte of each character of the basic multilingual plane.
pub(crate) struct Classes {
    of: Vec<u8>,
}

/// A text as class bytes.
///
/// There is one byte for each UTF-16 unit, as the reference counts characters.
pub(crate) struct ClassText {
    /// Class bytes, `[units]`.
    pub(crate) bytes: Vec<u8>,
    /// Where each unit starts in the text (the second half of a pair: where the pair ends),
    /// and the text's length, `[units + 1]`.
    pub(crate) offsets: Vec<usize>,
}

impl Classes {
    pub(crate) fn new() -> Self {
        let mut of = vec![OTHER; 0x1_0000];
        for code in (0x20..0x80).chain([0x09, 0x0a, 0x0b, 0x0c, 0x0d]) {
            of[code] = code as u8;
        }
        for line in GROUPS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let byte = words.next().map_or(0, hexadecimal) as u8;
            for word in words {
                let (range, step) = word.split_once('/').unwrap_or((word, "1"));
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let codes = hexadecimal(first)..=hexadecimal(last);
                for code in codes.step_by(hexadecimal(step).max(1)) {
                    of[code & 0xffff] = byte;
                }
            }
        }
        Self { of }
    }

    pub(crate) fn read(&self, text: &str) -> ClassText {
        let mut bytes = Vec::with_capacity(text.len());
        let mut offsets = Vec::with_capacity(text.len() + 1);
        for (offset, character) in text.char_indices() {
            let byte = self.of.get(character as usize).copied();
            bytes.push(byte.unwrap_or(OTHER));
            offsets.push(offset);
            if character.len_utf16() == 2 {
                bytes.push(OTHER);
                offsets.push(offset + character.len_utf8());
            }
        }
        offsets.push(text.len());
        ClassText { bytes, offsets }
    }
}

fn hexadecimal(word: &str) -> usize {
    usize::from_str_radix(word, 16).unwrap_or(0)
}
