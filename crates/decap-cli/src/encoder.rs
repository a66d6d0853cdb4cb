//! Encoders and memories as they are named on the command line, and sentences through them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use decap::encoder::{self, BUNDLED, Encoder};
use decap::hub::{Hub, HubOptions, HubReference};
use decap::memory::{Memory, MemoryBuilder, MemoryInfo, MemoryOptions};
use decap::train::{self, EncodingProgress};
use decap::weights::Folder;
use decap::{Embeddings, Error, Precision};

use crate::captions::read_captions;
use crate::failure::Failure;
use crate::progress;
use crate::stop::Stop;

/// Sentences encoded at a time: long enough to keep the cores busy, short enough for the bar.
const SENTENCES_AT_A_TIME: usize = 512;

/// The encoder that `--encoder` or a model names.
///
/// # Errors
/// As [`encoder::open_with`].
pub fn open_encoder(reference: &str, precision: Precision) -> Result<Arc<Encoder>, Failure> {
    download(reference)?;
    Ok(encoder::open_with(reference, precision)?)
}

/// Downloads an encoder or model that is named by its Hub id, with a progress bar; a path and
/// `tiny` are left alone.
///
/// # Errors
/// As [`Hub::pull`].
pub fn download(reference: &str) -> Result<(), Failure> {
    if Path::new(reference).exists() || reference == BUNDLED {
        return Ok(());
    }
    let Some(id) = HubReference::parse(reference) else {
        return Err(Failure::Usage(format!(
            "{reference}: expected a folder, a file, `{BUNDLED}`, or an id of the Hugging Face Hub \
             (OWNER/NAME), found none"
        )));
    };
    pull(&id).map(drop).map_err(|failure| match failure {
        // What was typed may have been meant as a path.
        Failure::Library(Error::Unavailable(message)) => Failure::Library(Error::Unavailable(
            format!("{message}; and there is no folder or file `{reference}`"),
        )),
        failure => failure,
    })
}

/// The folder in the cache of what `reference` names, downloaded with a progress bar.
///
/// # Errors
/// As [`Hub::pull`].
pub fn pull(reference: &HubReference) -> Result<PathBuf, Failure> {
    let bar = progress::bytes();
    let mut file = String::new();
    let folder = Hub::new(HubOptions::from_environment()?).pull(reference, &mut |progress| {
        if progress.file != file {
            file.clone_from(&progress.file);
            bar.set_message(file.clone());
        }
        bar.set_length(progress.total.unwrap_or(progress.bytes));
        bar.set_position(progress.bytes);
    })?;
    bar.finish_and_clear();
    Ok(folder)
}

/// The memory that a memory folder, a model folder or `tiny` names.
///
/// # Errors
/// As [`Memory::open`].
pub fn open_memory(reference: &str) -> Result<Memory, Failure> {
    download(reference)?;
    Ok(Memory::open(&encoder::find_folder(reference)?)?)
}

/// The memory of `--memory`: a folder, or the captions of a file, encoded now.
///
/// # Errors
/// Where there is no such memory, or another encoder made it.
pub fn memory_for(encoder: &Encoder, path: &Path) -> Result<Memory, Failure> {
    if path.is_dir() {
        return Ok(Memory::open(&Folder::disk(path))?);
    }
    let captions = read_captions(path)?.into_texts();
    let chosen = MemoryBuilder::choose(captions, MemoryOptions::default())?;
    let embeddings = encode_sentences(encoder, chosen.captions(), &Stop::default())?;
    let info = MemoryInfo {
        encoder_fingerprint: encoder.fingerprint().to_owned(),
        encoder_name: encoder.name().to_owned(),
        source: path.to_string_lossy().into_owned(),
    };
    Ok(chosen.finish(&embeddings, info)?)
}

/// As [`memory_for`], with the sentences' embeddings kept in the folder `cache`, where training
/// keeps its own: an evaluation is often run again.
///
/// # Errors
/// As [`memory_for`], and on Ctrl-C.
pub fn cached_memory(
    encoder: &Encoder,
    path: &Path,
    cache: &Path,
    stop: &Stop,
) -> Result<Memory, Failure> {
    if path.is_dir() {
        return Ok(Memory::open(&Folder::disk(path))?);
    }
    let captions = read_captions(path)?.into_texts();
    let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
    let bar = progress::bar(texts.len() as u64, "sentences");
    let encoded = |encoding: EncodingProgress| bar.set_position(encoding.done as u64);
    let embeddings = train::embed(encoder, &texts, cache, encoded, stop.flag())?;
    bar.finish_and_clear();
    let source = path.file_name().unwrap_or(path.as_os_str());
    let source = source.to_string_lossy().into_owned();
    let options = MemoryOptions::default();
    Ok(train::memory_of(
        encoder,
        &texts,
        &embeddings,
        options,
        source,
    )?)
}

/// The embeddings of `sentences`, with a progress bar.
///
/// # Errors
/// As [`Encoder::encode_texts`], and on Ctrl-C.
pub fn encode_sentences<S: AsRef<str>>(
    encoder: &Encoder,
    sentences: &[S],
    stop: &Stop,
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
