//! Scores as a table, as JSON and image by image.

use std::io::Write;
use std::path::Path;

use caption_metrics::Comparison;
use decap::output::write_atomically;
use serde_json::{Map, Value, json};

use super::Findings;
use crate::csv::field;
use crate::failure::Failure;
use crate::print;

/// Metrics that need what may not be there, and how to get it.
const OPTIONAL: [(&str, &str); 2] = [
    (
        "METEOR",
        "absent: needs --meteor FILE (see --prepare-meteor)",
    ),
    ("SPICE", "absent: needs --spice DIR, Java and its jars"),
];

/// Prints a table, or one JSON object.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print(findings: &Findings, as_json: bool) -> Result<(), Failure> {
    match as_json {
        true => print::line(record(findings)),
        false => print::lines(|output| print_table(output, findings)),
    }
}

/// The field's keys, fractions as pycocoevalcap prints them; what else was measured below them.
fn record(findings: &Findings) -> Value {
    let scores = &findings.scores;
    let mut record: Map<String, Value> = findings
        .values()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let absent: Vec<&str> = absent(findings).map(|(name, _)| name).collect();
    record.insert("absent".to_owned(), json!(absent));
    record.insert("images".to_owned(), json!(scores.images.len()));
    let missing = scores.missing.predictions.len() + scores.missing.references.len();
    record.insert("missing".to_owned(), json!(missing));
    // All of them: messages name a few.
    let missing_ids = json!({
        "predictions": scores.missing.predictions,
        "references": scores.missing.references,
    });
    record.insert("missing_ids".to_owned(), missing_ids);
    let notes: Vec<String> = scores.notes.iter().map(ToString::to_string).collect();
    record.insert("notes".to_owned(), json!(notes));
    if !findings.intervals.is_empty() {
        let intervals: Map<String, Value> = findings
            .intervals
            .iter()
            .map(|one| (one.metric.to_owned(), json!([one.low, one.high])))
            .collect();
        record.insert("intervals".to_owned(), Value::Object(intervals));
    }
    let diversity = &findings.diversity;
    record.insert(
        "diversity".to_owned(),
        json!({
            "mean_length": diversity.mean_length_words,
            "vocabulary": diversity.vocabulary_size,
            "distinct_captions": diversity.num_distinct_captions,
            "distinct_1": diversity.distinct[0],
            "distinct_2": diversity.distinct[1],
            "distinct_3": diversity.distinct[2],
            "distinct_4": diversity.distinct[3],
            "repeated": diversity.repeated,
            "novel": diversity.novel,
            "self_cider": findings.self_cider,
        }),
    );
    if let Some(comparison) = &findings.comparison {
        let metrics: Map<String, Value> = comparison.iter().map(compared).collect();
        record.insert("comparison".to_owned(), Value::Object(metrics));
    }
    Value::Object(record)
}

fn compared(one: &Comparison) -> (String, Value) {
    let record = json!({
        "first": one.first,
        "second": one.second,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "p_value": one.p_value,
    });
    (one.metric.to_owned(), record)
}

fn print_table(output: &mut dyn Write, findings: &Findings) -> std::io::Result<()> {
    for (name, value) in findings.values() {
        write!(output, "{name:<12} {:7.2}", value * 100.0)?;
        if let Some(one) = findings.intervals.iter().find(|one| one.metric == name) {
            write!(
                output,
                "   {:.2} to {:.2}",
                one.low * 100.0,
                one.high * 100.0
            )?;
        }
        writeln!(output)?;
    }
    for (name, why) in absent(findings) {
        writeln!(output, "{name:<12} {why}")?;
    }
    let diversity = &findings.diversity;
    writeln!(
        output,
        "{:<12} {:7}",
        "images",
        findings.scores.images.len()
    )?;
    writeln!(
        output,
        "{:<12} {:7.2} words a caption",
        "length", diversity.mean_length_words
    )?;
    writeln!(
        output,
        "{:<12} {:7} words",
        "vocabulary", diversity.vocabulary_size
    )?;
    for (share, order) in diversity.distinct.iter().zip(1..) {
        writeln!(output, "distinct-{order:<3} {share:7.3}")?;
    }
    writeln!(
        output,
        "{:<12} {:7.2} % of captions say a word twice",
        "repeated",
        diversity.repeated * 100.0
    )?;
    if let Some(novel) = diversity.novel {
        writeln!(
            output,
            "{:<12} {:7.2} % of captions",
            "novel",
            novel * 100.0
        )?;
    }
    if let Some(self_cider) = findings.self_cider {
        writeln!(output, "{:<12} {self_cider:7.3}", "self-CIDEr")?;
    }
    if let Some(comparison) = &findings.comparison {
        writeln!(
            output,
            "\n{:<12} {:>7} {:>7} {:>10}   {:<18} {:>7}",
            "", "first", "second", "difference", "interval", "p"
        )?;
        for one in comparison {
            let interval = format!("{:+.2} to {:+.2}", one.low * 100.0, one.high * 100.0);
            writeln!(
                output,
                "{:<12} {:7.2} {:7.2} {:+10.2}   {interval:<18} {:7.4}",
                one.metric,
                one.first * 100.0,
                one.second * 100.0,
                one.difference * 100.0,
                one.p_value
            )?;
        }
    }
    Ok(())
}

fn absent(findings: &Findings) -> impl Iterator<Item = (&'static str, &'static str)> {
    let values = &findings.scores.corpus;
    let is_there = [values.meteor.is_some(), values.spice.is_some()];
    let optional = OPTIONAL.into_iter().zip(is_there);
    optional
        .filter(|(_, is_there)| !is_there)
        .map(|(metric, _)| metric)
}

/// A CSV file: `id,prediction,Bleu_1,...`, fractions.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_per_image(path: &Path, findings: &Findings) -> Result<(), Failure> {
    let scores = &findings.scores;
    write_atomically(path, |file| {
        let names: Vec<&str> = scores.corpus.named().map(|(name, _)| name).collect();
        write!(file, "id,prediction,{}", names.join(","))?;
        if findings.clip_scores.is_some() {
            write!(file, ",CLIPScore,RefCLIPScore")?;
        }
        writeln!(file)?;
        for (place, image) in scores.images.iter().enumerate() {
            write!(file, "{},{}", field(&image.id), field(&image.prediction))?;
            for (_, value) in image.values.named() {
                write!(file, ",{value}")?;
            }
            if let Some(clip_scores) = &findings.clip_scores {
                let (clip, ref_clip) = (clip_scores.clip[place], clip_scores.ref_clip[place]);
                write!(file, ",{clip},{ref_clip}")?;
            }
            writeln!(file)?;
        }
        Ok(())
    })?;
    Ok(())
}
