//! Photos that look nearly the same share a caption: frames of a video, bursts, copies that were saved anew.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use decap_encoder::{Embedding, Embeddings, Result};

use crate::caption::Caption;

/// How many captioned photos back is looked.
const RECENT: usize = 64;

/// The last photos that got a caption of their own, oldest first.
///
/// What is shared depends on the order of the photos alone, not on how they come in batches.
#[derive(Debug)]
pub(crate) struct NearDuplicates {
    /// Photos of at least this cosine look the same; without one, none do.
    least: Option<f32>,
    recent: VecDeque<Captioned>,
}

#[derive(Debug)]
struct Captioned {
    name: PathBuf,
    embedding: Vec<f32>,
    caption: Written,
}

/// A caption, or the place in its batch of one that is still to be written.
#[derive(Debug, Clone)]
enum Written {
    Before(Caption),
    Now(usize),
}

/// Where the caption of each photo of a batch comes from.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The embeddings to caption.
    pub fresh: Embeddings,
    captions: VecDeque<(Written, Option<PathBuf>)>,
}

impl NearDuplicates {
    /// Shares captions from this cosine on.
    pub fn new(least: Option<f32>) -> Self {
        Self {
            least,
            recent: VecDeque::new(),
        }
    }

    /// A batch of embeddings of this width.
    pub fn batch(&self, width: usize) -> Batch {
        Batch {
            fresh: Embeddings::empty(width),
            captions: VecDeque::new(),
        }
    }

    /// Takes the next photo into `batch`.
    ///
    /// # Errors
    /// Where its embedding has another width.
    pub fn add(&mut self, batch: &mut Batch, name: &Path, embedding: &Embedding) -> Result<()> {
        if let Some(same) = self.find(embedding.as_slice()) {
            let shared = (same.caption.clone(), Some(same.name.clone()));
            batch.captions.push_back(shared);
            return Ok(());
        }
        let written = Written::Now(batch.fresh.len());
        batch.fresh.push(embedding)?;
        if self.least.is_some() {
            self.recent.push_back(Captioned {
                name: name.to_path_buf(),
                embedding: embedding.as_slice().to_vec(),
                caption: written.clone(),
            });
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        batch.captions.push_back((written, None));
        Ok(())
    }

    /// Keeps the `captions` of the batch's fresh embeddings for later photos.
    pub fn keep(&mut self, captions: &[Caption]) {
        for recent in &mut self.recent {
            if let Written::Now(place) = recent.caption
                && let Some(caption) = captions.get(place)
            {
                recent.caption = Written::Before(caption.clone());
            }
        }
    }

    /// The nearest of the recent photos, where it is near enough; of equals the oldest.
    fn find(&self, embedding: &[f32]) -> Option<&Captioned> {
        let mut least = self.least?;
        let mut found = None;
        for recent in &self.recent {
            let cosine = recent.embedding.iter().zip(embedding).map(|(a, b)| a * b);
            let cosine: f32 = cosine.sum();
            if cosine >= least && (found.is_none() || cosine > least) {
                least = cosine;
                found = Some(recent);
            }
        }
        found
    }
}

impl Batch {
    /// The next photo's caption, and the photo that it shares it with; `written` are those of the fresh embeddings.
    pub fn next(&mut self, written: &[Caption]) -> Option<(Caption, Option<PathBuf>)> {
        let (caption, same_as) = self.captions.pop_front()?;
        let caption = match caption {
            Written::Before(caption) => caption,
            Written::Now(place) => written.get(place)?.clone(),
        };
        Some((caption, same_as))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caption::ChosenFrom;

    fn caption(text: &str) -> Caption {
        Caption {
            text: text.to_owned(),
            score: 0.0,
            confidence: None,
            chosen_from: ChosenFrom::Written,
            evidence: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The photo that each of `angles`, in degrees, shares its caption with, taken in batches of `size`.
    fn shared(angles: &[f32], size: usize, least: Option<f32>) -> Vec<Option<String>> {
        let mut near = NearDuplicates::new(least);
        let mut found = Vec::new();
        for angles in angles.chunks(size) {
            let mut batch = near.batch(2);
            for angle in angles {
                let (y, x) = angle.to_radians().sin_cos();
                let embedding = Embedding::new(vec![x, y]).unwrap();
                near.add(&mut batch, Path::new(&angle.to_string()), &embedding)
                    .unwrap();
            }
            let rows = batch.fresh.rows();
            let captions: Vec<_> = rows
                .map(|row| row[1].atan2(row[0]).to_degrees().rem_euclid(360.0))
                .map(|angle| caption(&angle.round().to_string()))
                .collect();
            near.keep(&captions);
            for angle in angles {
                let (caption, same_as) = batch.next(&captions).unwrap();
                let same_as = same_as.map(|name| name.to_str().unwrap().to_owned());
                let expected = same_as.clone().unwrap_or_else(|| angle.to_string());
                assert_eq!(caption.text, expected);
                found.push(same_as);
            }
            assert!(batch.next(&captions).is_none());
        }
        found
    }

    #[test]
    fn frames_share_the_caption_of_the_nearest_before_them_in_batches_of_any_size() {
        // Within 5 degrees.
        let least = Some(0.996);
        let angles = [0.0, 3.0, 8.0, 6.0, 90.0, 1.0, 91.0, 170.0];
        let expected = [
            None,
            Some("0"),
            None,
            Some("8"),
            None,
            Some("0"),
            Some("90"),
            None,
        ];
        for size in [1, 2, 3, 8] {
            let found = shared(&angles, size, least);
            let found: Vec<_> = found.iter().map(Option::as_deref).collect();
            assert_eq!(found, expected, "batches of {size}");
        }
        assert_eq!(shared(&angles, 3, None), vec![None; 8]);
    }

    #[test]
    fn photos_far_back_are_forgotten_alike_in_batches_of_any_size() {
        let far = (1..=RECENT).map(|step| 5.0 * step as f32 % 350.0 + 3.0);
        let angles: Vec<f32> = [0.0].into_iter().chain(far).chain([0.0]).collect();
        let least = Some(0.99999);
        let alone = shared(&angles, 1, least);
        for size in [7, 200] {
            assert_eq!(shared(&angles, size, least), alone);
        }
        assert_eq!(alone.last(), Some(&None));
    }
}
