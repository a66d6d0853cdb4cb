//! Byte-pair encoding of one word.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The tables of a byte-level byte-pair encoding whose last symbol of a word carries a mark.
#[derive(Debug)]
pub(super) struct BytePairs {
    /// Id of each byte inside a word.
    inner_bytes: [u32; 256],
    /// Id of each byte at the end of a word.
    last_bytes: [u32; 256],
    /// A pair of ids that merge: how early (lower first), into which id.
    merges: HashMap<(u32, u32), Merge>,
    /// The bytes of each id, with a space where a word ends; empty for special and unused ids.
    bytes: Vec<Box<[u8]>>,
    /// The token of each id as vocabularies write it; empty for unused ids.
    names: Vec<Box<str>>,
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

/// The mark of a word's last symbol.
pub(super) const END_OF_WORD: &str = "</w>";

const NONE: usize = usize::MAX;

impl BytePairs {
    /// From the id of each token and the merges, the earliest first.
    pub(super) fn new(
        ids: &HashMap<String, u32>,
        merges: &[(String, String)],
        start: u32,
        end: u32,
    ) -> Result<Self, String> {
        let id_of = |token: &str| {
            ids.get(token)
                .copied()
                .ok_or_else(|| format!("expected token {token:?} in the vocabulary, got none"))
        };
        let mut inner_bytes = [0; 256];
        let mut last_bytes = [0; 256];
        for (byte, symbol) in byte_symbols().into_iter().enumerate() {
            inner_bytes[byte] = id_of(&symbol.to_string())?;
            last_bytes[byte] = id_of(&format!("{symbol}{END_OF_WORD}"))?;
        }
        let mut table = HashMap::with_capacity(merges.len());
        for (rank, (left, right)) in merges.iter().enumerate() {
            let rank = u32::try_from(rank).map_err(|_| "too many merges".to_owned())?;
            let id = id_of(&format!("{left}{right}"))?;
            // A pair that is listed twice keeps its last rank, as a Python dict would.
            table.insert((id_of(left)?, id_of(right)?), Merge { rank, id });
        }
        let size = ids.values().max().map_or(0, |&id| id as usize + 1);
        let mut names = vec![Box::<str>::default(); size];
        let mut bytes = vec![Box::<[u8]>::default(); size];
        let byte_of_symbol: HashMap<char, u8> =
            byte_symbols().into_iter().zip(0..=u8::MAX).collect();
        for (token, &id) in ids {
            names[id as usize] = token.as_str().into();
            if id != start && id != end {
                bytes[id as usize] = token_bytes(token, &byte_of_symbol);
            }
        }
        Ok(Self {
            inner_bytes,
            last_bytes,
            merges: table,
            bytes,
            names,
            start,
            end,
        })
    }

    pub(super) fn vocabulary_size(&self) -> usize {
        self.names.len()
    }

    /// The token of each id; empty for unused ids.
    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The merges, the earliest first, as ids of left and right.
    pub(super) fn merges_in_order(&self) -> Vec<(u32, u32)> {
        let mut merges: Vec<_> = self.merges.iter().collect();
        merges.sort_unstable_by_key(|(_, merge)| merge.rank);
        merges.into_iter().map(|(&pair, _)| pair).collect()
    }

    /// Appends the ids of `word`, which is one match of the word pattern.
    ///
    /// The pair of lowest rank merges first, the leftmost of equals, until none is left. A heap
    /// makes a word of n bytes cost n log n, so that no input is slow.
    pub(super) fn encode_word(&self, word: &[u8], ids: &mut Vec<u32>) {
        let Some((&last, inner)) = word.split_last() else {
            return;
        };
        let mut symbols: Vec<u32> = inner
            .iter()
            .map(|&byte| self.inner_bytes[byte as usize])
            .collect();
        symbols.push(self.last_bytes[last as usize]);
        let count = symbols.len();
        // A doubly linked list over `symbols`; a removed symbol has `NONE` as its next but one.
        let mut previous: Vec<usize> = (0..count)
            .map(|index| index.checked_sub(1).unwrap_or(NONE))
            .collect();
        let mut next: Vec<usize> = (0..count)
            .map(|index| if index + 1 < count { index + 1 } else { NONE })
            .collect();
        let mut removed = vec![false; count];
        let mut heap = BinaryHeap::new();
        for left in 0..count.saturating_sub(1) {
            self.push_candidate(&symbols, left, left + 1, &mut heap);
        }
        while let Some(Reverse((_, left, pair))) = heap.pop() {
            let right = next[left];
            // Stale: one of the two has merged with another since.
            if removed[left] || right == NONE || (symbols[left], symbols[right]) != pair {
                continue;
            }
            let Some(merge) = self.merges.get(&pair) else {
                continue;
            };
            symbols[left] = merge.id;
            removed[right] = true;
            next[left] = next[right];
            if next[left] != NONE {
                previous[next[left]] = left;
                self.push_candidate(&symbols, left, next[left], &mut heap);
            }
            if previous[left] != NONE {
                self.push_candidate(&symbols, previous[left], left, &mut heap);
            }
        }
        ids.extend(
            symbols
                .iter()
                .zip(&removed)
                .filter(|(_, gone)| !**gone)
                .map(|(id, _)| *id),
        );
    }

    fn push_candidate(
        &self,
        symbols: &[u32],
        left: usize,
        right: usize,
        heap: &mut BinaryHeap<Candidate>,
    ) {
        let pair = (symbols[left], symbols[right]);
        if let Some(merge) = self.merges.get(&pair) {
            heap.push(Reverse((merge.rank, left, pair)));
        }
    }

    /// The bytes of `ids`, a space after each word.
    pub(super) fn decode(&self, ids: &[u32]) -> Vec<u8> {
        let tokens = ids.iter().filter_map(|&id| self.bytes.get(id as usize));
        tokens.flat_map(|bytes| bytes.iter().copied()).collect()
    }
}

/// Rank, position and pair of a possible merge, lowest first.
type Candidate = Reverse<(u32, usize, (u32, u32))>;

/// The printable character that stands for each byte: `bytes_to_unicode` of the reference.
pub(super) fn byte_symbols() -> [char; 256] {
    let mut symbols = ['\0'; 256];
    let mut next = 256;
    for byte in 0..=u8::MAX {
        let is_printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        symbols[byte as usize] = if is_printable {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap_or('\0')
        };
    }
    symbols
}

fn token_bytes(token: &str, byte_of_symbol: &HashMap<char, u8>) -> Box<[u8]> {
    let (symbols, is_last) = match token.strip_suffix(END_OF_WORD) {
        Some(symbols) => (symbols, true),
        None => (token, false),
    };
    let mut bytes = Vec::with_capacity(token.len());
    for symbol in symbols.chars() {
        match byte_of_symbol.get(&symbol) {
            Some(&byte) => bytes.push(byte),
            None => bytes.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if is_last {
        bytes.push(b' ');
    }
    bytes.into()
}
