//! The symmetric contrastive loss of CLIP, with its gradient.

use decap_kernels::{Accumulate, MatrixView, MatrixViewMut, matmul};

/// The loss of a batch and its gradients.
#[derive(Debug, Clone)]
pub(super) struct Contrast {
    pub(super) loss: f64,
    /// With respect to the images, `[batch, width]`.
    pub(super) images: Vec<f32>,
    /// With respect to the texts, `[batch, width]`.
    pub(super) texts: Vec<f32>,
    /// With respect to the logarithm of the logits' scale.
    pub(super) log_scale: f64,
}

/// The mean of both directions' cross-entropy over `scale * images texts^T` (Radford et al.,
/// *Learning Transferable Visual Models From Natural Language Supervision*, figure 3).
///
/// `images` and `texts` are unit vectors `[batch, width]`. Differs from CLIP where two texts of
/// the batch are the same (equal `meanings`): then each of their photos is right for both, and
/// the target is shared evenly among them, as in Khosla et al., *Supervised Contrastive Learning*.
pub(super) fn contrast(
    images: &[f32],
    texts: &[f32],
    meanings: &[usize],
    log_scale: f32,
) -> Contrast {
    let batch = meanings.len();
    let width = images.len() / batch.max(1);
    let scale = log_scale.exp();
    let rows = |values| MatrixView::row_major(values, batch, width);

    let mut logits = vec![0.0; batch * batch];
    matmul(
        rows(images),
        rows(texts).transposed(),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut logits, batch, batch),
    );
    logits.iter_mut().for_each(|logit| *logit *= scale);

    let mut alike = vec![0.0_f32; batch];
    for (share, meaning) in alike.iter_mut().zip(meanings) {
        *share = 1.0 / meanings.iter().filter(|it| *it == meaning).count() as f32;
    }
    let (mut loss, mut gradient) = (0.0, vec![0.0; batch * batch]);
    for forward in [true, false] {
        for row in 0..batch {
            let at = |column| {
                if forward {
                    row * batch + column
                } else {
                    column * batch + row
                }
            };
            let maximum = (0..batch)
                .map(|it| logits[at(it)])
                .fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = (0..batch)
                .map(|it| f64::from((logits[at(it)] - maximum).exp()))
                .sum();
            let log_sum = f64::from(maximum) + sum.ln();
            for column in 0..batch {
                let logit = logits[at(column)];
                let target = if meanings[column] == meanings[row] {
                    alike[row]
                } else {
                    0.0
                };
                loss += f64::from(target) * (log_sum - f64::from(logit));
                gradient[at(column)] += (f64::from(logit) - log_sum).exp() as f32 - target;
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
    let gradient = MatrixView::row_major(&gradient, batch, batch);
    let mut image_gradient = vec![0.0; images.len()];
    matmul(
        gradient,
        rows(texts),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut image_gradient, batch, width),
    );
    let mut text_gradient = vec![0.0; texts.len()];
    matmul(
        gradient.transposed(),
        rows(images),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut text_gradient, batch, width),
    );
    Contrast {
        loss: loss * f64::from(share),
        images: image_gradient,
        texts: text_gradient,
        log_scale: log_scale_gradient,
    }
}
