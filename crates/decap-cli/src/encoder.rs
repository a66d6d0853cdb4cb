//! Encoders and memories as they are named on the command line, and sentences through them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use decap::encoder::{self, Encoder, EncoderFacts};
use decap::memory::{EncodingProgress, Memory, MemoryOptions};
use decap::model::{MODEL_FILE, ModelDescription};
use decap::weights::Folder;
use decap::{Captioner, Embeddings, Error, OpenOptions, Places, Precision};
use decap_hub::{Hub, HubOptions, HubReference, find_with};
use decap_train::CHECKPOINT_FILE;

use crate::bundled::{self, BUNDLED};
use crate::captions::read_captions;
use crate::failure::Failure;
use crate::made::{self, MAKEABLE};
use crate::progress;
use crate::stop::Stop;

/// Sentences encoded at a time: long enough to keep the cores busy, short enough for the bar.
const SENTENCES_AT_A_TIME: usize = 512;

/// All that a model or an encoder may be called on the command line: a path, `tiny`, an id of the Hub.
#[derive(Debug, Clone, Copy)]
pub struct KnownPlaces;

impl Places for KnownPlaces {
    fn find(&self, reference: &str) -> decap::Result<Folder> {
        if reference == BUNDLED && !Path::new(reference).is_dir() {
            return bundled::folder();
        }
        if let Some(folder) = made::find(reference)? {
            return Ok(folder);
        }
        find_with(reference, pull)
    }
}

/// How models and encoders are opened on the command line.
pub fn open_options(precision: Precision) -> OpenOptions {
    OpenOptions::default()
        .precision(precision)
        .places(KnownPlaces)
}

/// The encoder that `--encoder` or a model names.
///
/// # Errors
/// As [`encoder::open`].
pub fn open_encoder(reference: &str, precision: Precision) -> Result<Arc<Encoder>, Failure> {
    encoder::open(reference, &open_options(precision)).map_err(|error| {
        let told = matches!(error, Error::Model { .. })
            .then(|| memory_is_no_encoder(reference))
            .flatten();
        told.unwrap_or_else(|| of_typed(reference, error))
    })
}

/// Why the memory in the folder `reference` is no encoder, and what to do.
fn memory_is_no_encoder(reference: &str) -> Option<Failure> {
    let memory = Memory::open(&Folder::disk(reference)).ok()?;
    let error = Error::model(reference, "expected an encoder, got a memory");
    let remedy = format!(
        "give the encoder that it was made with: {}",
        memory.info().encoder_name
    );
    Some(Failure::WithRemedy(error, remedy.into()))
}

/// The captioner that `--model` names.
///
/// # Errors
/// As [`Captioner::open_folder`], with what to do about the usual slips: an encoder given for a
/// captioner, a training that is not finished, an encoder that is no longer where the model says.
pub fn open_captioner(reference: &str, precision: Precision) -> Result<Captioner, Failure> {
    let is_file = Path::new(reference).is_file();
    let folder = if is_file {
        None
    } else {
        Some(find_folder(reference)?)
    };
    let Some(folder) = folder.filter(|folder| folder.contains(MODEL_FILE)) else {
        return Err(no_captioner(reference));
    };
    Captioner::open_folder(&folder, &open_options(precision)).map_err(|error| {
        let named = ModelDescription::read(&folder).map(|model| model.encoder);
        match (&error, named) {
            (Error::Io { path, .. }, Ok(encoder)) if !path.starts_with(folder.path("")) => {
                let remedy = format!(
                    "the model needs the encoder `{}`, which was at `{}`: put it back there",
                    encoder.name, encoder.reference
                );
                Failure::WithRemedy(error, remedy.into())
            }
            _ => error.into(),
        }
    })
}

/// Why what `reference` names is no captioner, and what to do.
fn no_captioner(reference: &str) -> Failure {
    let path = Path::new(reference);
    let wrong = |message: &str, remedy: String| {
        Failure::WithRemedy(Error::model(path, message), remedy.into())
    };
    if path.join(CHECKPOINT_FILE).exists() {
        return wrong(
            "expected a captioner, got a training that is not finished",
            format!(
                "finish it: decap train CAPTIONS --out {reference} --resume, with the options it began with"
            ),
        );
    }
    if let Some(known) = MAKEABLE.iter().find(|known| known.encoder == reference) {
        return wrong(
            "expected a captioner, got an encoder",
            format!(
                "`decap make {0}` makes a captioner of it, which --model {0} finds",
                known.name
            ),
        );
    }
    if EncoderFacts::of(reference, &KnownPlaces).is_ok() {
        return wrong(
            "expected a captioner, got an encoder",
            format!(
                "make a captioner of it: decap train captions.txt --encoder {reference} --out my-model"
            ),
        );
    }
    if Memory::open(&Folder::disk(path)).is_ok() {
        return wrong(
            "expected a captioner, got a memory",
            format!(
                "give it to --memory, and a captioner to --model: --model tiny --memory {reference}"
            ),
        );
    }
    wrong(
        "expected a captioner (model.json), found none",
        "`decap train` makes one; `tiny` is the bundled one".to_owned(),
    )
}

/// The folder that `reference` names.
///
/// # Errors
/// As [`find_with`].
pub fn find_folder(reference: &str) -> Result<Folder, Failure> {
    KnownPlaces
        .find(reference)
        .map_err(|error| of_typed(reference, error))
}

/// `error` where what was typed is nowhere: wrong usage then, with what could have been typed.
fn of_typed(reference: &str, error: Error) -> Failure {
    match error {
        Error::Io { path, source }
            if path == Path::new(reference) && source.kind() == std::io::ErrorKind::NotFound =>
        {
            Failure::Usage(format!(
                "{reference}: expected a folder, a file, `{BUNDLED}`, or an id of the Hugging Face Hub \
                 (OWNER/NAME), found none"
            ))
        }
        Error::Unavailable(message) if MAKEABLE.iter().any(|known| known.name == reference) => {
            Failure::Usage(message)
        }
        error => error.into(),
    }
}

/// The folder in the cache of what `reference` names, downloaded with a progress bar.
///
/// # Errors
/// As [`Hub::pull`].
pub fn pull(reference: &HubReference) -> decap::Result<PathBuf> {
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
    Ok(Memory::open(&find_folder(reference)?)?)
}

/// The memory of `--memory`: a folder, or the captions of a file. Their embeddings are kept in the
/// folder `cache`, where training keeps its own.
///
/// # Errors
/// Where there is no such memory, or another encoder made it; and on Ctrl-C.
pub fn memory_for(
    encoder: &Encoder,
    path: &Path,
    cache: &Path,
    stop: &Stop,
) -> Result<Memory, Failure> {
    if path.is_dir() {
        return Ok(Memory::open(&Folder::disk(path))?);
    }
    let captions = read_captions(path)?.into_texts();
    let bar = progress::bar(captions.len() as u64, "sentences");
    let encoded = |encoding: EncodingProgress| bar.set_position(encoding.done as u64);
    let source = path.file_name().unwrap_or(path.as_os_str());
    let memory = Memory::build(
        encoder,
        &captions,
        MemoryOptions::default(),
        &source.to_string_lossy(),
        Some(cache),
        encoded,
        stop.flag(),
    )?;
    bar.finish_and_clear();
    Ok(memory)
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
