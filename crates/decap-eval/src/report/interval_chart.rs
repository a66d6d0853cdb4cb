//! Methods beside each other: a metric of each with its interval.

use super::metric::Metric;
use super::scale::Scale;
use super::svg::{Anchor, Svg, WIDTH};
use crate::System;

/// Height of a method's row.
const ROW: f64 = 30.0;

/// Where the axis begins; methods' names are left of it.
const LEFT: f64 = 84.0;

/// Where it ends; the scores as numbers are right of it.
const RIGHT: f64 = WIDTH - 52.0;

/// A row for each of `systems` that has `metric`, the axis below; `None` where none has it.
pub(super) fn draw(systems: &[System], metric: Metric) -> Option<Svg> {
    let rows: Vec<_> = systems
        .iter()
        .filter_map(|system| {
            let one = system.interval(metric.key)?;
            let times_100 = [one.value, one.low, one.high].map(|value| value * 100.0);
            let is_finite = times_100.iter().all(|value| value.is_finite());
            is_finite.then_some((system.options.method, times_100))
        })
        .collect();
    let all = || rows.iter().flat_map(|(_, values)| values).copied();
    let lowest = all().reduce(f64::min)?;
    let highest = all().reduce(f64::max)?;
    let scale = Scale::around(lowest, highest, 4, (LEFT, RIGHT));

    let said = rows.iter().map(|(method, [value, low, high])| {
        format!("{} {value:.1} ({low:.1} to {high:.1})", method.name())
    });
    let said = said.collect::<Vec<_>>().join(", ");
    let bottom = rows.len() as f64 * ROW + 4.0;
    let mut svg = Svg::new(bottom + 18.0, &format!("{}: {said}", metric.title));
    for (value, label) in scale.marks() {
        let x = scale.place(value);
        svg.line((x, 0.0), (x, bottom), "grid");
        svg.text((x, bottom + 14.0), Anchor::Middle, "soft", &label);
    }
    for (place, &(method, [value, low, high])) in rows.iter().enumerate() {
        let (y, name) = ((place as f64 + 0.5) * ROW + 2.0, method.name());
        let (from, to) = (scale.place(low), scale.place(high));
        svg.text((0.0, y + 4.0), Anchor::Start, "ink", name);
        svg.line((from, y), (to, y), &format!("interval {name}"));
        for end in [from, to] {
            svg.line((end, y - 4.0), (end, y + 4.0), &format!("cap {name}"));
        }
        svg.mark((scale.place(value), y), method);
        let score = format!("{value:.1}");
        svg.text((WIDTH, y + 4.0), Anchor::End, "ink strong", &score);
    }
    Some(svg)
}
