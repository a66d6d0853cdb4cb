//! What is timed: networks of random weights in the shapes of CLIP ViT-B/32 and the reference.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use decap::decoder::{Decoder, DecoderConfig, DecoderWeights, GenerateOptions, Vocabulary};
use decap::encoder::clip::{ClipConfig, ClipImageTower, ClipTextTower};
use decap::encoder::{Encoder, EncoderParts, Head, ImageTower, ImageViews, Preprocess};
use decap::media::Limits;
use decap::memory::{Captions, Memory, MemoryDtype, MemoryInfo, Rows};
use decap::pipeline::for_each_batch;
use decap::tokenizer::Tokenizer;
use decap::tokenizer::clip::ClipTokenizer;
use decap::{Embeddings, Error, Precision};
use decap_train::{Dropout, StepTimer, TrainOptions, TrainingPrecision};

use super::name::WorkName;
use crate::failure::Failure;

const SEED: u64 = 7;
const WIDTH: usize = 512;
/// The reference's softmax temperature.
const TAU: f32 = 0.01;
/// Sentences of the memory that whole captions are made with.
const MEMORY_ROWS: usize = 500_000;
/// Tokens of such a caption.
const CAPTION_TOKENS: usize = 20;
/// Photos encoded at a time, as `decap caption` does.
const BATCH: usize = 16;

/// One run of a work; the number depends on what was computed.
type Run = Box<dyn FnMut() -> Result<f32, Failure>>;

/// The file that photos are read from.
pub struct Photo {
    path: PathBuf,
    /// Deletes the built-in photo's file in the end.
    _folder: Option<tempfile::TempDir>,
}

impl Photo {
    /// The photo at `path`, or the built-in one, written to a temporary file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = path {
            return Ok(Self {
                path: path.to_path_buf(),
                _folder: None,
            });
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("photo.jpg");
        fs::write(&path, include_bytes!("photo.jpg"))?;
        Ok(Self {
            path,
            _folder: Some(folder),
        })
    }
}

/// Makes what `name` needs; only the runs of the result are to be timed.
///
/// # Errors
/// Where a network cannot be made.
pub fn prepare(name: WorkName, precision: Precision, photo: &Photo) -> Result<Run, Failure> {
    Ok(match name {
        WorkName::ImageTower { batch } => image_tower(batch, precision)?,
        WorkName::TextTower { batch, tokens } => text_tower(batch, tokens, precision)?,
        WorkName::Decode { tokens, batch } => decode(tokens, batch, precision)?,
        WorkName::TrainStep { batch, tokens } => train_step(batch, tokens, precision)?,
        WorkName::Project { rows, queries } => project(rows, queries, precision)?,
        WorkName::PhotoToCaption => {
            let pipeline = Pipeline::new(precision)?;
            let path = photo.path.clone();
            Box::new(move || pipeline.caption(vec![path.clone()]))
        }
        WorkName::PhotosToCaptions { photos } => {
            let pipeline = Pipeline::new(precision)?;
            let paths = vec![photo.path.clone(); photos];
            Box::new(move || pipeline.caption(paths.clone()))
        }
    })
}

fn image_tower(batch: usize, precision: Precision) -> Result<Run, Failure> {
    let tower = ClipImageTower::random(&ClipConfig::vit_base_patch32(), precision, SEED)?;
    let photos = random_rows(batch, Preprocess::default().values())?;
    // Unit rows scaled to deviation 1, as normalised pixels have it.
    let scale = (Preprocess::default().values() as f32).sqrt();
    let pixels: Vec<f32> = photos
        .as_slice()
        .iter()
        .map(|value| value * scale)
        .collect();
    Ok(Box::new(move || Ok(tower.forward(&pixels, batch)?[0])))
}

fn text_tower(batch: usize, tokens: usize, precision: Precision) -> Result<Run, Failure> {
    const END: u32 = 49_407;
    let tower = ClipTextTower::random(&ClipConfig::vit_base_patch32(), precision, SEED)?;
    let text = |index: usize| {
        let words = (1..tokens).map(|place| ((index * 977 + place * 131) % 49_000) as u32);
        words.chain([END]).collect()
    };
    let texts: Vec<Vec<u32>> = (0..batch).map(text).collect();
    Ok(Box::new(move || Ok(tower.forward_ids(&texts)?[0])))
}

fn decode(tokens: usize, batch: usize, precision: Precision) -> Result<Run, Failure> {
    let decoder = random_decoder(precision)?;
    let prefixes = random_rows(batch, WIDTH)?;
    let mut options = GenerateOptions::default();
    options.max_tokens = tokens;
    Ok(Box::new(move || {
        let captions = decoder.generate(prefixes.as_slice(), &options)?;
        full_length(
            captions.iter().map(|caption| caption.token_ids.len()),
            tokens,
        )?;
        Ok(captions[0].score)
    }))
}

/// Random weights end a caption once in 50,000 tokens; a figure of shorter ones would be wrong.
fn full_length(mut lengths: impl Iterator<Item = usize>, expected: usize) -> Result<(), Failure> {
    if lengths.all(|length| length == expected) {
        return Ok(());
    }
    let message = "a caption ended early: choose another number of tokens or embeddings";
    Err(Failure::Usage(message.to_owned()))
}

fn train_step(batch: usize, tokens: usize, precision: Precision) -> Result<Run, Failure> {
    let mut options = TrainOptions::paper();
    options.precision = match precision {
        Precision::F32 => TrainingPrecision::F32,
        _ => TrainingPrecision::Bf16,
    };
    options.dropout = Dropout {
        embedding: 0.0,
        attention: 0.0,
        residual: 0.0,
    };
    let mut timer = StepTimer::new(&DecoderConfig::default(), options, batch, tokens)?;
    Ok(Box::new(move || Ok(timer.step() as f32)))
}

fn project(rows: usize, queries: usize, precision: Precision) -> Result<Run, Failure> {
    let memory = random_memory(rows, precision)?;
    let queries = random_rows(queries, WIDTH)?;
    Ok(Box::new(move || {
        let projections = memory.project(&queries, TAU, 0)?;
        Ok(projections[0].embedding.as_slice()[0])
    }))
}

/// All that captions a photo.
struct Pipeline {
    encoder: Encoder,
    memory: Memory,
    decoder: Decoder,
    options: GenerateOptions,
}

impl Pipeline {
    fn new(precision: Precision) -> Result<Self, Failure> {
        let tower = ClipImageTower::random(&ClipConfig::vit_base_patch32(), precision, SEED)?;
        let no_text_tower = || Err(Error::Unavailable("a benchmark reads no text".to_owned()));
        let encoder = Encoder::new(EncoderParts {
            name: "random ViT-B/32".to_owned(),
            fingerprint: "random".into(),
            image_towers: vec![Arc::new(tower)],
            image_head: Head::Identity { width: WIDTH },
            image_views: ImageViews::Plain,
            open_text_tower: Box::new(no_text_tower),
            text_head: Head::Identity { width: WIDTH },
            open_tokenizer: Box::new(|| Ok(Tokenizer::from(ClipTokenizer::bundled()?))),
            tau: TAU,
        })?;
        Ok(Self {
            encoder: encoder.with_precision(precision),
            memory: random_memory(MEMORY_ROWS, precision)?,
            decoder: random_decoder(precision)?,
            options: {
                let mut options = GenerateOptions::default();
                options.max_tokens = CAPTION_TOKENS;
                options
            },
        })
    }

    /// Files to tokens, as `decap caption` does it; gives the sum of the scores.
    fn caption(&self, paths: Vec<PathBuf>) -> Result<f32, Failure> {
        let limits = Limits::default();
        let mut sum = 0.0;
        let load = |path: &PathBuf| self.encoder.open_photo(path, &limits);
        for_each_batch(paths, BATCH, load, |batch| {
            let photos = batch.into_iter().map(|(_, photo)| photo);
            let photos = photos.collect::<Result<Vec<_>, Error>>()?;
            let embeddings = self.encoder.encode_prepared(&photos)?;
            let projections = self.memory.project(&embeddings, TAU, 0)?;
            let prefixes = projections
                .iter()
                .flat_map(|projection| projection.embedding.as_slice());
            let prefixes: Vec<f32> = prefixes.copied().collect();
            let captions = self.decoder.generate(&prefixes, &self.options)?;
            let lengths = captions.iter().map(|caption| caption.token_ids.len());
            full_length(lengths, CAPTION_TOKENS)?;
            sum += captions.iter().map(|caption| caption.score).sum::<f32>();
            Ok::<_, Failure>(())
        })?;
        Ok(sum)
    }
}

fn random_decoder(precision: Precision) -> Result<Decoder, Failure> {
    let config = DecoderConfig::default();
    let weights = DecoderWeights::random(&config, SEED)?;
    let vocabulary = Vocabulary::identity(config.vocabulary_size);
    Ok(Decoder::with_precision(&weights, vocabulary, precision)?)
}

/// A memory in the type in which memories are stored by default.
fn random_memory(rows: usize, precision: Precision) -> Result<Memory, Failure> {
    let info = MemoryInfo {
        encoder_fingerprint: String::new(),
        encoder_name: "random".to_owned(),
        source: "random".to_owned(),
    };
    let captions = Captions::from_sentences((0..rows).map(|row| row.to_string()));
    let rows = Rows::random(rows, WIDTH, MemoryDtype::default(), SEED);
    let memory = Memory::new(rows, captions, info)?;
    Ok(memory.with_precision(precision).ready_for_many())
}

/// Seeded unit vectors `[rows, width]`.
fn random_rows(rows: usize, width: usize) -> Result<Embeddings, Failure> {
    let rows = Rows::random(rows, width, MemoryDtype::F32, SEED + 1);
    let values = (0..rows.len()).flat_map(|row| rows.row(row)).collect();
    Ok(Embeddings::new(values, width)?)
}
