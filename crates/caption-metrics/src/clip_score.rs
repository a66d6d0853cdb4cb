//! CLIPScore and RefCLIPScore (Hessel et al. 2021) from embeddings of any dual encoder.

/// What the caption is put behind before it is embedded.
pub const CLIP_SCORE_PROMPT: &str = "A photo depicts ";

/// Brings cosines of CLIP ViT-B/32 to about 0 to 1.
const WEIGHT: f64 = 2.5;

/// CLIPScore: 2.5 times the cosine of image and caption, negative ones as 0.
///
/// `image` and `caption` are embeddings, `[width]`, f32, of any length. `None` where their
/// widths differ or one of them has no direction.
///
/// ```
/// let score = caption_metrics::clip_score(&[1.0, 0.0], &[0.6, 0.8]);
/// assert!((score.unwrap() - 1.5).abs() < 1e-6);
/// assert_eq!(caption_metrics::clip_score(&[1.0, 0.0], &[-1.0, 0.0]), Some(0.0));
/// ```
#[must_use]
pub fn clip_score(image: &[f32], caption: &[f32]) -> Option<f64> {
    Some(WEIGHT * cosine(image, caption)?.max(0.0))
}

/// RefCLIPScore: the harmonic mean of CLIPScore and of the best cosine with a reference.
///
/// `references` are embeddings of reference captions, `[width]` each. `None` where widths
/// differ, an embedding has no direction, or there is no reference.
#[must_use]
pub fn ref_clip_score<'a>(
    image: &[f32],
    caption: &[f32],
    references: impl IntoIterator<Item = &'a [f32]>,
) -> Option<f64> {
    let score = clip_score(image, caption)?;
    let mut best: Option<f64> = None;
    for reference in references {
        let similarity = cosine(caption, reference)?.max(0.0);
        best = Some(best.map_or(similarity, |best| best.max(similarity)));
    }
    let best = best?;
    let sum = score + best;
    Some(if sum == 0.0 {
        0.0
    } else {
        2.0 * score * best / sum
    })
}

fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    cosine.is_finite().then_some(cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harmonic_mean_takes_the_best_reference() {
        let (image, caption) = ([1.0, 0.0, 0.0], [0.6, 0.8, 0.0]);
        let references: [&[f32]; 2] = [&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]];
        let found = ref_clip_score(&image, &caption, references).unwrap();
        let expected = 2.0 * 1.5 * 0.8 / (1.5 + 0.8);
        assert!((found - expected).abs() < 1e-6, "{found}");
        let opposite: [&[f32]; 1] = [&[-0.6, -0.8, 0.0]];
        assert_eq!(ref_clip_score(&image, &caption, opposite), Some(0.0));
    }

    #[test]
    fn vectors_that_cannot_be_compared_have_no_score() {
        assert_eq!(clip_score(&[1.0], &[1.0, 0.0]), None);
        assert_eq!(clip_score(&[0.0], &[1.0]), None);
        assert_eq!(clip_score(&[f32::NAN], &[1.0]), None);
        assert_eq!(ref_clip_score(&[1.0], &[1.0], []), None);
    }
}
