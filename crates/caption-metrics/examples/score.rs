//! Scores predictions: `score REFERENCES PREDICTIONS [METEOR_FILE]`; prints a JSON object with
//! the corpus scores and those of each image.

use caption_metrics::{Meteor, MetricValues, MissingIds, Options};
use serde_json::{Map, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [references, predictions, rest @ ..] = arguments.as_slice() else {
        return Err("expected the references and the predictions".into());
    };
    let options = Options {
        missing_ids: MissingIds::LeaveOut,
        meteor: rest.first().map(Meteor::open).transpose()?,
        ..Options::default()
    };
    let references = caption_metrics::read_references(references)?;
    let predictions = caption_metrics::read_predictions(predictions)?;
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
