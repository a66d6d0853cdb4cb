//! ROUGE-L (Lin 2004), as pycocoevalcap's `rouge.py`.

use std::collections::HashMap;

/// How much more recall weighs than precision.
const BETA: f64 = 1.2;

/// ROUGE-L of one caption as a fraction.
///
/// The best precision and the best recall are taken separately, of whichever reference.
/// Word numbers must come from splitting at single spaces, as an empty caption is then one
/// empty word: two empty captions are equal.
pub(crate) fn rouge_l(prediction: &[u32], references: &[Vec<u32>]) -> f64 {
    let mut precision: f64 = 0.0;
    let mut recall: f64 = 0.0;
    for reference in references {
        let common = common_subsequence_len(prediction, reference) as f64;
        precision = precision.max(common / prediction.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    let beta_squared = BETA * BETA;
    (1.0 + beta_squared) * precision * recall / (recall + beta_squared * precision)
}

/// Length of the longest common subsequence, 64 words of the shorter list at a time
/// (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
fn common_subsequence_len(a: &[u32], b: &[u32]) -> usize {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let places = Places::new(short);
    // A zero bit is a word of the shorter list that ends a longer subsequence.
    let mut column = vec![u64::MAX; short.len().div_ceil(64)];
    let mut scratch = vec![0_u64; column.len()];
    for &word in long {
        places.with_bits(word, &mut scratch, |matches| {
            let mut carry = false;
            for (bits, &matching) in column.iter_mut().zip(matches) {
                let (sum, overflow) = bits.overflowing_add(*bits & matching);
                let (sum, overflow_by_carry) = sum.overflowing_add(u64::from(carry));
                carry = overflow || overflow_by_carry;
                *bits = sum | (*bits & !matching);
            }
        });
    }
    // Bits beyond the shorter list match no word and stay ones.
    column.iter().map(|bits| bits.count_zeros() as usize).sum()
}

/// Where each word stands in a list.
struct Places {
    /// `(word, place)`, ascending.
    places: Vec<(u32, usize)>,
    /// A bit for each place, of words that are so frequent that bits are shorter.
    frequent: HashMap<u32, Vec<u64>>,
}

impl Places {
    fn new(words: &[u32]) -> Self {
        let mut places: Vec<(u32, usize)> = words.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let num_blocks = words.len().div_ceil(64);
        let mut frequent = HashMap::new();
        for same in places
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|same| same.len() > num_blocks)
        {
            let mut bits = vec![0; num_blocks];
            same.iter()
                .for_each(|&(_, place)| bits[place / 64] |= 1 << (place % 64));
            frequent.insert(same[0].0, bits);
        }
        Self { places, frequent }
    }

    /// Calls `use_bits` with a bit for each place of the word, if it has any.
    ///
    /// `scratch` is all zeros, before and after.
    fn with_bits(&self, word: u32, scratch: &mut [u64], use_bits: impl FnOnce(&[u64])) {
        if let Some(bits) = self.frequent.get(&word) {
            return use_bits(bits);
        }
        let start = self.places.partition_point(|&(other, _)| other < word);
        let rest = &self.places[start..];
        let same = &rest[..rest.iter().take_while(|&&(other, _)| other == word).count()];
        if same.is_empty() {
            return;
        }
        same.iter()
            .for_each(|&(_, place)| scratch[place / 64] |= 1 << (place % 64));
        use_bits(scratch);
        same.iter().for_each(|&(_, place)| scratch[place / 64] = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_subsequences() {
        let cases: [(&[u32], &[u32], usize); 5] = [
            (&[1, 2, 3, 4], &[1, 3, 4], 3),
            (&[1, 2, 3], &[3, 2, 1], 1),
            (&[], &[1], 0),
            (&[1, 2, 1, 2], &[2, 1, 2, 1], 3),
            (&[5], &[5], 1),
        ];
        for (a, b, expected) in cases {
            assert_eq!(common_subsequence_len(a, b), expected, "{a:?} {b:?}");
            assert_eq!(common_subsequence_len(b, a), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn bits_agree_with_the_table() {
        let table = |a: &[u32], b: &[u32]| {
            let mut row = vec![0_usize; b.len() + 1];
            for word in a {
                let mut diagonal = 0;
                for (index, other) in b.iter().enumerate() {
                    let above = row[index + 1];
                    row[index + 1] = if word == other {
                        diagonal + 1
                    } else {
                        above.max(row[index])
                    };
                    diagonal = above;
                }
            }
            row[b.len()]
        };
        let mut state = 1_u64;
        let mut list = |len: usize, num_words: u64| -> Vec<u32> {
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 33) % num_words) as u32
            };
            (0..len).map(|_| next()).collect()
        };
        for len in [1, 5, 63, 64, 65, 127, 128, 129, 200] {
            for num_words in [1, 2, 5, 40] {
                let (a, b) = (list(len, num_words), list(len + 7, num_words));
                assert_eq!(
                    common_subsequence_len(&a, &b),
                    table(&a, &b),
                    "{len} {num_words}"
                );
            }
        }
    }

    #[test]
    fn maxima_are_taken_separately() {
        // Precision 1 of the long reference, recall 1 of the short one.
        assert!((rouge_l(&[1, 2], &[vec![1, 2, 3, 4], vec![1]]) - 1.0).abs() < 1e-12);
        assert_eq!(rouge_l(&[1], &[vec![2]]), 0.0);
    }
}
