//! Prints what bf16 and int8 change: cosines of embeddings to f32's and the share of equal captions.
//!
//! `cargo run --release -p decap-train --example precision -- train DATA DECODER` trains a decoder of the
//! reference's shape on real CLIP ViT-B/32 text embeddings; `... -- table DATA DECODER` prints the
//! table, in Markdown, on 500 photos through the bundled model and on 500 real CLIP embeddings of
//! photos through that decoder and a memory of the same text embeddings; `... -- scales DATA` prints
//! what it costs to decode large JPEGs at smaller scales.
//!
//! DATA holds `pairs/coco_2k` (photos and `manifest.jsonl`) and `clip_vitb32` (`.npy` files of
//! embeddings with their texts).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use decap::decoder::{Decoder, GenerateOptions};
use decap::encoder::clip::{ClipConfig, ClipImageTower, ClipTextTower};
use decap::encoder::{ImageTower, PreparedImage, TextTower};
use decap::media::Limits;
use decap::media::RgbImage;
use decap::media::image::{decode, decode_reduced};
use decap::memory::{Captions, Memory, MemoryDtype, MemoryInfo, Rows, TextEmbeddings};
use decap::tokenizer::Tokenizer;
use decap::tokenizer::clip::ClipTokenizer;
use decap::weights::Folder;
use decap::{Captioner, Embeddings, OpenOptions, Precision, read_npy};
use decap_train::{
    Progress, Start, StepReport, TrainOptions, TrainingText, VocabularyChoice, train,
};
use rayon::prelude::*;
use serde::Deserialize;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Photos, and embeddings of photos, that are compared.
const SAMPLES: usize = 500;
const ROUNDED: [Precision; 3] = [Precision::Bf16, Precision::Int8, Precision::Auto];
const SEED: u64 = 7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["train", data, decoder] => train_decoder(Path::new(data), Path::new(decoder)),
        ["scales", data] => smaller_scales(Path::new(data)),
        ["table", data, decoder] => print_table(Path::new(data), Path::new(decoder)),
        _ => Err("expected `train DATA DECODER`, `table DATA DECODER` or `scales DATA`".into()),
    }
}

/// Texts with their real CLIP ViT-B/32 embeddings.
struct ClipTexts {
    texts: Vec<String>,
    embeddings: Embeddings,
}

impl ClipTexts {
    /// 17,069 words and 500 captions.
    fn read(data: &Path) -> Result<Self> {
        let folder = data.join("clip_vitb32");
        let labels = fs::read_to_string(folder.join("vg17k_labels.txt"))?;
        let mut texts: Vec<String> = labels.lines().map(|l| l.trim_matches('"').into()).collect();
        let steps = read_npy(&folder.join("vg17k_text_emb_i8.npy"))?;
        let scales = read_npy(&folder.join("vg17k_text_emb_scale.npy"))?.values;
        let width = steps.values.len() / texts.len();
        let mut values = steps.values;
        for (row, scale) in values.chunks_exact_mut(width).zip(&scales) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
        #[derive(Deserialize)]
        struct Rows {
            caption: Vec<String>,
        }
        let flickr = folder.join("flickr8k_100");
        let rows: Rows = serde_json::from_slice(&fs::read(flickr.join("text_rows.json"))?)?;
        values.extend(read_npy(&flickr.join("text_emb.npy"))?.values);
        texts.extend(rows.caption);
        let embeddings = Embeddings::new(values, width)?;
        Ok(Self { texts, embeddings })
    }
}

/// A short training, on as many captions as words: enough to write about what it sees.
fn train_decoder(data: &Path, folder: &Path) -> Result<()> {
    const STEPS: u64 = 240;
    const CAPTIONS: usize = 500;
    const REPEATS: usize = 34;
    let ClipTexts { texts, embeddings } = ClipTexts::read(data)?;
    let tokenizer = Tokenizer::from(ClipTokenizer::bundled()?);
    let words = texts.len() - CAPTIONS;
    let order = (0..words).chain((0..REPEATS * CAPTIONS).map(|n| words + n % CAPTIONS));
    let order: Vec<usize> = order.collect();
    let width = embeddings.width();
    let row = |index: usize| &embeddings.as_slice()[index * width..(index + 1) * width];
    let rows = order.iter().flat_map(|&index| row(index)).copied();
    let texts: Vec<&str> = order.iter().map(|&index| texts[index].as_str()).collect();
    let text = TrainingText {
        captions: &tokenizer.encode_batch(&texts)?,
        embeddings: &TextEmbeddings::from(&Embeddings::new(rows.collect(), width)?),
        start_token: tokenizer.start(),
        end_token: tokenizer.end(),
        rehearsed: 0,
        beginning: None,
    };
    let mut options = TrainOptions::paper();
    options.vocabulary = VocabularyChoice::Corpus;
    options.learning_rate = 3e-4;
    options.warmup_steps = 50;
    options.max_steps = Some(STEPS);
    options.precision = TrainOptions::fast().precision;
    options.checkpoint_every = 100;
    options.held_out = 0.0;
    struct Watch;
    impl Progress for Watch {
        fn stepped(&mut self, report: &StepReport) {
            if report.step.is_multiple_of(20) {
                eprintln!("step {}: loss {:.3}", report.step, report.smoothed_loss);
            }
        }
    }
    let start = match folder.join(decap_train::CHECKPOINT_FILE).exists() {
        true => Start::Resume,
        false => Start::Fresh,
    };
    let stop = AtomicBool::new(false);
    train(&text, &options, folder, start, &mut Watch, &stop)?;
    Ok(())
}

fn print_table(data: &Path, decoder: &Path) -> Result<()> {
    println!("| what | precision | least cosine to f32 | mean | equal captions |");
    println!("|---|---|---|---|---|");
    bundled(data)?;
    clip_embeddings(data, decoder)?;
    clip_towers(data)
}

/// Photos to captions with the bundled model, as `decap caption` does it.
fn bundled(data: &Path) -> Result<()> {
    let photos = photos(&data.join("pairs/coco_2k"), SAMPLES)?;
    let run = |precision| -> Result<(Embeddings, Vec<String>)> {
        let captioner =
            Captioner::open_with("models/tiny", &OpenOptions::default().precision(precision))?;
        let limits = Limits::default();
        let prepared = photos
            .par_iter()
            .map(|path| captioner.encoder().open_photo(path, &limits))
            .collect::<decap::Result<Vec<_>>>()?;
        let embeddings = captioner.encoder().encode_prepared(&prepared)?;
        let (captions, _) = captioner.caption_embeddings(&embeddings, &captioner.options())?;
        let texts = captions.into_iter().map(|caption| caption.text).collect();
        Ok((embeddings, texts))
    };
    let (embeddings, texts) = run(Precision::F32)?;
    for precision in ROUNDED {
        let (rounded, rounded_texts) = run(precision)?;
        let what = format!("bundled model, {} photos", photos.len());
        row(
            &what,
            precision,
            &embeddings,
            &rounded,
            Some((&texts, &rounded_texts)),
        );
    }
    Ok(())
}

/// Real CLIP embeddings of photos: projection, then greedy decoding.
fn clip_embeddings(data: &Path, decoder: &Path) -> Result<()> {
    let ClipTexts { texts, embeddings } = ClipTexts::read(data)?;
    let folder = data.join("clip_vitb32");
    let mut values = read_npy(&folder.join("flickr8k_100/image_emb.npy"))?.values;
    values.extend(read_npy(&folder.join("picsum_image_emb.npy"))?.values);
    values.truncate(SAMPLES * embeddings.width());
    let photos = Embeddings::new(values, embeddings.width())?;
    let tokenizer = Tokenizer::from(ClipTokenizer::bundled()?);
    for dtype in [MemoryDtype::F16, MemoryDtype::Int8] {
        let run = |precision| -> Result<(Embeddings, Vec<String>)> {
            let info = MemoryInfo {
                encoder_fingerprint: String::new(),
                encoder_name: "CLIP ViT-B/32".into(),
                source: "words and captions".into(),
            };
            // f32 is exact: no rounding of the rows either.
            let dtype = match precision {
                Precision::F32 => MemoryDtype::F32,
                _ => dtype,
            };
            let rows = Rows::quantise(&embeddings, dtype);
            let rows = match precision {
                Precision::F32 => rows,
                _ => rows.with_byte_scan(),
            };
            let memory = Memory::new(rows, Captions::from_sentences(&texts), info)?;
            let memory = memory.with_precision(precision);
            let projections = memory.project(&photos, 0.01, 0)?;
            let values = projections.iter().flat_map(|p| p.embedding.as_slice());
            let projected = Embeddings::new(values.copied().collect(), photos.width())?;
            let decoder = Decoder::open_with(&Folder::disk(decoder), precision)?;
            let options = GenerateOptions::default();
            let written = decoder.generate(projected.as_slice(), &options)?;
            let text =
                |written: &decap::decoder::Generated| tokenizer.decode(&written.caption_ids());
            let written = written.iter().map(text).collect::<decap::Result<_>>()?;
            Ok((projected, written))
        };
        let (projected, written) = run(Precision::F32)?;
        if dtype == MemoryDtype::F16 {
            let lengths: usize = written.iter().map(|text| text.split(' ').count()).sum();
            eprintln!(
                "{} words a caption; e.g.",
                lengths as f64 / written.len() as f64
            );
            written
                .iter()
                .take(5)
                .for_each(|text| eprintln!("  {text}"));
        }
        for precision in ROUNDED {
            let (rounded, rounded_texts) = run(precision)?;
            let what = format!(
                "{} CLIP embeddings, projected onto {} rows of {} and decoded",
                photos.len(),
                texts.len(),
                dtype.name()
            );
            row(
                &what,
                precision,
                &projected,
                &rounded,
                Some((&written, &rounded_texts)),
            );
        }
    }
    Ok(())
}

/// CLIP's towers have real shapes here and random weights: a checkpoint's outliers cost int8 more.
fn clip_towers(data: &Path) -> Result<()> {
    const PHOTOS: usize = 100;
    let config = ClipConfig::vit_base_patch32();
    let photos = photos(&data.join("pairs/coco_2k"), PHOTOS)?;
    let captions = fs::read_to_string(data.join("text/flickr8k_val_test.txt"))?;
    let captions: Vec<&str> = captions.lines().take(SAMPLES).collect();
    let image = |precision| -> Result<Embeddings> {
        let tower = ClipImageTower::random(&config, precision, SEED)?;
        let mut pixels = Vec::new();
        for path in &photos {
            let photo = decap::media::image::open(path, &Limits::default())?;
            pixels.extend(tower.preprocess().apply(&photo));
        }
        Ok(Embeddings::new(
            tower.forward(&pixels, photos.len())?,
            tower.width(),
        )?)
    };
    let text = |precision| -> Result<Embeddings> {
        let tower = ClipTextTower::random(&config, precision, SEED)?;
        Ok(Embeddings::new(tower.forward(&captions)?, tower.width())?)
    };
    let (exact_image, exact_text) = (image(Precision::F32)?, text(Precision::F32)?);
    for precision in ROUNDED {
        let what = format!("ViT-B/32 image tower, random weights, {PHOTOS} photos");
        row(&what, precision, &exact_image, &image(precision)?, None);
        let what = format!("ViT-B/32 text tower, random weights, {SAMPLES} captions");
        row(&what, precision, &exact_text, &text(precision)?, None);
    }
    Ok(())
}

/// What it costs to decode a large JPEG at a smaller scale: photos are blown up eight times, noise
/// is added for detail, and the bundled model looks at them in full and at smaller scales.
fn smaller_scales(data: &Path) -> Result<()> {
    const PHOTOS: usize = 40;
    const TIMES: u32 = 14;
    let captioner = Captioner::open_with(
        "models/tiny",
        &OpenOptions::default().precision(Precision::F32),
    )?;
    let encoder = captioner.encoder();
    let size = encoder.image_towers()[0].preprocess().size;
    let photos = photos(&data.join("pairs/coco_2k"), PHOTOS)?;
    // What is left of a photo is this many times as wide as the tower's square, at least.
    let margins = [None, Some(2), Some(3), Some(4)];
    let mut prepared = margins.map(|_| Vec::new());
    for path in &photos {
        let limits = Limits::default();
        let photo = decap::media::image::open(path, &limits)?;
        let jpeg = enlarge(&photo, TIMES);
        for (prepared, margin) in prepared.iter_mut().zip(margins) {
            let photo = match margin {
                None => decode(&jpeg, path, &limits)?,
                Some(margin) => decode_reduced(&jpeg, path, &limits, margin * size)?,
            };
            prepared.push(encoder.prepare(&photo));
        }
    }
    let look = |prepared: &Vec<PreparedImage>| -> Result<(Embeddings, Vec<String>)> {
        let embeddings = encoder.encode_prepared(prepared)?;
        let (captions, _) = captioner.caption_embeddings(&embeddings, &captioner.options())?;
        let texts = captions.into_iter().map(|caption| caption.text).collect();
        Ok((embeddings, texts))
    };
    let (whole, texts) = look(&prepared[0])?;
    for (prepared, margin) in prepared.iter().zip(margins).skip(1) {
        let (reduced, reduced_texts) = look(prepared)?;
        let margin = margin.unwrap_or_default();
        let what = format!(
            "bundled model, {PHOTOS} JPEGs enlarged {TIMES} times, decoded at a scale that leaves \
             {margin} times the tower's square"
        );
        let texts = Some((&texts, &reduced_texts));
        row(&what, Precision::F32, &whole, &reduced, texts);
    }
    Ok(())
}

/// The photo `times` as large, with seeded noise of deviation 7, as JPEG of quality 90.
fn enlarge(photo: &RgbImage, times: u32) -> Vec<u8> {
    let (width, height) = (photo.width() * times, photo.height() * times);
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    let source = |x: u32, y: u32, channel: u32| {
        f32::from(photo.pixels()[((y * photo.width() + x) * 3 + channel) as usize])
    };
    let mut state = SEED;
    for y in 0..height {
        for x in 0..width {
            // Bilinear, from centres of pixels.
            let place = |at: u32, last: u32| {
                let exact = ((at as f32 + 0.5) / times as f32 - 0.5).clamp(0.0, last as f32);
                (exact as u32, (exact as u32 + 1).min(last), exact.fract())
            };
            let (left, right, across) = place(x, photo.width() - 1);
            let (top, bottom, down) = place(y, photo.height() - 1);
            for channel in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let noise = (state >> 40) as f32 / (1u64 << 24) as f32 * 24.0 - 12.0;
                let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
                let upper = mix(
                    source(left, top, channel),
                    source(right, top, channel),
                    across,
                );
                let lower = mix(
                    source(left, bottom, channel),
                    source(right, bottom, channel),
                    across,
                );
                pixels.push((mix(upper, lower, down) + noise).clamp(0.0, 255.0) as u8);
            }
        }
    }
    let encoder = libjpeg_turbo_rs::Encoder::new(
        &pixels,
        width as usize,
        height as usize,
        libjpeg_turbo_rs::PixelFormat::Rgb,
    );
    encoder.quality(90).encode().unwrap_or_default()
}

fn row(
    what: &str,
    precision: Precision,
    exact: &Embeddings,
    rounded: &Embeddings,
    texts: Option<(&Vec<String>, &Vec<String>)>,
) {
    let cosine = |(a, b): (&[f32], &[f32])| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let cosines: Vec<f64> = exact.rows().zip(rounded.rows()).map(cosine).collect();
    let least = cosines.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let equal = texts.map_or("-".to_owned(), |(exact, rounded)| {
        let equal = exact.iter().zip(rounded).filter(|(a, b)| a == b).count();
        format!("{:.1} %", 100.0 * equal as f64 / exact.len() as f64)
    });
    println!("| {what} | {precision} | {least:.6} | {mean:.6} | {equal} |");
}

/// The first photos of a manifest.
fn photos(folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Line {
        image: String,
    }
    let manifest = fs::read_to_string(folder.join("manifest.jsonl"))?;
    let lines = manifest.lines().take(count);
    lines
        .map(|line| Ok(folder.join(serde_json::from_str::<Line>(line)?.image)))
        .collect()
}
