//! Sentences of a memory held out of it: how well projection finds them again, from text alone.

use decap_encoder::random::RandomStream;
use decap_encoder::{Embeddings, Error, Result};

use super::Memory;

/// Sentences, and the memory without them.
///
/// A photo's embedding lies away from those of its captions. [`HeldOut::nearness`] puts a sentence as far away by
/// noise, projects it onto the other sentences as a photo would be, and asks how near it comes to itself.
#[derive(Debug, Clone)]
pub struct HeldOut {
    sentences: Embeddings,
    rest: Memory,
    seed: u64,
}

/// Rows whose cosine with a held-out sentence is above this say the same.
const SAME: f32 = 0.98;

/// How many rows are looked through for such, nearest first.
const COPIES: usize = 64;

impl Memory {
    /// Holds out `count` sentences, drawn by `seed`, and all that say the same.
    ///
    /// # Errors
    /// [`Error::Usage`] where fewer than half of the sentences would be left.
    pub fn hold_out(&self, count: usize, seed: u64) -> Result<HeldOut> {
        let too_few = || {
            Error::Usage(format!(
                "expected a memory of at least {} sentences, to hold {count} out and project them onto the rest; got {}",
                2 * count,
                self.len()
            ))
        };
        if count == 0 || self.len() < 2 * count {
            return Err(too_few());
        }
        let random = RandomStream::new(&[seed, 0]);
        let mut rows: Vec<usize> = (0..self.len()).collect();
        for place in 0..count {
            let other = place + random.below(place as u64, rows.len() - place);
            rows.swap(place, other);
        }
        let mut values = Vec::with_capacity(count * self.width());
        for &row in &rows[..count] {
            values.extend_from_slice(self.row(row)?.as_slice());
        }
        let sentences = Embeddings::new(values, self.width())?;
        let mut is_held_out = vec![false; self.len()];
        rows[..count]
            .iter()
            .for_each(|&row| is_held_out[row] = true);
        let near = self.heaviest(sentences.as_slice(), self.width(), COPIES)?;
        for (&sentence, near) in rows[..count].iter().zip(near) {
            let sentence = self.row(sentence)?;
            for (row, _) in near {
                is_held_out[row] |= sentence.cosine(&self.row(row)?) > SAME;
            }
        }
        let rest: Vec<usize> = (0..self.len()).filter(|&row| !is_held_out[row]).collect();
        match rest.len() < count {
            true => Err(too_few()),
            false => Ok(HeldOut {
                sentences,
                rest: self.select(&rest)?,
                seed,
            }),
        }
    }
}

impl HeldOut {
    /// The mean cosine of the sentences with their projections, after noise that leaves them a cosine of about
    /// `noise_cosine` with themselves (1 for none).
    ///
    /// # Errors
    /// As [`Memory::project_onto_nearest`]; [`Error::Usage`] for a cosine outside of 0 to 1.
    pub fn nearness(&self, noise_cosine: f32, tau: f32, top_k: Option<usize>) -> Result<f32> {
        if !(noise_cosine > 0.0 && noise_cosine <= 1.0) {
            return Err(Error::Usage(format!(
                "noise: expected a cosine above 0 and at most 1, got {noise_cosine}"
            )));
        }
        let queries = self.noised(noise_cosine)?;
        let projections = match top_k {
            None => self.rest.project(&queries, tau, 0)?,
            Some(top_k) => self.rest.project_onto_nearest(&queries, tau, top_k, 0)?,
        };
        let sentences = (0..).map_while(|place| self.sentences.get(place));
        let cosines = sentences
            .zip(&projections)
            .map(|(sentence, projection)| f64::from(sentence.cosine(&projection.embedding)));
        Ok((cosines.sum::<f64>() / projections.len().max(1) as f64) as f32)
    }

    /// The sentences after noise.
    fn noised(&self, cosine: f32) -> Result<Embeddings> {
        let width = self.sentences.width();
        let mut values = self.sentences.as_slice().to_vec();
        let random = RandomStream::new(&[self.seed, 1]);
        // Noise of this length, at a right angle, leaves that cosine.
        let length = f64::from(1.0 / (cosine * cosine) - 1.0).sqrt();
        let deviation = length / (width as f64).sqrt();
        for (place, value) in values.iter_mut().enumerate() {
            *value += (deviation * random.gaussian(place as u64)) as f32;
        }
        Embeddings::new(values, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Captions, MemoryDtype, MemoryInfo, Rows};

    /// Sentences around so many topics, each near its topic.
    fn memory(topics: usize, of_each: usize, width: usize) -> Memory {
        let random = RandomStream::new(&[7]);
        let mut values = Vec::new();
        for topic in 0..topics {
            for sentence in 0..of_each {
                let row = (topic * of_each + sentence) * width;
                let row: Vec<f64> = (0..width)
                    .map(|place| {
                        let centre = random.gaussian((topic * width + place) as u64);
                        centre + 0.5 * random.gaussian((1 << 40) + (row + place) as u64)
                    })
                    .collect();
                let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                values.extend(row.iter().map(|value| (value / norm) as f32));
            }
        }
        let count = topics * of_each;
        let captions = (0..count).map(|row| format!("sentence {row}"));
        let captions: Vec<String> = captions.collect();
        let info = MemoryInfo {
            encoder_fingerprint: "f".to_owned(),
            encoder_name: "e".to_owned(),
            source: "test".to_owned(),
        };
        let rows = Rows::quantise(&Embeddings::new(values, width).unwrap(), MemoryDtype::F32);
        Memory::new(rows, Captions::from_sentences(&captions), info).unwrap()
    }

    #[test]
    fn a_sentence_comes_near_itself_by_others_of_its_topic() {
        let held_out = memory(20, 10, 64).hold_out(50, 1).unwrap();
        assert!(held_out.rest.len() <= 150);
        let sharp = held_out.nearness(0.5, 0.05, None).unwrap();
        let flat = held_out.nearness(0.5, 10.0, None).unwrap();
        assert!(sharp > 0.8, "{sharp}");
        assert!(flat < 0.5, "{flat}");
        // Far topics take no part, whatever the temperature.
        let nearest = held_out.nearness(0.5, 10.0, Some(5)).unwrap();
        assert!(nearest > 0.7, "{nearest}");
        assert!(held_out.nearness(0.0, 0.05, None).is_err());
        assert!(held_out.nearness(0.5, 0.05, Some(0)).is_err());
    }

    #[test]
    fn noise_leaves_the_cosine_that_was_asked_for() {
        let held_out = memory(5, 40, 256).hold_out(100, 1).unwrap();
        let noised = held_out.noised(0.6).unwrap();
        let cosines = noised.rows().zip(held_out.sentences.rows());
        let cosines = cosines.map(|(a, b)| {
            let norm = a.iter().map(|value| value * value).sum::<f32>().sqrt();
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / norm
        });
        let mean = cosines.sum::<f32>() / 100.0;
        // The mean of 100 cosines, each off by about 1 / sqrt(256).
        assert!((mean - 0.6).abs() < 0.02, "{mean}");
    }

    #[test]
    fn copies_are_held_out_too() {
        let one = memory(1, 2, 16);
        let rows = [0, 0, 0, 1, 1, 1].map(|row| one.rows().row(row)).concat();
        let captions = ["a", "b", "c", "d", "e", "f"];
        let rows = Rows::quantise(&Embeddings::new(rows, 16).unwrap(), MemoryDtype::F32);
        let memory = Memory::new(rows, Captions::from_sentences(captions), one.info().clone());
        let held_out = memory.unwrap().hold_out(1, 3).unwrap();
        assert_eq!(held_out.rest.len(), 3);
        assert!(one.hold_out(2, 1).is_err());
    }
}
