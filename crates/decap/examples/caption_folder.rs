//! Captions every photo of a folder.
//!
//! ```sh
//! cargo run --release -p decap --example caption_folder -- models/tiny examples/photos
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;

use decap::Captioner;

fn main() -> Result<(), Box<dyn Error>> {
    let [model, folder] = arguments("MODEL FOLDER")?;
    let captioner = Captioner::open(&model)?;
    let mut photos = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        photos.push(entry?.path());
    }
    photos.sort();
    // What cannot be read has its error in its place, and stops nothing.
    for (photo, caption) in photos.iter().zip(captioner.caption_batch(&photos)?) {
        match caption {
            Ok(caption) => println!("{}  {}", photo.display(), caption.text),
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}

/// The words after the program's name, which are to be as many as `usage` has.
fn arguments<const N: usize>(usage: &str) -> Result<[String; N], String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    words.try_into().map_err(|_| format!("usage: {usage}"))
}
