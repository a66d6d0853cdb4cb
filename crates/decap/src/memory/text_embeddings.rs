//! Text embeddings: computed once, kept on disk, read by memory map.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use safetensors::Dtype;
use sha2::{Digest, Sha256};

use decap_encoder::Embeddings;
use decap_encoder::encoder::Encoder;
use decap_encoder::hexadecimal;
use decap_encoder::weights::{Bytes, NewTensor, Tensors, write_safetensors};
use decap_encoder::{Error, Result};

/// Texts of one file of the cache: what an interrupted run loses at most.
const SHARD_TEXTS: usize = 1024;

const TENSOR: &str = "embeddings";

/// The embeddings of many texts, `[texts, width]`, f32 unit vectors, mapped or in memory.
#[derive(Debug)]
pub struct TextEmbeddings {
    width: usize,
    len: usize,
    shards: Vec<Shard>,
}

#[derive(Debug)]
enum Shard {
    Memory(Vec<f32>),
    Mapped(Tensors),
}

/// How far [`TextEmbeddings::cached`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodingProgress {
    /// Texts whose embeddings are known.
    pub done: usize,
    /// Texts in all.
    pub total: usize,
    /// Of those done, how many were found in the cache.
    pub from_cache: usize,
}

impl TextEmbeddings {
    /// The embeddings of `texts` by `encoder`; from files in the folder `cache`, where there is one and
    /// they are known, and kept there otherwise.
    ///
    /// # Errors
    /// What the encoder says; [`Error::Interrupted`] after `stop`; as [`TextEmbeddings::cached`].
    pub fn of(
        encoder: &Encoder,
        texts: &[&str],
        cache: Option<&Path>,
        progress: impl FnMut(EncodingProgress),
        stop: &AtomicBool,
    ) -> Result<Self> {
        /// Few enough to stop soon after Ctrl-C.
        const TEXTS_AT_A_TIME: usize = 512;
        let told = RefCell::new(progress);
        let before = Cell::new(EncodingProgress {
            done: 0,
            total: texts.len(),
            from_cache: 0,
        });
        // Told within a file of the cache as well: one takes many seconds.
        let encode = |texts: &[&str]| {
            let mut values = Vec::with_capacity(texts.len() * encoder.width());
            for texts in texts.chunks(TEXTS_AT_A_TIME) {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                values.extend_from_slice(encoder.encode_texts(texts)?.as_slice());
                let before = before.get();
                told.borrow_mut()(EncodingProgress {
                    done: before.done + values.len() / encoder.width(),
                    ..before
                });
            }
            Ok(values)
        };
        let Some(cache) = cache else {
            let values = encode(texts)?;
            return Ok((&Embeddings::new(values, encoder.width())?).into());
        };
        let stored = |progress| {
            before.set(progress);
            told.borrow_mut()(progress);
        };
        let key = encoder.run_key();
        Self::cached(cache, key.as_str(), encoder.width(), texts, encode, stored)
    }

    /// The embeddings of `texts` by the encoder with this `fingerprint` and embedding width:
    /// from files in the folder `cache` where they are there, else by `encode`, and then kept.
    ///
    /// `encode` gives `[texts, width]`, which is normalised here. A file of the cache holds some
    /// thousand texts and is keyed by the hash of encoder and texts, so that an interrupted run
    /// continues where it was, and a text file that has grown at its end is encoded there alone.
    /// A damaged file counts as missing.
    ///
    /// # Errors
    /// What `encode` returns, [`Error::Io`] where the cache cannot be written, [`Error::Mismatch`]
    /// where `encode` gives another number of values.
    ///
    /// ```
    /// use decap::memory::TextEmbeddings;
    /// let cache = tempfile::tempdir().unwrap();
    /// let mut calls = 0;
    /// for _ in 0..2 {
    ///     let encode = |texts: &[&str]| {
    ///         calls += 1;
    ///         Ok(texts.iter().flat_map(|text| [text.len() as f32, 1.0]).collect())
    ///     };
    ///     let texts = ["a cat", "a dog in a park"];
    ///     let embeddings =
    ///         TextEmbeddings::cached(cache.path(), "encoder 1", 2, &texts, encode, |_| ())?;
    ///     assert_eq!((embeddings.len(), embeddings.width()), (2, 2));
    /// }
    /// assert_eq!(calls, 1);
    /// # Ok::<(), decap::Error>(())
    /// ```
    pub fn cached(
        cache: &Path,
        fingerprint: &str,
        width: usize,
        texts: &[&str],
        mut encode: impl FnMut(&[&str]) -> Result<Vec<f32>>,
        mut progress: impl FnMut(EncodingProgress),
    ) -> Result<Self> {
        let mut shards = Vec::with_capacity(texts.len().div_ceil(SHARD_TEXTS));
        let (mut done, mut from_cache) = (0, 0);
        for texts_of_shard in texts.chunks(SHARD_TEXTS) {
            let name = format!(
                "{}.safetensors",
                cache_key(fingerprint, width, texts_of_shard)
            );
            let path = cache.join(name);
            let shape = [texts_of_shard.len(), width];
            let shard = match open_shard(&path, &shape) {
                Some(shard) => {
                    from_cache += texts_of_shard.len();
                    shard
                }
                None => {
                    let values = encode(texts_of_shard)?;
                    if values.len() != shape[0] * width {
                        return Err(Error::Mismatch(format!(
                            "expected {} embeddings of width {width}, got {} values",
                            shape[0],
                            values.len()
                        )));
                    }
                    let embeddings = Embeddings::new(values, width)?;
                    let tensor = NewTensor::f32(TENSOR.to_owned(), &shape, embeddings.as_slice());
                    write_safetensors(&path, &[tensor], None)?;
                    open_shard(&path, &shape)
                        .ok_or_else(|| Error::model(&path, "cannot be read back"))?
                }
            };
            shards.push(shard);
            done += texts_of_shard.len();
            progress(EncodingProgress {
                done,
                total: texts.len(),
                from_cache,
            });
        }
        Ok(Self {
            width,
            len: texts.len(),
            shards,
        })
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The width of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes embedding `index` into `row` `[width]`.
    ///
    /// # Panics
    /// If there is no such embedding, or `row` is of another width.
    pub fn copy_row(&self, index: usize, row: &mut [f32]) {
        assert!(
            index < self.len && row.len() == self.width,
            "row {index} of {}",
            self.len
        );
        match &self.shards[index / SHARD_TEXTS] {
            Shard::Memory(values) => {
                row.copy_from_slice(&values[index % SHARD_TEXTS * self.width..][..self.width]);
            }
            Shard::Mapped(tensors) => {
                let bytes = tensors.get(TENSOR).map_or(&[][..], |tensor| tensor.bytes);
                let bytes = &bytes[index % SHARD_TEXTS * self.width * 4..][..self.width * 4];
                for (value, four) in row.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                }
            }
        }
    }
}

impl From<&Embeddings> for TextEmbeddings {
    fn from(embeddings: &Embeddings) -> Self {
        let width = embeddings.width();
        let shards = embeddings.as_slice().chunks((SHARD_TEXTS * width).max(1));
        Self {
            width,
            len: embeddings.len(),
            shards: shards
                .map(|values| Shard::Memory(values.to_vec()))
                .collect(),
        }
    }
}

fn open_shard(path: &Path, shape: &[usize]) -> Option<Shard> {
    if !fs::exists(path).unwrap_or(false) {
        return None;
    }
    let tensors = Tensors::read(path, Bytes::map(path).ok()?).ok()?;
    let tensor = tensors.get(TENSOR).ok()?;
    let (values, _) = tensor.bytes.as_chunks::<4>();
    // A file of the right shape may have been damaged within; its rows must be usable all the same.
    let is_number = |four: &[u8; 4]| f32::from_le_bytes(*four).is_finite();
    let fits = tensor.dtype == Dtype::F32 && tensor.shape == shape && values.iter().all(is_number);
    fits.then_some(Shard::Mapped(tensors))
}

fn cache_key(fingerprint: &str, width: usize, texts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for text in [fingerprint].iter().chain(texts) {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update((width as u64).to_le_bytes());
    hexadecimal(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(texts: &[&str]) -> Result<Vec<f32>> {
        Ok(texts
            .iter()
            .flat_map(|text| [1.0 + text.len() as f32, 2.0, 3.0])
            .collect())
    }

    fn numbered(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| "x".repeat(number % 50) + &number.to_string())
            .collect()
    }

    #[test]
    fn rows_come_back_as_they_were_encoded() {
        let cache = tempfile::tempdir().unwrap();
        let texts = numbered(SHARD_TEXTS + 10);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mapped = TextEmbeddings::cached(cache.path(), "e", 3, &texts, encode, |_| ()).unwrap();
        let memory = TextEmbeddings::from(&Embeddings::new(encode(&texts).unwrap(), 3).unwrap());
        let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
        for index in 0..texts.len() {
            mapped.copy_row(index, &mut a);
            memory.copy_row(index, &mut b);
            assert_eq!(a, b);
        }
    }

    #[test]
    fn only_what_is_new_is_encoded() {
        let cache = tempfile::tempdir().unwrap();
        let texts = numbered(SHARD_TEXTS + 10);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let count = |fingerprint: &str, texts: &[&str]| {
            let mut encoded = 0;
            let mut from_cache = 0;
            let counting = |texts: &[&str]| {
                encoded += texts.len();
                encode(texts)
            };
            let progress = |progress: EncodingProgress| from_cache = progress.from_cache;
            TextEmbeddings::cached(cache.path(), fingerprint, 3, texts, counting, progress)
                .unwrap();
            assert_eq!(encoded + from_cache, texts.len());
            encoded
        };
        assert_eq!(count("a", &texts[..SHARD_TEXTS]), SHARD_TEXTS);
        assert_eq!(count("a", &texts[..SHARD_TEXTS]), 0);
        assert_eq!(count("a", &texts), 10);
        assert_eq!(count("another encoder", &texts[..5]), 5);
        // A file that was cut short counts as missing.
        for file in fs::read_dir(cache.path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        assert_eq!(count("a", &texts), texts.len());
        // So does one with a value that is no number.
        for file in fs::read_dir(cache.path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(count("a", &texts), texts.len());
    }

    #[test]
    fn a_failed_encoder_leaves_what_was_done() {
        let cache = tempfile::tempdir().unwrap();
        let texts = numbered(SHARD_TEXTS + 10);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut calls = 0;
        let failing = |texts: &[&str]| {
            calls += 1;
            if calls == 1 {
                encode(texts)
            } else {
                Err(Error::Interrupted)
            }
        };
        let result = TextEmbeddings::cached(cache.path(), "e", 3, &texts, failing, |_| ());
        assert!(matches!(result, Err(Error::Interrupted)));
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
        let wrong = |_: &[&str]| Ok(vec![1.0; 5]);
        assert!(TextEmbeddings::cached(cache.path(), "w", 3, &texts, wrong, |_| ()).is_err());
    }
}
