//! Many photos and videos in, their embeddings out, in order: the one door to all that is seen.
//!
//! Inputs are decoded ahead on threads of their own while the caller's thread works on those before
//! them, so that a program such as `ffmpeg` is never waited for on the compute pool. What cannot be read
//! is told in its place and stops nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::embedding_cache::{ContentKey, EmbeddingCache, key_of_photo, key_of_video};
use crate::input::Input;
pub use crate::loading::LoadingMemory;
use decap_encoder::encoder::{Encoder, PreparedImage};
use decap_encoder::{Embedding, Embeddings};
use decap_encoder::{Error, Result};
use decap_media::{Limits, RgbImage, VideoOptions, is_video};

/// How many inputs are read, and how each of them is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Inputs that go through a network together. Default 16.
    pub batch: usize,
    /// Limits of a photo.
    pub limits: Limits,
    /// How a video is looked at.
    pub video: VideoOptions,
    /// Most bytes that inputs take together while they are read and decoded, on however many cores;
    /// one that takes more by itself is decoded alone. Default 1 GiB.
    pub memory_bytes: u64,
    /// Where embeddings are kept by content, and found again. Default none. It must be of the encoder that reads.
    pub cache: Option<EmbeddingCache>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            batch: 16,
            limits: Limits::default(),
            video: VideoOptions::default(),
            memory_bytes: 1 << 30,
            cache: None,
        }
    }
}

/// One input's embedding, or why there is none.
#[derive(Debug)]
#[non_exhaustive]
pub struct Embedded<T = ()> {
    /// What was given.
    pub input: Input,
    /// Its embedding, a video's the mean of its frames'; and what was seen of its pixels.
    pub result: Result<(Embedding, T)>,
    /// What a person should know of it: a video that is damaged or cut short was seen in part.
    pub warnings: Vec<String>,
    /// Milliseconds of reading and decoding it.
    pub decode_ms: f64,
    /// Milliseconds of its share in the image tower's work.
    pub encode_ms: f64,
}

/// Embeds each of `inputs` and calls `consume` with the results, in order.
///
/// # Errors
/// What `consume` returns; [`Error::Model`] where the encoder cannot run; [`Error::Interrupted`] after
/// `stop`. Reading then stops.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use decap::pipeline::{ReadOptions, embed_each};
/// use decap::{Captioner, Input};
///
/// let captioner = Captioner::open("../../models/tiny")?;
/// let inputs = ["../../examples/photos/cat.webp", "no-such-photo.jpg"].map(Input::from);
/// let mut widths = Vec::new();
/// embed_each(
///     captioner.encoder(), inputs, &ReadOptions::default(), &AtomicBool::new(false),
///     |embedded| {
///         widths.push(embedded.result.map(|(embedding, ())| embedding.width()).ok());
///         Ok::<_, decap::Error>(())
///     })?;
/// assert_eq!(widths, [Some(captioner.encoder().width()), None]);
/// # Ok::<(), decap::Error>(())
/// ```
pub fn embed_each<E: From<Error>>(
    encoder: &Encoder,
    inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
    options: &ReadOptions,
    stop: &AtomicBool,
    consume: impl FnMut(Embedded) -> Result<(), E>,
) -> Result<(), E> {
    let mut consume = consume;
    embed_batches(encoder, inputs, options, stop, Look::BLIND, |batch| {
        batch.into_iter().try_for_each(&mut consume)
    })
}

/// Embeds one photo or video.
///
/// # Errors
/// What is wrong with it; [`Error::Model`] where the encoder cannot run.
pub fn embed(
    encoder: &Encoder,
    input: impl Into<Input>,
    options: &ReadOptions,
) -> Result<Embedding> {
    let mut embedding = None;
    let stop = AtomicBool::new(false);
    embed_each(encoder, [input.into()], options, &stop, |one| {
        embedding = Some(one.result.map(|(embedding, ())| embedding));
        Ok::<_, Error>(())
    })?;
    embedding.unwrap_or_else(|| Err(Error::Usage("expected an input, got none".into())))
}

/// As [`embed_each`]; `see` is shown the pixels of each input, a photo's or those of a video's frames,
/// and what it returns comes along.
///
/// # Errors
/// As [`embed_each`]. An error of `see` counts as one of its input.
pub fn embed_each_seen<T: Send, E: From<Error>>(
    encoder: &Encoder,
    inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
    options: &ReadOptions,
    stop: &AtomicBool,
    see: impl Fn(&[RgbImage]) -> Result<T> + Sync,
    mut consume: impl FnMut(Embedded<T>) -> Result<(), E>,
) -> Result<(), E> {
    embed_batches(encoder, inputs, options, stop, Look::with(see), |batch| {
        batch.into_iter().try_for_each(&mut consume)
    })
}

/// Who is shown the pixels of an input.
pub(crate) struct Look<F> {
    see: F,
    /// Whether it must see them: what is known already is not decoded where it need not, and no pixels are shown
    /// then.
    needs_pixels: bool,
}

impl Look<fn(&[RgbImage]) -> Result<()>> {
    /// Nobody.
    pub(crate) const BLIND: Self = Self {
        see: |_| Ok(()),
        needs_pixels: false,
    };
}

impl<F> Look<F> {
    /// `see`.
    pub(crate) fn with(see: F) -> Self {
        Self {
            see,
            needs_pixels: true,
        }
    }
}

/// As [`embed_each_seen`], a batch at a time.
pub(crate) fn embed_batches<T: Send, E: From<Error>>(
    encoder: &Encoder,
    inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
    options: &ReadOptions,
    stop: &AtomicBool,
    look: Look<impl Fn(&[RgbImage]) -> Result<T> + Sync>,
    mut consume: impl FnMut(Vec<Embedded<T>>) -> Result<(), E>,
) -> Result<(), E> {
    let loader = Loader {
        encoder,
        options,
        memory: LoadingMemory::new(options.memory_bytes),
        look,
    };
    let load = |input: &Input| loader.load(input);
    for_each_batch(inputs, options.batch, load, |batch| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted.into());
        }
        consume(encode(encoder, options.cache.as_ref(), batch)?)
    })
}

/// What became of one input before the encoder.
struct Loaded<T> {
    what: Found,
    warnings: Vec<String>,
    seen: T,
}

/// What there is of an input.
enum Found {
    /// A photo's pixels as the towers want them, or those of a video's frames; and the key to keep its embedding
    /// under.
    Views(Vec<PreparedImage>, Option<ContentKey>),
    /// Its embedding, from before.
    Embedding(Embedding),
}

/// An input, what became of it, and the milliseconds that it took.
type Batch<T> = Vec<(Input, (Result<Loaded<T>>, f64))>;

/// Reads and decodes inputs.
struct Loader<'l, F> {
    encoder: &'l Encoder,
    options: &'l ReadOptions,
    memory: LoadingMemory,
    look: Look<F>,
}

impl<T, F: Fn(&[RgbImage]) -> Result<T>> Loader<'_, F> {
    fn load(&self, input: &Input) -> (Result<Loaded<T>>, f64) {
        let started = Instant::now();
        let loaded = match input {
            Input::Path(path) if is_video(path) => self.video(path),
            Input::Path(path) => {
                let limits = &self.options.limits;
                let photo = |bytes: &[u8]| self.photo(bytes, path);
                self.memory.read(path, limits, photo)
            }
            Input::Bytes { name, bytes } => self.photo(bytes, name),
            Input::Pixels { image, .. } => {
                self.prepared(std::slice::from_ref(image), Vec::new(), None)
            }
        };
        (loaded, started.elapsed().as_secs_f64() * 1e3)
    }

    fn photo(&self, bytes: &[u8], name: &Path) -> Result<Loaded<T>> {
        let cache = self.options.cache.as_ref();
        let key = cache.map(|_| key_of_photo(bytes));
        if let Some(known) = self.known(key.as_ref()) {
            return known;
        }
        let (limits, least_side) = (&self.options.limits, self.encoder.least_side());
        self.memory
            .decode(bytes, name, limits, least_side, |photo| {
                self.prepared(&[photo], Vec::new(), key)
            })
    }

    fn video(&self, path: &Path) -> Result<Loaded<T>> {
        let mut video = self.options.video.clone();
        // ffmpeg leaves out what no tower would see.
        let least_side = self.encoder.least_side().unwrap_or(0);
        video.shortest_side = video.shortest_side.max(least_side);
        let cache = self.options.cache.as_ref();
        // One that cannot be read is told by who decodes it.
        let key = cache.and_then(|_| key_of_video(path, &video).ok());
        if let Some(known) = self.known(key.as_ref()) {
            return known;
        }
        self.memory.sample(path, &video, |sampled| {
            // One that was seen in part is told each time.
            let key = key.filter(|_| sampled.warnings.is_empty());
            self.prepared(&sampled.images, sampled.warnings, key)
        })
    }

    /// What the cache has, where that is enough.
    fn known(&self, key: Option<&ContentKey>) -> Option<Result<Loaded<T>>> {
        if self.look.needs_pixels {
            return None;
        }
        let embedding = self.options.cache.as_ref()?.get(key?)?;
        Some((self.look.see)(&[]).map(|seen| Loaded {
            what: Found::Embedding(embedding),
            warnings: Vec::new(),
            seen,
        }))
    }

    fn prepared(
        &self,
        frames: &[RgbImage],
        warnings: Vec<String>,
        key: Option<ContentKey>,
    ) -> Result<Loaded<T>> {
        let seen = (self.look.see)(frames)?;
        let cache = self.options.cache.as_ref();
        let embedding = cache.and_then(|cache| cache.get(key.as_ref()?));
        let what = match embedding {
            Some(embedding) => Found::Embedding(embedding),
            None => {
                let views = frames.iter().map(|frame| self.encoder.prepare(frame));
                Found::Views(views.collect(), key)
            }
        };
        Ok(Loaded {
            what,
            warnings,
            seen,
        })
    }
}

/// Encodes what could be loaded in one go.
fn encode<T>(
    encoder: &Encoder,
    cache: Option<&EmbeddingCache>,
    batch: Batch<T>,
) -> Result<Vec<Embedded<T>>> {
    let started = Instant::now();
    let mut views = Vec::new();
    let mut counted = Vec::with_capacity(batch.len());
    for (input, (loaded, decode_ms)) in batch {
        let loaded = loaded.map(|loaded| {
            let from = match loaded.what {
                Found::Embedding(embedding) => Origin::Cache(embedding),
                Found::Views(mut own, key) => {
                    let count = own.len();
                    views.append(&mut own);
                    Origin::Rows(count, key)
                }
            };
            (from, loaded.warnings, loaded.seen)
        });
        counted.push((input, loaded, decode_ms));
    }
    let encoded = encoder.encode_prepared(&views)?;
    let share = started.elapsed().as_secs_f64() * 1e3 / views.len().max(1) as f64;
    let mut rows = encoded.rows();
    let embedded = counted.into_iter().map(|(input, loaded, decode_ms)| {
        let mut encode_ms = 0.0;
        let mut told = Vec::new();
        let result = loaded.and_then(|(from, warnings, seen)| {
            told = warnings;
            let (count, key) = match from {
                Origin::Cache(embedding) => return Ok((embedding, seen)),
                Origin::Rows(count, key) => (count, key),
            };
            encode_ms = share * count as f64;
            let own: Vec<f32> = rows.by_ref().take(count).flatten().copied().collect();
            let own = Embeddings::new(own, encoder.width())?;
            // The mean of one row would be rounded once more.
            let embedding = match count {
                1 => own.get(0),
                _ => Some(Embedding::mean(&own)?),
            };
            let none = || Error::Usage("expected at least one frame, got none".into());
            let embedding = embedding.ok_or_else(none)?;
            if let (Some(cache), Some(key)) = (cache, key) {
                cache.put(key, &embedding);
            }
            Ok((embedding, seen))
        });
        Embedded {
            input,
            result,
            warnings: told,
            decode_ms,
            encode_ms,
        }
    });
    Ok(embedded.collect())
}

/// Where an embedding comes from.
enum Origin {
    /// It was there before.
    Cache(Embedding),
    /// So many of the rows that were encoded; it is to be kept under the key.
    Rows(usize, Option<ContentKey>),
}

/// Inputs that wait, loaded, for each thread that loads: enough to keep the consumer busy.
const READY_PER_LOADER: usize = 2;

/// Calls `load` for each of `inputs` on threads of its own, and `consume` with the results, `batch` at
/// a time and in order; the next ones are loaded meanwhile.
///
/// # Errors
/// What `consume` returns; loading then stops.
///
/// ```
/// let inputs = ["a", "bb", "ccc"];
/// let mut lengths = Vec::new();
/// decap::pipeline::for_each_batch(inputs, 2, |text| text.len(), |batch| {
///     lengths.push(batch.into_iter().map(|(_, length)| length).collect::<Vec<_>>());
///     Ok::<_, decap::Error>(())
/// })?;
/// assert_eq!(lengths, [vec![1, 2], vec![3]]);
/// # Ok::<_, decap::Error>(())
/// ```
pub fn for_each_batch<I: Send, T: Send, E>(
    inputs: impl IntoIterator<Item = I, IntoIter: Send>,
    batch: usize,
    load: impl Fn(&I) -> T + Sync,
    mut consume: impl FnMut(Vec<(I, T)>) -> Result<(), E>,
) -> Result<(), E> {
    // A process that was given a part of the machine decodes on that part as well.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let loaders = cores.min(rayon::current_num_threads());
    let batch = batch.max(1);
    let (sender, receiver) = sync_channel(loaders * READY_PER_LOADER);
    let inputs = Mutex::new(inputs.into_iter().enumerate());
    // Loaders stay within a window ahead of the consumer, whatever single inputs take.
    let window = batch + loaders * READY_PER_LOADER;
    let ahead = Ahead::default();
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..loaders {
            let (sender, load, inputs) = (sender.clone(), &load, &inputs);
            let ahead = &ahead;
            let work = move || {
                loop {
                    let next = inputs.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, input)) = next else { break };
                    if !ahead.wait_until_near(place, window) {
                        break;
                    }
                    let value = load(&input);
                    // The consumer hung up: it failed, and nothing more is wanted.
                    if sender.send((place, input, value)).is_err() {
                        break;
                    }
                }
            };
            // Where the system grants no further thread, those that there are do the work.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
            started += 1;
        }
        drop(sender);
        if started == 0 {
            let next = || inputs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let loaded = std::iter::from_fn(next).map(|(place, input)| {
                let value = load(&input);
                (place, input, value)
            });
            return in_order(loaded, batch, &|_| (), &mut consume);
        }
        // Told on the way out, a panic's too: the scope waits for loaders that wait for this.
        let _gone = ConsumerGone(&ahead);
        let told = |count| ahead.tell(Some(count));
        in_order(receiver.into_iter(), batch, &told, &mut consume)
    })
}

/// How far the consumer is, so that loaders stay near it.
#[derive(Default)]
struct Ahead {
    consumed: Mutex<Progress>,
    changed: Condvar,
}

/// How many inputs were consumed, and whether more will be.
#[derive(Default)]
struct Progress {
    count: usize,
    is_over: bool,
}

impl Ahead {
    /// Waits until the input at `place` is fewer than `window` ahead; false when nothing more is wanted.
    fn wait_until_near(&self, place: usize, window: usize) -> bool {
        let held = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_far =
            |progress: &mut Progress| !progress.is_over && place >= progress.count + window;
        let waited = self.changed.wait_while(held, is_far);
        !waited.unwrap_or_else(PoisonError::into_inner).is_over
    }

    /// Notes how many were consumed, or that the consumer has gone.
    fn tell(&self, consumed: Option<usize>) {
        let mut held = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        match consumed {
            Some(count) => held.count = count,
            None => held.is_over = true,
        }
        self.changed.notify_all();
    }
}

/// Tells the loaders when the consumer returns or panics.
struct ConsumerGone<'a>(&'a Ahead);

impl Drop for ConsumerGone<'_> {
    fn drop(&mut self) {
        self.0.tell(None);
    }
}

/// Brings what arrives into the order of its places and hands it on, `batch` at a time.
fn in_order<I, T, E>(
    arriving: impl Iterator<Item = (usize, I, T)>,
    batch: usize,
    told: &impl Fn(usize),
    consume: &mut impl FnMut(Vec<(I, T)>) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut ready = Vec::with_capacity(batch);
    let mut next = 0;
    for (place, input, value) in arriving {
        early.insert(place, (input, value));
        while let Some(one) = early.remove(&next) {
            next += 1;
            ready.push(one);
            if ready.len() == batch {
                consume(std::mem::replace(&mut ready, Vec::with_capacity(batch)))?;
                told(next);
            }
        }
    }
    match ready.is_empty() {
        true => Ok(()),
        false => consume(ready),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_panic_of_the_consumer_does_not_leave_loaders_waiting() {
        let run = || {
            for_each_batch(
                0..10_000,
                1,
                |_| (),
                |_| -> Result<(), ()> { panic!("consumer") },
            )
        };
        assert!(std::panic::catch_unwind(run).is_err());
    }

    #[test]
    fn a_failing_consumer_stops_the_loading() {
        let mut batches = 0;
        let loaded = AtomicUsize::new(0);
        let result = for_each_batch(
            0..10_000,
            1,
            |_| loaded.fetch_add(1, Ordering::Relaxed),
            |_| {
                batches += 1;
                if batches == 3 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((result, batches), (Err("enough"), 3));
        assert!(loaded.into_inner() < 1_000);
    }

    #[test]
    fn results_come_in_order_whatever_each_takes() {
        let mut seen = Vec::new();
        let slow_first = |&number: &usize| {
            if number.is_multiple_of(7) {
                thread::yield_now();
            }
            number * 2
        };
        for_each_batch(0..500, 16, slow_first, |batch| {
            assert!(batch.len() == 16 || seen.len() + batch.len() == 500);
            seen.extend(batch);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert!(
            seen.iter()
                .enumerate()
                .all(|(place, &(input, value))| { (input, value) == (place, place * 2) })
        );
        assert_eq!(seen.len(), 500);
    }
}
