//! How often the right one is among the first: the figures of retrieval.

use decap_kernels::{Accumulate, MatrixView, MatrixViewMut, matmul};
use serde::{Deserialize, Serialize};

use decap::Embeddings;

/// Recall at 1, 5 and 10 in both directions, fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Recalls {
    /// Photos among whose 1, 5 or 10 nearest sentences is one of their own.
    pub image_to_text: [f64; 3],
    /// Sentences among whose 1, 5 or 10 nearest photos is their own.
    pub text_to_image: [f64; 3],
    /// Photos that were searched for and among.
    pub photos: usize,
    /// Sentences that were searched for and among.
    pub sentences: usize,
}

const DEPTHS: [usize; 3] = [1, 5, 10];

impl Recalls {
    /// Measures `images` `[photos, width]` against `texts` `[sentences, width]`, sentence `n`
    /// being one of photo `owners[n]`. Ties count against the right one.
    pub(super) fn measure(images: &Embeddings, texts: &Embeddings, owners: &[usize]) -> Self {
        let (photos, sentences) = (images.len(), texts.len());
        if photos == 0 || sentences == 0 {
            return Self::default();
        }
        let mut cosines = vec![0.0; photos * sentences];
        matmul(
            MatrixView::row_major(images.as_slice(), photos, images.width()),
            MatrixView::row_major(texts.as_slice(), sentences, texts.width()).transposed(),
            Accumulate::Overwrite,
            MatrixViewMut::row_major(&mut cosines, photos, sentences),
        );

        let mut image_to_text = [0; 3];
        for (photo, row) in cosines.chunks_exact(sentences).enumerate() {
            let own = |sentence: usize| owners[sentence] == photo;
            let best = (0..sentences).filter(|&it| own(it)).map(|it| row[it]);
            let best = best.fold(f32::NEG_INFINITY, f32::max);
            let ahead = (0..sentences)
                .filter(|&it| !own(it) && row[it] >= best)
                .count();
            count(&mut image_to_text, ahead);
        }
        let mut text_to_image = [0; 3];
        for (sentence, &owner) in owners.iter().enumerate() {
            let cosine = |photo: usize| cosines[photo * sentences + sentence];
            let ahead = (0..photos)
                .filter(|&it| it != owner && cosine(it) >= cosine(owner))
                .count();
            count(&mut text_to_image, ahead);
        }
        let share = |counts: [usize; 3], all: usize| counts.map(|count| count as f64 / all as f64);
        Self {
            image_to_text: share(image_to_text, photos),
            text_to_image: share(text_to_image, sentences),
            photos,
            sentences,
        }
    }

    /// One number to choose by: the sum of all six.
    pub fn sum(&self) -> f64 {
        self.image_to_text.iter().chain(&self.text_to_image).sum()
    }
}

fn count(counts: &mut [usize; 3], ahead: usize) {
    for (count, depth) in counts.iter_mut().zip(DEPTHS) {
        *count += usize::from(ahead < depth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_own_sentence_counts() {
        // Three photos along the axes; sentences lean towards them as listed.
        let images = Embeddings::new(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 3).unwrap();
        let texts = Embeddings::new(
            vec![
                0.9, 0.1, 0.0, // of photo 0: right
                0.0, 1.0, 0.1, // of photo 0: nearer to photo 1
                0.1, 0.8, 0.0, // of photo 1: right, though not its nearest sentence
                0.0, 0.3, 0.2, // of photo 2: photo 1 is nearer
            ],
            3,
        )
        .unwrap();
        let recalls = Recalls::measure(&images, &texts, &[0, 0, 1, 2]);
        assert_eq!(recalls.image_to_text, [2.0 / 3.0, 1.0, 1.0]);
        assert_eq!(recalls.text_to_image, [0.5, 1.0, 1.0]);
        assert_eq!((recalls.photos, recalls.sentences), (3, 4));
    }

    #[test]
    fn equal_embeddings_find_nothing() {
        let images = Embeddings::new([1.0, 1.0].repeat(20), 2).unwrap();
        let owners: Vec<usize> = (0..20).collect();
        let recalls = Recalls::measure(&images, &images, &owners);
        assert_eq!(recalls.sum(), 0.0);
    }
}
