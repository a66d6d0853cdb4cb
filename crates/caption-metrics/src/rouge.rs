//! ROUGE-L (Lin 2004), as pycocoevalcap's `rouge.py`.

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

/// Length of the longest common subsequence.
fn common_subsequence_len(a: &[u32], b: &[u32]) -> usize {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let mut row = vec![0_u32; short.len() + 1];
    for &word in long {
        let mut diagonal = 0;
        for (index, &other) in short.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] = if word == other {
                diagonal + 1
            } else {
                above.max(row[index])
            };
            diagonal = above;
        }
    }
    row[short.len()] as usize
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
    fn maxima_are_taken_separately() {
        // Precision 1 of the long reference, recall 1 of the short one.
        assert!((rouge_l(&[1, 2], &[vec![1, 2, 3, 4], vec![1]]) - 1.0).abs() < 1e-12);
        assert_eq!(rouge_l(&[1], &[vec![2]]), 0.0);
    }
}
