//! An encoder of one's own: whatever turns photos and sentences into vectors of one space.
//!
//! This one knows colours alone: a photo's features are its mean red, green and blue, a sentence's are
//! the colours that it names.
//!
//! ```sh
//! cargo run --release -p decap --example own_encoder -- examples/photos/boat.webp models/tiny
//! ```

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::sync::Arc;

use decap::encoder::{Encoder, EncoderParts, Head, ImageTower, ImageViews, Preprocess, TextTower};
use decap::media::{Limits, image};
use decap::tokenizer::Tokenizer;

/// The mean of each channel.
struct MeanColour {
    preprocess: Preprocess,
}

impl ImageTower for MeanColour {
    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn width(&self) -> usize {
        3
    }

    /// From pixels `[batch, 3, size, size]` to features `[batch, 3]`.
    fn forward(&self, pixels: &[f32], batch: usize) -> decap::Result<Vec<f32>> {
        let channel = pixels.len() / (batch * 3);
        let means = pixels.chunks_exact(channel).map(|channel| {
            // Never zero: a black photo has a direction too.
            1e-3 + channel.iter().sum::<f32>() / channel.len() as f32
        });
        Ok(means.collect())
    }
}

/// The colours that a sentence names.
struct NamedColours;

impl TextTower for NamedColours {
    fn width(&self) -> usize {
        3
    }

    /// From sentences to features `[texts, 3]`.
    fn forward(&self, texts: &[&str]) -> decap::Result<Vec<f32>> {
        let named = |text: &str, name: &str| if text.contains(name) { 1.0 } else { 1e-3 };
        let features = texts
            .iter()
            .flat_map(|text| ["red", "green", "blue"].map(|name| named(text, name)));
        Ok(features.collect())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [photo, model] = arguments("PHOTO MODEL")?;
    let preprocess = Preprocess {
        size: 32,
        resize: decap::encoder::Resize::Squash,
        mean: [0.0; 3],
        std: [1.0; 3],
        ..Preprocess::default()
    };
    // A decoder for this encoder would learn the ids of this tokenizer.
    let tokenizer = std::path::PathBuf::from(model).join("encoder/tokenizer.json");
    let encoder = Encoder::new(EncoderParts {
        name: "colours".to_owned(),
        // Tells this encoder's embeddings from all others': change it whenever they change.
        fingerprint: "colours 1".into(),
        image_towers: vec![Arc::new(MeanColour { preprocess })],
        image_head: Head::Identity { width: 3 },
        image_views: ImageViews::Plain,
        open_text_tower: Box::new(|| Ok(Arc::new(NamedColours) as Arc<dyn TextTower>)),
        text_head: Head::Identity { width: 3 },
        open_tokenizer: Box::new(move || {
            Tokenizer::read(&tokenizer, &std::fs::read(&tokenizer).unwrap_or_default())
        }),
        tau: 0.01,
    })?;
    let photo = encoder.encode_image(&image::open(photo, &Limits::default())?)?;
    for sentence in ["a red photo", "a green photo", "a blue photo"] {
        let embedding = encoder.encode_texts(&[sentence])?;
        let embedding = embedding.get(0).ok_or("expected an embedding")?;
        println!("{:.3}  {sentence}", photo.cosine(&embedding));
    }
    Ok(())
}

/// The words after the program's name, which are to be as many as `usage` has.
fn arguments<const N: usize>(usage: &str) -> Result<[String; N], String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    words.try_into().map_err(|_| format!("usage: {usage}"))
}
