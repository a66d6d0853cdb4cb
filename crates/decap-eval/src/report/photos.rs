//! The photos of the page, as JSON for its script.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::Report;

use super::metric::{CIDER, metrics_where};
use crate::System;
use crate::html::{Originals, without_folders};

/// How many photos show that one method beats another.
const SHOWN_OF_EACH: usize = 5;

impl Report<'_> {
    /// What the script shows: each photo with the captions and scores of all methods, and where
    /// two methods differ most. Links to originals are relative to `folder`.
    pub(super) fn photo_data(&self, folder: &Path) -> Value {
        let metrics = metrics_where(|key| {
            let mut systems = self.systems.iter();
            systems.any(|system| photo_score(system, 0, key).is_some())
        });
        let originals = Originals::new(folder);
        let photos = self.photos.items.iter().enumerate().map(|(place, &item)| {
            let item = &self.set.items[item];
            let mut captions = Map::new();
            for system in self.systems {
                let mut scores = Map::new();
                for metric in &metrics {
                    if let Some(score) = photo_score(system, place, metric.key) {
                        scores.insert(metric.key.to_owned(), json!(rounded(score)));
                    }
                }
                let caption = json!({ "text": system.captions[place].text, "scores": scores });
                captions.insert(system.options.method.name().to_owned(), caption);
            }
            // That of the method with the most: the projection's, where it was evaluated.
            let evidence = self.systems.iter().map(|one| &one.captions[place].evidence);
            let evidence = evidence.max_by_key(|evidence| evidence.len());
            let evidence = evidence.into_iter().flatten();
            let evidence = evidence.map(|one| json!([one.text, rounded(f64::from(one.weight))]));
            let thumbnail = self.photos.thumbnails.get(place);
            let original = originals.as_ref().and_then(|all| all.link(&item.path));
            json!({
                "id": without_folders(&item.id),
                "original": original,
                "references": item.references,
                "captions": captions,
                "evidence": evidence.collect::<Vec<_>>(),
                "thumbnail": thumbnail.map_or_else(String::new, |jpeg| BASE64.encode(jpeg)),
            })
        });
        let methods = self.systems.iter().map(|one| one.options.method.name());
        let metrics = metrics
            .iter()
            .map(|metric| json!([metric.key, metric.title]));
        json!({
            "methods": methods.collect::<Vec<_>>(),
            "metrics": metrics.collect::<Vec<_>>(),
            "photos": photos.collect::<Vec<_>>(),
            "differences": self.differences(),
        })
    }

    /// For each pair of methods, the photos with the largest differences in CIDEr, both ways.
    fn differences(&self) -> Vec<Value> {
        let mut pairs = Vec::new();
        for (place, first) in self.systems.iter().enumerate() {
            for second in &self.systems[place + 1..] {
                pairs.push(json!({
                    "first": first.options.method.name(),
                    "second": second.options.method.name(),
                    "first_better": where_better(first, second),
                    "second_better": where_better(second, first),
                }));
            }
        }
        pairs
    }
}

/// The photos on which `one` beats `other` by the most CIDEr, the largest difference first.
fn where_better(one: &System, other: &System) -> Vec<usize> {
    let mut leads: Vec<(usize, f64)> = (0..one.scores.images.len())
        .filter_map(|photo| {
            let ours = photo_score(one, photo, CIDER.key)?;
            let theirs = photo_score(other, photo, CIDER.key)?;
            Some((photo, ours - theirs))
        })
        .filter(|(_, lead)| *lead > 0.0)
        .collect();
    // Stable: of equal leads the earlier photo is first.
    leads.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    leads.truncate(SHOWN_OF_EACH);
    leads.into_iter().map(|(photo, _)| photo).collect()
}

/// A metric of one photo.
fn photo_score(system: &System, place: usize, metric: &str) -> Option<f64> {
    match metric {
        "CLIPScore" => system.clip_scores.as_ref()?.clip.get(place).copied(),
        "RefCLIPScore" => system.clip_scores.as_ref()?.ref_clip.get(place).copied(),
        metric => {
            let mut values = system.scores.images.get(place)?.values.named();
            values
                .find(|(name, _)| *name == metric)
                .map(|(_, value)| value)
        }
    }
}

/// Four decimals: more mean nothing, and make the page larger. What is no number becomes 0.
fn rounded(value: f64) -> f64 {
    match value.is_finite() {
        true => (value * 1e4).round() / 1e4,
        false => 0.0,
    }
}
