//! `decap score`: caption metrics without Java.

use std::path::Path;

use caption_metrics::{
    Error, Meteor, MissingIds, Options, Scores, Tokenization, read_predictions, read_references,
    score,
};
use decap::weights::write_atomically;
use serde_json::{Map, Value, json};

use crate::args::ScoreArgs;
use crate::failure::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &ScoreArgs) -> Result<Outcome, Failure> {
    let references = read_references(&args.references)?;
    let predictions = read_predictions(&args.predictions)?;
    if let (Some(package), Some(file)) = (&args.prepare_meteor, &args.meteor) {
        caption_metrics::meteor::prepare(package, file)?;
    }
    let meteor = args.meteor.as_ref().map(Meteor::open).transpose()?;
    let options = Options {
        meteor,
        tokenization: if args.tokenized {
            Tokenization::Tokenized
        } else {
            Tokenization::PennTreebank
        },
        missing_ids: if args.allow_missing {
            MissingIds::LeaveOut
        } else {
            MissingIds::Refuse
        },
        ..Options::default()
    };
    let scores = score(&references, &predictions, &options)?;
    report_what_is_missing(&scores);
    if args.json {
        println!("{}", json_record(&scores));
    } else {
        print_table(&scores);
    }
    if let Some(path) = &args.per_image {
        write_per_image(path, &scores)?;
    }
    Ok(Outcome::AllWell)
}

fn report_what_is_missing(scores: &Scores) {
    if !scores.missing.is_empty() {
        eprintln!("decap: left out: {}", scores.missing);
    }
    for note in &scores.notes {
        eprintln!("decap: {note}");
    }
}

/// The field's keys, fractions as pycocoevalcap prints them.
fn json_record(scores: &Scores) -> Value {
    let mut record: Map<String, Value> = scores
        .corpus
        .named()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    record.insert("images".to_owned(), json!(scores.images.len()));
    let missing = scores.missing.predictions.len() + scores.missing.references.len();
    record.insert("missing".to_owned(), json!(missing));
    Value::Object(record)
}

fn print_table(scores: &Scores) {
    for (name, value) in scores.corpus.named() {
        println!("{name:<8} {:7.2}", value * 100.0);
    }
    println!("{:<8} {:7}", "images", scores.images.len());
}

/// A CSV file: `id,prediction,Bleu_1,...`, fractions.
fn write_per_image(path: &Path, scores: &Scores) -> Result<(), Failure> {
    write_atomically(path, |file| {
        let names: Vec<&str> = scores.corpus.named().map(|(name, _)| name).collect();
        writeln!(file, "id,prediction,{}", names.join(","))?;
        for image in &scores.images {
            write!(file, "{},{}", quoted(&image.id), quoted(&image.prediction))?;
            for (_, value) in image.values.named() {
                write!(file, ",{value}")?;
            }
            writeln!(file)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// A CSV field (RFC 4180), quoted where it must be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Mismatch(_) => Self::Scoring(format!(
                "{error}\n  --allow-missing scores the ids that both sides have"
            )),
            error => Self::Scoring(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a dog"), "a dog");
        assert_eq!(quoted("a \"dog\", black"), "\"a \"\"dog\"\", black\"");
    }
}
