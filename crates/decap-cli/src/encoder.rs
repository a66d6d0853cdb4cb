//! Encoders as they are named on the command line, and sentences through them with a bar.

use decap::encoder::Encoder;
use decap::{Embeddings, Error};

use crate::failure::Failure;
use crate::progress;

/// Sentences encoded at a time: long enough to keep the cores busy, short enough for the bar.
const SENTENCES_AT_A_TIME: usize = 512;

/// The embeddings of `sentences`, with a progress bar.
///
/// # Errors
/// As [`Encoder::encode_texts`], and on Ctrl-C.
pub fn encode_sentences<S: AsRef<str>>(
    encoder: &Encoder,
    sentences: &[S],
    stop: &crate::stop::Stop,
) -> Result<Embeddings, Failure> {
    let bar = progress::bar(sentences.len() as u64, "sentences");
    let mut embeddings = Embeddings::empty(encoder.width());
    for chunk in sentences.chunks(SENTENCES_AT_A_TIME) {
        if stop.requested() {
            return Err(Error::Interrupted.into());
        }
        let chunk: Vec<&str> = chunk.iter().map(AsRef::as_ref).collect();
        embeddings.extend(&encoder.encode_texts(&chunk)?)?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(embeddings)
}
