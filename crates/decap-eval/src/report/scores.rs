//! All scores as JSON, for programs.

use caption_metrics::Interval;
use serde_json::{Map, Value, json};

use super::predictions::image_id;
use super::{Report, shortest};
use crate::sweep::SweepOver;
use crate::{Curve, System, SystemComparison};

impl Report<'_> {
    /// What `scores.json` holds; scores are fractions under the field's names, as pycocoevalcap
    /// prints them.
    pub(super) fn scores(&self, comparisons: &[SystemComparison]) -> Value {
        let failed = self.photos.failures.iter().map(|failure| {
            let item = &self.set.items[failure.item];
            json!({
                "image_id": image_id(&item.id),
                "path": item.path.to_string_lossy(),
                "kind": failure.kind,
                "message": failure.message,
            })
        });
        json!({
            "dataset": {
                "name": self.set.name,
                "images": self.photos.items.len(),
                "failed": failed.collect::<Vec<_>>(),
                "without_references": self.set.without_references,
                "benchmark": self.benchmark.map(|benchmark| benchmark.name()),
            },
            "model": self.model,
            "command": self.command,
            "program": self.program,
            "confidence": self.bootstrap.confidence,
            "systems": self.systems.iter().map(|one| self.system(one)).collect::<Vec<_>>(),
            "comparisons": comparisons.iter().map(comparison).collect::<Vec<_>>(),
            "sweeps": self.curves.iter().map(sweep).collect::<Vec<_>>(),
        })
    }

    fn system(&self, system: &System) -> Value {
        let diversity = &system.diversity;
        let images = system
            .scores
            .images
            .iter()
            .enumerate()
            .map(|(place, image)| {
                let mut record = Map::new();
                record.insert("image_id".into(), image_id(&image.id));
                record.insert("caption".into(), json!(image.prediction));
                for (name, value) in image.values.named() {
                    record.insert(name.into(), json!(value));
                }
                if let Some(clip_scores) = &system.clip_scores {
                    record.insert("CLIPScore".into(), json!(clip_scores.clip[place]));
                    record.insert("RefCLIPScore".into(), json!(clip_scores.ref_clip[place]));
                }
                Value::Object(record)
            });
        let notes = system.scores.notes.iter().map(ToString::to_string);
        json!({
            "method": system.options.method.name(),
            "tau": shortest(system.options.tau),
            "rerank": system.options.rerank_in_use(),
            "scores": fractions(&system.intervals),
            "intervals": intervals(&system.intervals),
            "diversity": {
                "distinct_captions": diversity.num_distinct_captions,
                "vocabulary": diversity.vocabulary_size,
                "distinct_1": diversity.distinct[0],
                "distinct_2": diversity.distinct[1],
                "distinct_3": diversity.distinct[2],
                "distinct_4": diversity.distinct[3],
                "mean_length": diversity.mean_length_words,
                "repeated": diversity.repeated,
                "novel": diversity.novel,
            },
            "notes": notes.collect::<Vec<_>>(),
            "images": images.collect::<Vec<_>>(),
        })
    }
}

fn comparison(comparison: &SystemComparison) -> Value {
    let metrics: Map<String, Value> = comparison
        .metrics
        .iter()
        .map(|one| {
            let record = json!({
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
                "p_value": one.p_value,
            });
            (one.metric.to_owned(), record)
        })
        .collect();
    json!({
        "first": comparison.first.name(),
        "second": comparison.second.name(),
        "metrics": metrics,
    })
}

fn sweep(curve: &Curve) -> Value {
    let points = curve.points.iter().map(|point| {
        let x = match curve.over {
            SweepOver::Tau => json!(point.x),
            SweepOver::Memory | SweepOver::TrainingSentences => json!(point.x as u64),
        };
        json!({
            "x": x,
            "model": point.model,
            "method": point.method.name(),
            "scores": fractions(&point.scores),
            "intervals": intervals(&point.scores),
        })
    });
    json!({ "over": curve.over.name(), "points": points.collect::<Vec<_>>() })
}

fn fractions(scores: &[Interval]) -> Map<String, Value> {
    let named = scores.iter();
    named
        .map(|one| (one.metric.to_owned(), json!(one.value)))
        .collect()
}

fn intervals(scores: &[Interval]) -> Map<String, Value> {
    let named = scores.iter();
    named
        .map(|one| (one.metric.to_owned(), json!([one.low, one.high])))
        .collect()
}
