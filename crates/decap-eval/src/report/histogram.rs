//! How per-photo CIDEr is spread, method by method.

use super::scale::{Scale, round_step};
use super::svg::{Anchor, Svg, WIDTH};
use crate::System;

/// About as many bars as are told apart on a phone.
const NUM_BARS: usize = 24;

/// Most bars, should a score be far from all others.
const MOST_BARS: usize = 64;

/// Where the bars begin; numbers of photos are left of it.
const LEFT: f64 = 30.0;

/// A row of bars for each of `systems`, all with the same axes; `None` where no photo has a CIDEr
/// above 0.
pub(super) fn draw(systems: &[System]) -> Option<Svg> {
    let scores: Vec<Vec<f64>> = systems.iter().map(photo_scores).collect();
    let highest = scores.iter().flatten().copied().reduce(f64::max)?;
    if highest <= 0.0 {
        return None;
    }
    let width = round_step(highest / NUM_BARS as f64);
    let num_bars = ((highest / width).floor() as usize + 1).min(MOST_BARS);
    let counts: Vec<Vec<usize>> = scores
        .iter()
        .map(|scores| {
            let mut counts = vec![0; num_bars];
            for score in scores {
                counts[((score / width) as usize).min(num_bars - 1)] += 1;
            }
            counts
        })
        .collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1);

    let row = if systems.len() == 1 { 130.0 } else { 50.0 };
    let bottom = row * systems.len() as f64;
    let scale = Scale::around(0.0, num_bars as f64 * width, 6, (LEFT, WIDTH - 12.0));
    let means = systems.iter().zip(&scores).map(|(system, scores)| {
        format!(
            "{} has a mean of {:.1}",
            system.options.method.name(),
            mean(scores)
        )
    });
    let label = format!(
        "Numbers of photos by their CIDEr: {}",
        means.collect::<Vec<_>>().join(", ")
    );
    let mut svg = Svg::new(bottom + 18.0, &label);
    for (value, label) in scale.marks() {
        let x = scale.place(value);
        svg.line((x, 0.0), (x, bottom), "grid");
        svg.text((x, bottom + 14.0), Anchor::Middle, "soft", &label);
    }
    for (place, (system, (counts, scores))) in
        systems.iter().zip(counts.iter().zip(&scores)).enumerate()
    {
        let name = system.options.method.name();
        let (top, base) = (place as f64 * row, (place + 1) as f64 * row);
        let tallest = row - 14.0;
        for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = scale.place(bar as f64 * width);
            let to = scale.place((bar + 1) as f64 * width);
            let height = (count as f64 / most as f64 * tallest).max(1.0);
            svg.bar(
                (from + 0.5, base - height),
                (to - from - 1.0).max(0.5),
                height,
                &format!("bar {name}"),
            );
        }
        svg.line((LEFT, base), (WIDTH - 12.0, base), "axis");
        let x = scale.place(mean(scores));
        svg.line((x, top + 8.0), (x, base), "mean");
        svg.text(
            (LEFT - 5.0, base - tallest + 8.0),
            Anchor::End,
            "soft",
            &most.to_string(),
        );
        svg.text((LEFT - 5.0, base), Anchor::End, "soft", "0");
        let title = format!("{name}, mean {:.1}", mean(scores));
        svg.text((WIDTH - 12.0, top + 14.0), Anchor::End, "ink halo", &title);
    }
    Some(svg)
}

/// CIDEr of each photo, times 100; never below 0.
fn photo_scores(system: &System) -> Vec<f64> {
    let images = system.scores.images.iter();
    images
        .map(|image| image.values.cider * 100.0)
        .filter(|score| score.is_finite())
        .map(|score| score.max(0.0))
        .collect()
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}
