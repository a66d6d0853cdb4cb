//! The symmetric contrastive loss of CLIP, with its gradient.

use decap_kernels::{Accumulate, MatrixView, MatrixViewMut, matmul};

/// The loss of a batch and its gradients.
#[derive(Debug, Clone)]
pub(super) struct Contrast {
    pub(super) loss: f64,
    /// With respect to the images, `[batch, width]`.
    pub(super) images: Vec<f32>,
    /// With respect to the texts, `[texts, width]`.
    pub(super) texts: Vec<f32>,
    /// With respect to the logarithm of the logits' scale.
    pub(super) log_scale: f64,
}

/// The mean of both directions' cross-entropy over `scale * images texts^T` (Radford et al.,
/// *Learning Transferable Visual Models From Natural Language Supervision*, figure 3).
///
/// `images` `[batch, width]` and `texts` `[texts, width]` are unit vectors. Text `n` belongs to
/// image `n`; texts beyond the batch belong to none, they only have to be told apart by the images.
/// Differs from CLIP where texts are the same (equal `meanings` `[texts]`): then each is right for
/// the images of all, and the target is shared evenly among them, as in Khosla et al.,
/// *Supervised Contrastive Learning*.
pub(super) fn contrast(
    images: &[f32],
    texts: &[f32],
    meanings: &[usize],
    log_scale: f32,
) -> Contrast {
    let columns = meanings.len();
    let width = texts.len() / columns.max(1);
    let batch = images.len() / width.max(1);
    let scale = log_scale.exp();
    let image_rows = MatrixView::row_major(images, batch, width);
    let text_rows = MatrixView::row_major(texts, columns, width);

    let mut logits = vec![0.0; batch * columns];
    matmul(
        image_rows,
        text_rows.transposed(),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut logits, batch, columns),
    );
    logits.iter_mut().for_each(|logit| *logit *= scale);

    let (mut loss, mut gradient) = (0.0, vec![0.0; batch * columns]);
    for (row, meaning) in meanings.iter().take(batch).enumerate() {
        // An image against all texts, then its text against all images.
        for (first, stride, candidates) in [
            (row * columns, 1, meanings),
            (row, columns, &meanings[..batch]),
        ] {
            let at = |place: usize| first + place * stride;
            let alike = candidates.iter().filter(|it| *it == meaning).count() as f32;
            let values = (0..candidates.len()).map(|it| logits[at(it)]);
            let maximum = values.clone().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = values.map(|it| f64::from((it - maximum).exp())).sum();
            let log_sum = f64::from(maximum) + sum.ln();
            for (place, other) in candidates.iter().enumerate() {
                let logit = f64::from(logits[at(place)]);
                let target = if other == meaning { 1.0 / alike } else { 0.0 };
                loss += f64::from(target) * (log_sum - logit);
                gradient[at(place)] += (logit - log_sum).exp() as f32 - target;
            }
        }
    }
    let share = 1.0 / (2 * batch) as f32;
    gradient.iter_mut().for_each(|value| *value *= share);
    let log_scale_gradient = gradient
        .iter()
        .zip(&logits)
        .map(|(g, l)| f64::from(*g) * f64::from(*l))
        .sum();

    gradient.iter_mut().for_each(|value| *value *= scale);
    let gradient = MatrixView::row_major(&gradient, batch, columns);
    let mut image_gradient = vec![0.0; images.len()];
    matmul(
        gradient,
        text_rows,
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut image_gradient, batch, width),
    );
    let mut text_gradient = vec![0.0; texts.len()];
    matmul(
        gradient.transposed(),
        image_rows,
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut text_gradient, columns, width),
    );
    Contrast {
        loss: loss * f64::from(share),
        images: image_gradient,
        texts: text_gradient,
        log_scale: log_scale_gradient,
    }
}
