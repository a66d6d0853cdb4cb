//! Captions of whatever a caller has: one, many, as they come.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::caption::{Caption, CaptionOptions, Timings};
use crate::captioner::Captioner;
use crate::input::Input;
use crate::near_duplicates::NearDuplicates;
use crate::pipeline::{Look, ReadOptions, embed_batches};
use decap_encoder::{Error, Result};
use decap_media::RgbImage;

/// One input's caption, or why there is none.
#[derive(Debug)]
#[non_exhaustive]
pub struct Captioned {
    /// What was given.
    pub input: Input,
    /// Its caption.
    pub result: Result<Caption>,
    /// What a person should know of it: a video that is damaged or cut short was seen in part.
    pub warnings: Vec<String>,
    /// The photo before it that looks nearly the same, whose caption it has: see
    /// [`CaptionOptions::near_duplicates`].
    pub same_as: Option<PathBuf>,
    /// Where the time went; of work on a whole batch, this input's share.
    pub timings: Timings,
}

impl Captioner {
    /// Captions a photo or a video: a path, the bytes of a photo, or pixels.
    ///
    /// ```
    /// let captioner = decap::Captioner::open("../../models/tiny")?;
    /// let caption = captioner.caption("../../examples/photos/cat.webp")?;
    /// println!("{} ({:.2})", caption.text, caption.score);
    /// assert_eq!(caption.evidence.len(), 3);
    /// # Ok::<(), decap::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] for the photo or video, [`Error::Unavailable`] where `ffmpeg`
    /// is needed and not installed, [`Error::Model`] where a network cannot run.
    pub fn caption(&self, input: impl Into<Input>) -> Result<Caption> {
        self.caption_with(input, &self.options())
    }

    /// As [`Captioner::caption`], with options.
    ///
    /// # Errors
    /// As [`Captioner::caption`]; [`Error::Usage`] for options that make no sense.
    pub fn caption_with(
        &self,
        input: impl Into<Input>,
        options: &CaptionOptions,
    ) -> Result<Caption> {
        let (input, stop) = ([input.into()], AtomicBool::new(false));
        let mut captioned = None;
        self.caption_each(input, &ReadOptions::default(), options, &stop, |one| {
            captioned = Some(one.result);
            Ok::<_, Error>(())
        })?;
        captioned.unwrap_or_else(|| Err(Error::Usage("no input to caption".into())))
    }

    /// Captions many, in order; what cannot be read has its error in its place. [`Captioner::caption_each`] tells
    /// each as soon as it is known, and can be stopped.
    ///
    /// # Errors
    /// [`Error::Model`] where a network cannot run.
    pub fn caption_batch<I: Into<Input>>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Result<Caption>>> {
        let inputs: Vec<Input> = inputs.into_iter().map(Into::into).collect();
        let (read, stop) = (ReadOptions::default(), AtomicBool::new(false));
        let mut captions = Vec::with_capacity(inputs.len());
        self.caption_each(inputs, &read, &self.options(), &stop, |one| {
            captions.push(one.result);
            Ok::<_, Error>(())
        })?;
        Ok(captions)
    }

    /// Captions each of `inputs` and calls `consume` with the results, in order.
    ///
    /// # Errors
    /// As [`embed_each`](crate::pipeline::embed_each); [`Error::Usage`] for options that make no sense.
    pub fn caption_each<E: From<Error>>(
        &self,
        inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
        read: &ReadOptions,
        options: &CaptionOptions,
        stop: &AtomicBool,
        mut consume: impl FnMut(Captioned) -> Result<(), E>,
    ) -> Result<(), E> {
        let consume = |one, _| consume(one);
        self.caption_looking(inputs, read, options, stop, Look::BLIND, consume)
    }

    /// As [`Captioner::caption_each`], and calls `see` with the pixels of each input, the frames of a video, on the
    /// thread that decodes it. `consume` gets what it returned, and nothing for an input that could not be read.
    ///
    /// # Errors
    /// As [`Captioner::caption_each`]; an error of `see` stands in the input's place.
    pub fn caption_each_seen<T: Send, E: From<Error>>(
        &self,
        inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
        read: &ReadOptions,
        options: &CaptionOptions,
        stop: &AtomicBool,
        see: impl Fn(&[RgbImage]) -> Result<T> + Sync,
        consume: impl FnMut(Captioned, Option<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.caption_looking(inputs, read, options, stop, Look::with(see), consume)
    }

    fn caption_looking<T: Send, E: From<Error>>(
        &self,
        inputs: impl IntoIterator<Item = Input, IntoIter: Send>,
        read: &ReadOptions,
        options: &CaptionOptions,
        stop: &AtomicBool,
        look: Look<impl Fn(&[RgbImage]) -> Result<T> + Sync>,
        mut consume: impl FnMut(Captioned, Option<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let encoder = self.encoder();
        let mut near_duplicates = NearDuplicates::new(options.near_duplicates);
        std::thread::scope(|scope| {
            if options.is_by_consensus() {
                // It takes as long as a photo, and the first photo is not encoded yet.
                scope.spawn(|| {
                    self.phrases();
                });
            }
            embed_batches(encoder, inputs, read, stop, look, |batch| {
                let mut shared = near_duplicates.batch(encoder.width());
                let mut count = 0;
                for one in &batch {
                    if let Ok((embedding, _)) = &one.result {
                        near_duplicates.add(&mut shared, one.input.name(), embedding)?;
                        count += 1;
                    }
                }
                let (captions, together) = self.caption_embeddings(&shared.fresh, options)?;
                near_duplicates.keep(&captions);
                let share = 1.0 / f64::from(count.max(1));
                for one in batch {
                    let timings = Timings {
                        decode_ms: one.decode_ms,
                        encode_ms: one.encode_ms,
                        project_ms: together.project_ms * share,
                        generate_ms: together.generate_ms * share,
                        choose_ms: together.choose_ms * share,
                    };
                    let mut written = || {
                        let missing =
                            || Error::Usage("expected a caption for each embedding".into());
                        shared.next(&captions).ok_or_else(missing)
                    };
                    let (result, seen) = match one.result {
                        Ok((_, seen)) => (written(), Some(seen)),
                        Err(error) => (Err(error), None),
                    };
                    let (result, same_as) = match result {
                        Ok((caption, same_as)) => (Ok(caption), same_as),
                        Err(error) => (Err(error), None),
                    };
                    let captioned = Captioned {
                        input: one.input,
                        result,
                        warnings: one.warnings,
                        same_as,
                        timings,
                    };
                    consume(captioned, seen)?;
                }
                Ok(())
            })
        })
    }
}
