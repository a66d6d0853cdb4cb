//! Finds the photos of a folder that show what is asked for.
//!
//! ```sh
//! cargo run --release -p decap --example search_photos -- models/tiny examples/photos "a cat asleep"
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;
use std::sync::atomic::AtomicBool;

use decap::pipeline::{ReadOptions, embed_each};
use decap::{Input, OpenOptions, encoder};

fn main() -> Result<(), Box<dyn Error>> {
    let [model, folder, words] = arguments("MODEL FOLDER WORDS")?;
    // A model's folder serves as well as an encoder's own.
    let encoder = encoder::open(&model, &OpenOptions::default())?;
    let query = encoder.encode_texts(&[words.as_str()])?;
    let query = query.get(0).ok_or("expected words")?;

    let mut photos = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        photos.push(Input::from(entry?.path()));
    }
    let mut found = Vec::new();
    let stop = AtomicBool::new(false);
    embed_each(&encoder, photos, &ReadOptions::default(), &stop, |photo| {
        match photo.result {
            Ok((embedding, ())) => found.push((embedding.cosine(&query), photo.input)),
            Err(error) => eprintln!("{error}"),
        }
        Ok::<_, decap::Error>(())
    })?;
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (cosine, photo) in found.iter().take(5) {
        println!("{cosine:.3}  {}", photo.name().display());
    }
    Ok(())
}

/// The words after the program's name, which are to be as many as `usage` has.
fn arguments<const N: usize>(usage: &str) -> Result<[String; N], String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    words.try_into().map_err(|_| format!("usage: {usage}"))
}
