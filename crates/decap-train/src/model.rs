//! From caption files to a model folder: embed, train, build the memory, write it down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::foundation::{Foundation, joined};
use super::{
    Beginning, CHECKPOINT_FILE, LOSS_CURVE_FILE, METRICS_FILE, Progress, Start, TrainOptions,
    TrainingReport, TrainingText, VocabularyChoice, train,
};
use decap::decoder::{self, DecoderConfig, DecoderWeights, ImportOptions, Vocabulary};
use decap::encoder::Encoder;
use decap::memory::{EncodingProgress, Memory, MemoryOptions, TextEmbeddings};
use decap::model::{
    EncoderReference, MODEL_FILE, ModelDescription, Provenance, TOKENIZER_FILE, Writing,
};
use decap::output::{check_folder_is_own, probe, write_atomically};
use decap::tokenizer::Tokenizer;
use decap::weights::Folder;
use decap::{Error, Result};

/// What a model is made of, beside its captions.
#[derive(Debug, Clone)]
pub struct ModelRecipe {
    /// A name for people.
    pub name: String,
    /// How the encoder is found again: `tiny`, a folder, a hub id.
    pub encoder_reference: String,
    /// Where the captions come from, in words.
    pub captions_from: String,
    /// The name of the preset, for the provenance.
    pub preset: String,
    /// How the decoder is trained.
    pub train: TrainOptions,
    /// The trained decoder to start from, of the same encoder; it decides the shape.
    pub foundation: Option<Arc<Foundation>>,
    /// Whether to begin anew or go on from a checkpoint; without one, both begin.
    pub start: Start,
    /// Which captions become the memory.
    pub memory: MemoryOptions,
    /// Softmax temperature of the projection.
    pub tau: f32,
    /// How captions are written by default.
    pub writing: Writing,
    /// Where text embeddings are kept between runs.
    pub cache: PathBuf,
}

/// Trains a model on `captions` and writes it into `folder`.
///
/// `model.json` is written last: a folder without it is not taken for a model. A run that was
/// stopped goes on with [`Start::Resume`].
///
/// # Errors
/// [`Error::Usage`] where `folder` holds a finished model, another run with [`Start::Fresh`], or
/// files that are not of its making; [`Error::Interrupted`] after `stop`; and all that [`train`]
/// and the encoder say.
pub fn train_model(
    encoder: &Encoder,
    captions: &[String],
    recipe: &ModelRecipe,
    folder: &Path,
    encoding: impl FnMut(EncodingProgress),
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<TrainingReport> {
    // What can be refused is refused before the work.
    recipe.train.validate()?;
    if !(recipe.tau > 0.0 && recipe.tau.is_finite()) {
        return Err(Error::Usage(format!(
            "tau: expected a number above 0, got {}",
            recipe.tau
        )));
    }
    let start = start_in(folder, recipe.start)?;
    probe(&folder.join(MODEL_FILE))?;
    probe(&recipe.cache.join(MODEL_FILE))?;
    let texts: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
    let embeddings = TextEmbeddings::of(encoder, &texts, Some(&recipe.cache), encoding, stop)?;
    let foundation = recipe.foundation.as_deref();
    let seed = recipe.train.seed;
    let (rehearsed, rows) = match foundation {
        Some(foundation) => foundation.rehearsal(&texts, seed)?,
        None => Default::default(),
    };
    let with_rehearsed = match foundation {
        Some(_) => Some(joined(&embeddings, rows)?),
        None => None,
    };
    let mut all = texts.clone();
    all.extend(rehearsed.iter().map(String::as_str));
    let tokenizer = tokenizer_for(encoder, &all, &recipe.train)?;
    let tokens = tokenizer.encode_batch(&all)?;
    let beginning = foundation.map(|foundation| {
        let tokenizer = &tokenizer;
        move |vocabulary: &Vocabulary, config: &DecoderConfig| {
            foundation.weights_for(tokenizer, vocabulary, config, seed)
        }
    });
    let text = TrainingText {
        captions: &tokens,
        embeddings: with_rehearsed.as_ref().unwrap_or(&embeddings),
        start_token: tokenizer.start(),
        end_token: tokenizer.end(),
        rehearsed: rehearsed.len(),
        beginning: beginning
            .as_ref()
            .map(|beginning| beginning as &Beginning<'_>),
    };
    let options = foundation.map(|foundation| foundation.shape_of(recipe.train.clone()));
    let options = options.as_ref().unwrap_or(&recipe.train);
    let report = train(&text, options, folder, start, progress, stop)?;

    let mut description = describe(encoder, texts.len(), recipe);
    description.provenance.steps = report.steps;
    let memory = Memory::of_texts(
        encoder,
        &texts,
        &embeddings,
        recipe.memory.clone(),
        &recipe.captions_from,
    )?;
    finish(
        folder,
        &memory,
        &tokenizer,
        &description,
        &measured(&report),
    )?;
    // Three times the size of the decoder, and of no use to a finished model.
    let checkpoint = folder.join(CHECKPOINT_FILE);
    std::fs::remove_file(&checkpoint).map_err(|source| Error::io(&checkpoint, source))?;
    Ok(report)
}

/// The tokenizer of a decoder that learns `texts`.
pub(crate) fn tokenizer_for(
    encoder: &Encoder,
    texts: &[&str],
    options: &TrainOptions,
) -> Result<Tokenizer> {
    match options.vocabulary {
        VocabularyChoice::Learned(tokens) => Tokenizer::learn(texts, tokens),
        VocabularyChoice::Corpus | VocabularyChoice::Rows(_) => encoder.tokenizer(),
    }
}

/// Makes a model of a decoder that was trained elsewhere: a checkpoint of the reference
/// implementation ([`DecoderWeights::import`]), with `captions` as its memory.
///
/// # Errors
/// [`Error::Model`] where the checkpoint cannot be read, [`Error::Mismatch`] where it is for
/// embeddings of another width, and as [`train_model`].
pub fn import_model(
    encoder: &Encoder,
    checkpoint: &Path,
    captions: &[String],
    recipe: &ModelRecipe,
    folder: &Path,
    encoding: impl FnMut(EncodingProgress),
    stop: &AtomicBool,
) -> Result<()> {
    refuse_finished(folder)?;
    check_folder_is_own(folder, &[])?;
    let tokenizer = encoder.tokenizer()?;
    let mut options = ImportOptions::default();
    options.start_token = Some(tokenizer.start());
    options.end_token = tokenizer.end();
    let weights = DecoderWeights::import(checkpoint, &options)?;
    let config = weights.config();
    if config.prefix_width != encoder.width() {
        return Err(Error::Mismatch(format!(
            "{}: expected a decoder for embeddings of width {}, as encoder `{}` makes, got one for {}; \
             name the encoder that the decoder was trained with",
            checkpoint.display(),
            encoder.width(),
            encoder.name(),
            config.prefix_width
        )));
    }
    check_vocabulary(checkpoint, config.vocabulary_size, &tokenizer)?;
    let vocabulary = Vocabulary::identity(config.vocabulary_size);
    let texts: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
    let embeddings = TextEmbeddings::of(encoder, &texts, Some(&recipe.cache), encoding, stop)?;
    decoder::save(folder, &weights, &vocabulary, recipe.train.weights_dtype)?;
    let memory = Memory::of_texts(
        encoder,
        &texts,
        &embeddings,
        recipe.memory.clone(),
        &recipe.captions_from,
    )?;
    let description = describe(encoder, texts.len(), recipe);
    finish(folder, &memory, &tokenizer, &description, "")
}

/// Refuses a decoder with fewer rows than the tokenizer has ids: its numbers mean other words.
fn check_vocabulary(checkpoint: &Path, rows: usize, tokenizer: &Tokenizer) -> Result<()> {
    let ids = tokenizer.vocabulary_size();
    if rows >= ids {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "{}: expected a decoder of at least {ids} tokens, as the encoder's tokenizer has them, got {rows}: it \
         knows a part of them under numbers of its own, and a checkpoint does not say which; copy the \
         model's folder instead",
        checkpoint.display()
    )))
}

/// Whether `folder` holds the finished model of this very run, as far as the model tells. What a run leaves
/// that was killed at its very end is removed, so that to resume it ends well.
///
/// # Errors
/// [`Error::Mismatch`] where the finished model is of another run; [`Error::Model`] and [`Error::Io`] where
/// it cannot be read.
pub fn clear_finished(
    folder: &Path,
    encoder: &Encoder,
    captions: usize,
    recipe: &ModelRecipe,
) -> Result<bool> {
    if !folder.join(MODEL_FILE).exists() {
        return Ok(false);
    }
    let found = ModelDescription::read(&Folder::disk(folder))?;
    let mut expected = describe(encoder, captions, recipe);
    expected.provenance.steps = found.provenance.steps;
    expected
        .provenance
        .decap_version
        .clone_from(&found.provenance.decap_version);
    if found != expected {
        return Err(Error::Mismatch(format!(
            "{}: there is a finished model of another run already; choose another folder",
            folder.display()
        )));
    }
    let checkpoint = folder.join(CHECKPOINT_FILE);
    match std::fs::remove_file(&checkpoint) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(&checkpoint, source))
        }
        _ => Ok(true),
    }
}

/// How a run in `folder` begins, where it may begin there.
fn start_in(folder: &Path, wanted: Start) -> Result<Start> {
    refuse_finished(folder)?;
    let unfinished = folder.join(CHECKPOINT_FILE).exists();
    match (unfinished, wanted) {
        (true, Start::Resume) => Ok(Start::Resume),
        (true, Start::Fresh) => Err(Error::Usage(format!(
            "{}: there is an unfinished run already; resume it or choose another folder",
            folder.display()
        ))),
        // What a run leaves that was ended before its first checkpoint.
        (false, _) => {
            check_folder_is_own(folder, &[METRICS_FILE, LOSS_CURVE_FILE])?;
            Ok(Start::Fresh)
        }
    }
}

fn refuse_finished(folder: &Path) -> Result<()> {
    let finished = folder.join(MODEL_FILE);
    if !finished.exists() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: there is a finished model already; choose another folder",
        finished.display()
    )))
}

fn describe(encoder: &Encoder, captions: usize, recipe: &ModelRecipe) -> ModelDescription {
    let reference = EncoderReference {
        reference: recipe.encoder_reference.clone(),
        name: encoder.name().to_owned(),
        fingerprint: encoder.fingerprint().to_owned(),
    };
    let mut description = ModelDescription::new(&recipe.name, reference, recipe.tau);
    description.writing = recipe.writing.clone();
    description.provenance = Provenance {
        captions_from: recipe.captions_from.clone(),
        captions,
        preset: recipe.preset.clone(),
        started_from: recipe
            .foundation
            .as_ref()
            .map_or_else(String::new, |foundation| foundation.name().to_owned()),
        steps: 0,
        decap_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    description
}

/// Everything but the decoder; `model.json` last.
fn finish(
    folder: &Path,
    memory: &Memory,
    tokenizer: &Tokenizer,
    description: &ModelDescription,
    measured: &str,
) -> Result<()> {
    memory.save(folder)?;
    let json = tokenizer.to_json()?;
    write_atomically(&folder.join(TOKENIZER_FILE), |file| {
        file.write_all(json.as_bytes())
    })?;
    let card = model_card(description, measured);
    write_atomically(&folder.join("README.md"), |file| {
        file.write_all(card.as_bytes())
    })?;
    description.write(folder)
}

/// A short card for people who find the folder.
fn model_card(description: &ModelDescription, measured: &str) -> String {
    let Provenance {
        captions_from,
        captions,
        preset,
        started_from,
        steps,
        ..
    } = &description.provenance;
    let start = match started_from.as_str() {
        "" => String::new(),
        model => format!(", started from {model}"),
    };
    format!(
        "# {}\n\nA decap captioner, trained on text alone.\n\n\
         - captions: {captions} from {captions_from}\n\
         - recipe: {preset}, {steps} steps{start}\n\
         - encoder: {} (`{}`)\n{measured}\n    decap caption photo.jpg --model THIS-FOLDER\n",
        description.name, description.encoder.name, description.encoder.reference,
    )
}

fn measured(report: &TrainingReport) -> String {
    report.evaluation.map_or_else(String::new, |evaluation| {
        format!(
            "- {} held-out captions: loss {:.3}, token accuracy {:.3}, reconstruction BLEU-4 {:.3}\n",
            report.plan.held_out_captions,
            evaluation.loss,
            evaluation.token_accuracy,
            evaluation.reconstruction_bleu4,
        )
    })
}
