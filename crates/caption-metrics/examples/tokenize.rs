//! Tokenizes a JSON array of strings from standard input into a JSON array of strings.
//!
//! `tools/reference/metrics_tokenizer.py` compares its output with the reference's.

#![allow(clippy::disallowed_methods, reason = "an example prints")]

use caption_metrics::PtbTokenizer;
use std::error::Error;
use std::io::{Read as _, Write as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let captions: Vec<String> = serde_json::from_str::<Vec<serde_json::Value>>(&input)?
        .iter()
        .map(text)
        .collect();
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let lines = PtbTokenizer::new().tokenize_all(&captions);
    std::io::stdout().write_all(serde_json::Value::from(lines).to_string().as_bytes())?;
    Ok(())
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
