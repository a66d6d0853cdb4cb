//! From caption files to a model folder: embed, train, build the memory, write it down.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use decap_kernels::Precision as KernelPrecision;

use super::{
    CHECKPOINT_FILE, EncodingProgress, LOSS_CURVE_FILE, METRICS_FILE, Progress, Start,
    TextEmbeddings, TrainOptions, TrainingReport, TrainingText, train,
};
use crate::decoder::{self, DecoderWeights, ImportOptions, Vocabulary};
use crate::embedding::Embeddings;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::memory::{Memory, MemoryBuilder, MemoryInfo, MemoryOptions};
use crate::model::{
    EncoderReference, MODEL_FILE, ModelDescription, Provenance, TOKENIZER_FILE, Writing,
};
use crate::tokenizer::Tokenizer;
use crate::weights::{check_folder_is_own, write_atomically};

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
    let start = start_in(folder, recipe.start)?;
    let texts: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
    let tokenizer = encoder.tokenizer()?;
    let tokens = tokenizer.encode_batch(&texts)?;
    let embeddings = embed(encoder, &texts, &recipe.cache, encoding, stop)?;
    let text = TrainingText {
        captions: &tokens,
        embeddings: &embeddings,
        start_token: tokenizer.start(),
        end_token: tokenizer.end(),
    };
    let report = train(&text, &recipe.train, folder, start, progress, stop)?;

    let mut description = describe(encoder, texts.len(), recipe);
    description.provenance.steps = report.plan.steps;
    let memory = memory_of(
        encoder,
        &texts,
        &embeddings,
        recipe.memory.clone(),
        recipe.captions_from.clone(),
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
    let options = ImportOptions {
        start_token: Some(tokenizer.start()),
        end_token: tokenizer.end(),
        ..ImportOptions::default()
    };
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
    let vocabulary = Vocabulary::identity(config.vocabulary_size);
    let texts: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
    let embeddings = embed(encoder, &texts, &recipe.cache, encoding, stop)?;
    decoder::save(folder, &weights, &vocabulary, recipe.train.weights_dtype)?;
    let memory = memory_of(
        encoder,
        &texts,
        &embeddings,
        recipe.memory.clone(),
        recipe.captions_from.clone(),
    )?;
    let description = describe(encoder, texts.len(), recipe);
    finish(folder, &memory, &tokenizer, &description, "")
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

/// The embeddings of `texts`, from the cache where they are known.
///
/// # Errors
/// What the encoder says; [`Error::Interrupted`] after `stop`.
pub fn embed(
    encoder: &Encoder,
    texts: &[&str],
    cache: &Path,
    progress: impl FnMut(EncodingProgress),
    stop: &AtomicBool,
) -> Result<TextEmbeddings> {
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
    let stored = |progress| {
        before.set(progress);
        told.borrow_mut()(progress);
    };
    // Rounded embeddings are not to be taken for the reference's, nor the other way round.
    let key = match encoder.precision().of_towers() {
        KernelPrecision::F32 => encoder.fingerprint().to_owned(),
        rounded => format!("{} {rounded:?}", encoder.fingerprint()),
    };
    TextEmbeddings::cached(cache, &key, encoder.width(), texts, encode, stored)
}

/// Builds a memory from `captions`; `source` says in words where they come from.
///
/// Captions that all go into the memory are embedded in the order in which [`train_model`] does it,
/// so that the one finds what the other left in the cache.
///
/// # Errors
/// As [`embed`] and [`MemoryBuilder::choose`].
pub fn build_memory(
    encoder: &Encoder,
    captions: &[String],
    options: MemoryOptions,
    source: String,
    cache: &Path,
    encoding: impl FnMut(EncodingProgress),
    stop: &AtomicBool,
) -> Result<Memory> {
    let all: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
    if all.len() <= options.max_rows {
        let embeddings = embed(encoder, &all, cache, encoding, stop)?;
        return memory_of(encoder, &all, &embeddings, options, source);
    }
    let chosen = MemoryBuilder::choose(&all, options.clone())?;
    let drawn: Vec<&str> = chosen.captions().iter().map(String::as_str).collect();
    let embeddings = embed(encoder, &drawn, cache, encoding, stop)?;
    memory_of(encoder, &drawn, &embeddings, options, source)
}

/// The memory of trimmed `texts` whose embeddings [`embed`] found, as `source` calls them.
///
/// # Errors
/// [`Error::Usage`] where there is no text.
pub fn memory_of(
    encoder: &Encoder,
    texts: &[&str],
    embeddings: &TextEmbeddings,
    options: MemoryOptions,
    source: String,
) -> Result<Memory> {
    let chosen = MemoryBuilder::choose(texts, options)?;
    let index_of: HashMap<&str, usize> = texts.iter().copied().zip(0..).collect();
    let mut rows = vec![0.0; chosen.captions().len() * encoder.width()];
    for (caption, row) in chosen
        .captions()
        .iter()
        .zip(rows.chunks_exact_mut(encoder.width()))
    {
        embeddings.copy_row(index_of[caption.as_str()], row);
    }
    let info = MemoryInfo {
        encoder_fingerprint: encoder.fingerprint().to_owned(),
        encoder_name: encoder.name().to_owned(),
        source,
    };
    chosen.finish(&Embeddings::new(rows, encoder.width())?, info)
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
        steps,
        ..
    } = &description.provenance;
    format!(
        "# {}\n\nA decap captioner, trained on text alone.\n\n\
         - captions: {captions} from {captions_from}\n\
         - recipe: {preset}, {steps} steps\n\
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
