//! The scores on standard output.

use std::io::Write;

use decap::Rerank;
use decap_eval::{Report, System};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::print;

/// Metrics of the table, by the field's name, in the order of the report's page.
const METRICS: [&str; 8] = [
    "CIDEr", "Bleu_4", "METEOR", "ROUGE_L", "SPICE", "Bleu_1", "Bleu_2", "Bleu_3",
];

/// Prints a table, or one JSON object.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print(report: &Report<'_>, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print::line(record(report));
    }
    print::lines(|output| print_table(output, report))?;
    let mut notes: Vec<String> = Vec::new();
    for note in report
        .systems
        .iter()
        .flat_map(|system| &system.scores.notes)
    {
        let note = note.to_string();
        if !notes.contains(&note) {
            print::tell(format!("decap: {note}"));
            notes.push(note);
        }
    }
    Ok(())
}

fn print_table(output: &mut dyn Write, report: &Report<'_>) -> std::io::Result<()> {
    let metrics: Vec<&str> = METRICS
        .into_iter()
        .filter(|metric| report.systems.iter().any(|s| s.interval(metric).is_some()))
        .collect();
    let names: Vec<String> = report.systems.iter().map(name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max(11);
    write!(output, "{:<width$}", "method")?;
    for metric in &metrics {
        write!(output, " {metric:>7}")?;
    }
    writeln!(output, "   CIDEr interval")?;
    for (system, name) in report.systems.iter().zip(names) {
        write!(output, "{name:<width$}")?;
        for metric in &metrics {
            let value = system.interval(metric).map_or(f64::NAN, |one| one.value);
            write!(output, " {:>7.1}", value * 100.0)?;
        }
        if let Some(cider) = system.interval("CIDEr") {
            let (low, high) = (cider.low * 100.0, cider.high * 100.0);
            write!(output, "   {low:.1} to {high:.1}")?;
        }
        if let (Some(clip), Some(ref_clip)) = (
            system.interval("CLIPScore"),
            system.interval("RefCLIPScore"),
        ) {
            let (clip, ref_clip) = (clip.value * 100.0, ref_clip.value * 100.0);
            write!(output, "   CLIPScore {clip:.1}, RefCLIPScore {ref_clip:.1}")?;
        }
        writeln!(output)?;
    }
    for curve in report.curves {
        writeln!(
            output,
            "\n{:<11} {:<11} {:>7}   interval",
            curve.over.name(),
            "method",
            "CIDEr"
        )?;
        for point in &curve.points {
            if let Some(cider) = point.scores.iter().find(|score| score.metric == "CIDEr") {
                writeln!(
                    output,
                    "{:<11} {:<11} {:>7.1}   {:.1} to {:.1}",
                    point.x.to_string(),
                    point.method.name(),
                    cider.value * 100.0,
                    cider.low * 100.0,
                    cider.high * 100.0
                )?;
            }
        }
    }
    Ok(())
}

/// The method, and how its caption was chosen among several.
fn name(system: &System) -> String {
    let method = system.options.method.name();
    match system.options.rerank_in_use() {
        Rerank::None => method.to_owned(),
        rerank => format!("{method}, {}", rerank.name()),
    }
}

fn record(report: &Report<'_>) -> Value {
    let curves = report.curves.iter().map(|curve| {
        let points = curve.points.iter().map(|point| {
            let scores: Map<String, Value> = point
                .scores
                .iter()
                .map(|one| (one.metric.to_owned(), json!(one.value)))
                .collect();
            json!({ "x": point.x, "model": point.model, "method": point.method.name(), "scores": scores })
        });
        json!({ "over": curve.over.name(), "points": points.collect::<Vec<_>>() })
    });
    json!({
        "dataset": report.set.name,
        "images": report.photos.items.len(),
        "failed": report.photos.failures.len(),
        "systems": report.systems.iter().map(system_record).collect::<Vec<_>>(),
        "sweeps": curves.collect::<Vec<_>>(),
    })
}

fn system_record(system: &System) -> Value {
    let mut scores = Map::new();
    let mut intervals = Map::new();
    for one in &system.intervals {
        scores.insert(one.metric.to_owned(), json!(one.value));
        intervals.insert(one.metric.to_owned(), json!([one.low, one.high]));
    }
    let (method, rerank) = (system.options.method.name(), system.options.rerank_in_use());
    json!({ "method": method, "rerank": rerank, "scores": scores, "intervals": intervals })
}
