//! Scores predictions: `score REFERENCES PREDICTIONS [METEOR_FILE]`, the references
//! `{"id": ["caption", ...]}`, the predictions `{"id": "caption"}`; prints a JSON object with the
//! corpus scores and those of each image.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use caption_metrics::{Meteor, MetricValues, MissingIds, Options, Predictions, References};
use serde_json::{Map, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [references, predictions, rest @ ..] = arguments.as_slice() else {
        return Err("expected the references and the predictions".into());
    };
    let mut options = Options::default();
    options.missing_ids = MissingIds::LeaveOut;
    options.meteor = rest.first().map(Meteor::open).transpose()?;
    let open = |path: &String| File::open(path).map(BufReader::new);
    let references: BTreeMap<String, Vec<String>> = serde_json::from_reader(open(references)?)?;
    let predictions: BTreeMap<String, String> = serde_json::from_reader(open(predictions)?)?;
    let references = References::new(references)?;
    let predictions = Predictions::new(predictions)?;
    let scores = caption_metrics::score(&references, &predictions, &options)?;
    let images: Map<String, Value> = scores
        .images
        .iter()
        .map(|image| (image.id.clone(), object(&image.values)))
        .collect();
    println!(
        "{}",
        serde_json::json!({"corpus": object(&scores.corpus), "images": images})
    );
    Ok(())
}

fn object(values: &MetricValues) -> Value {
    values
        .named()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}
