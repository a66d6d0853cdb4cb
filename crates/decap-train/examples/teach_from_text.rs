//! Teaches a captioner the words of a text file, one caption a line, and captions a photo with it.
//!
//! ```sh
//! cargo run --release -p decap-train --example teach_from_text -- models/tiny captions.txt my-model photo.jpg
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;
use std::sync::atomic::AtomicBool;

use decap::memory::MemoryOptions;
use decap::model::Writing;
use decap::{Captioner, OpenOptions, encoder};
use decap_train::{ModelRecipe, Start, TrainOptions, train_model};

fn main() -> Result<(), Box<dyn Error>> {
    let [reference, text, out, photo] = arguments("ENCODER TEXT OUT PHOTO")?;
    let encoder = encoder::open(&reference, &OpenOptions::default())?;
    let captions = std::fs::read_to_string(&text)?;
    let captions: Vec<String> = captions.lines().map(str::to_owned).collect();
    let recipe = ModelRecipe {
        name: out.clone(),
        // Absolute: a model's folder may be moved, its encoder stays.
        encoder_reference: std::path::absolute(&reference)?.display().to_string(),
        captions_from: text,
        preset: "fast".to_owned(),
        train: TrainOptions::fast(),
        foundation: None,
        start: Start::Resume,
        memory: MemoryOptions::default(),
        tau: encoder.tau(),
        writing: Writing::fast(),
        cache: std::env::temp_dir().join("teach-from-text"),
    };
    let told = |embedded: decap::memory::EncodingProgress| {
        eprintln!("embedded {} of {}", embedded.done, embedded.total);
    };
    let stop = AtomicBool::new(false);
    let out = std::path::Path::new(&recipe.name);
    let report = train_model(&encoder, &captions, &recipe, out, told, &mut (), &stop)?;
    eprintln!(
        "trained {} steps, loss {:.3}",
        report.plan.steps, report.smoothed_loss
    );
    let captioner = Captioner::open(&recipe.name)?;
    println!("{}", captioner.caption(photo)?.text);
    Ok(())
}

/// The words after the program's name, which are to be as many as `usage` has.
fn arguments<const N: usize>(usage: &str) -> Result<[String; N], String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    words.try_into().map_err(|_| format!("usage: {usage}"))
}
