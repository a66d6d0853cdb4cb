//! A curve of a sweep: CIDEr over one choice, a line for each method.

use decap::Method;

use super::metric::CIDER;
use super::scale::{Scale, compact};
use super::svg::{Anchor, LETTER, Svg, WIDTH};
use crate::Curve;

/// The drawing's edges: left of the lines, above, right and below.
const LEFT: f64 = 34.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = WIDTH - 12.0;
const BOTTOM: f64 = 240.0;

/// How far the intervals of two lines are apart, so that none hides another.
const INTERVALS_APART: f64 = 3.0;

/// Space for a mark and the gap after it in the legend.
const LEGEND_MARK: f64 = 14.0;

/// CIDEr with its intervals over the curve's choice, on a logarithmic axis; `None` without a
/// point.
pub(super) fn draw(curve: &Curve) -> Option<Svg> {
    let lines = lines(curve);
    let dots = || lines.iter().flat_map(|(_, dots)| dots);
    let smallest = dots().map(|dot| dot.x).reduce(f64::min)?;
    let largest = dots().map(|dot| dot.x).reduce(f64::max)?;
    let lowest = dots().map(|dot| dot.low).reduce(f64::min)?;
    let highest = dots().map(|dot| dot.high).reduce(f64::max)?;
    // A single place has no extent to divide by.
    let (from, to) = match largest > smallest {
        true => (smallest, largest),
        false => (smallest / 2.0, largest * 2.0),
    };
    let (inner_left, inner_right) = (LEFT + 14.0, RIGHT - 14.0);
    let across =
        |x: f64| inner_left + (x / from).ln() / (to / from).ln() * (inner_right - inner_left);
    let up = Scale::around(lowest, highest, 6, (BOTTOM, TOP));

    let title = format!("{} by {}", CIDER.title, curve.over.title());
    let mut svg = Svg::new(BOTTOM + 36.0, &title);
    legend(&mut svg, &lines);
    svg.text((0.0, TOP - 10.0), Anchor::Start, "soft", "CIDEr");
    for (value, label) in up.marks() {
        let y = up.place(value);
        svg.line((LEFT, y), (RIGHT, y), "grid");
        svg.text((LEFT - 6.0, y + 4.0), Anchor::End, "soft", &label);
    }
    svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    let mut places: Vec<f64> = dots().map(|dot| dot.x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mut taken = f64::NEG_INFINITY;
    for place in places {
        let (x, label) = (across(place), compact(place));
        let half = label.len() as f64 * LETTER / 2.0;
        svg.line((x, BOTTOM), (x, BOTTOM + 4.0), "axis");
        if x - half > taken {
            svg.text((x, BOTTOM + 16.0), Anchor::Middle, "soft", &label);
            taken = x + half + 4.0;
        }
    }
    let middle = ((LEFT + RIGHT) / 2.0, BOTTOM + 32.0);
    svg.text(middle, Anchor::Middle, "soft", curve.over.title());

    for (place, (method, dots)) in lines.iter().enumerate() {
        let name = method.name();
        let aside = (place as f64 - (lines.len() - 1) as f64 / 2.0) * INTERVALS_APART;
        for dot in dots {
            let x = across(dot.x) + aside;
            let ends = ((x, up.place(dot.low)), (x, up.place(dot.high)));
            svg.line(ends.0, ends.1, &format!("cap {name}"));
        }
        let points: Vec<_> = dots
            .iter()
            .map(|dot| (across(dot.x), up.place(dot.value)))
            .collect();
        svg.path(&points, &format!("line {name}"));
        for point in points {
            svg.mark(point, *method);
        }
    }
    Some(svg)
}

/// A method's CIDEr and its interval at one place, times 100.
struct Dot {
    x: f64,
    value: f64,
    low: f64,
    high: f64,
}

/// The points that can be drawn, method by method, from left to right.
fn lines(curve: &Curve) -> Vec<(Method, Vec<Dot>)> {
    let mut lines: Vec<(Method, Vec<Dot>)> = Vec::new();
    for point in &curve.points {
        let Some(score) = point.scores.iter().find(|score| score.metric == CIDER.key) else {
            continue;
        };
        let dot = Dot {
            x: point.x,
            value: score.value * 100.0,
            low: score.low * 100.0,
            high: score.high * 100.0,
        };
        let can_be_drawn = [dot.x, dot.value, dot.low, dot.high]
            .iter()
            .all(|n| n.is_finite());
        if !can_be_drawn || dot.x <= 0.0 {
            continue;
        }
        match lines.iter_mut().find(|(method, _)| *method == point.method) {
            Some((_, dots)) => dots.push(dot),
            None => lines.push((point.method, vec![dot])),
        }
    }
    for (_, dots) in &mut lines {
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    lines
}

/// The methods' marks and names in one line above the curves.
fn legend(svg: &mut Svg, lines: &[(Method, Vec<Dot>)]) {
    let mut x = 6.0;
    for (method, _) in lines {
        svg.mark((x, 10.0), *method);
        svg.text(
            (x + LEGEND_MARK - 4.0, 14.0),
            Anchor::Start,
            "ink",
            method.name(),
        );
        x += LEGEND_MARK + method.name().len() as f64 * LETTER + 10.0;
    }
}

#[cfg(test)]
mod tests {
    use caption_metrics::Interval;

    use super::*;
    use crate::{CurvePoint, SweepOver};

    fn curve(points: &[(f64, f64)]) -> Curve {
        let mut curve = Curve::new(SweepOver::Memory);
        for &(x, value) in points {
            for (method, value) in [(Method::Projection, value), (Method::Nearest, value - 0.1)] {
                curve.points.push(CurvePoint {
                    x,
                    model: "m".into(),
                    method,
                    scores: vec![Interval {
                        metric: CIDER.key,
                        value,
                        low: value - 0.1,
                        high: value + 0.1,
                    }],
                });
            }
        }
        curve
    }

    #[test]
    fn a_curve_has_a_line_a_method_and_a_mark_a_point() {
        let svg = draw(&curve(&[(1000.0, 0.5), (20_000.0, 0.8), (5000.0, 0.7)])).unwrap();
        for svg in [svg.inline(), svg.file()] {
            assert_eq!(svg.matches("class=\"line ").count(), 2);
            // One of each is the legend's.
            assert_eq!(svg.matches("class=\"mark projection\"").count(), 4);
            assert_eq!(svg.matches("class=\"mark nearest\"").count(), 4);
            for text in ["projection", "nearest", "20k", "sentences in the memory"] {
                assert!(svg.contains(text), "{text}: {svg}");
            }
        }
    }

    #[test]
    fn a_curve_of_one_place_or_none_is_no_trouble() {
        let svg = draw(&curve(&[(1000.0, 0.5)])).unwrap().inline();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(draw(&curve(&[])).is_none());
        assert!(draw(&curve(&[(0.0, 0.5), (5.0, f64::NAN)])).is_none());
    }

    #[test]
    fn labels_of_near_places_do_not_overlap() {
        let near = [(1000.0, 0.5), (1010.0, 0.5), (1020.0, 0.6), (90_000.0, 0.7)];
        let svg = draw(&curve(&near)).unwrap().inline();
        assert!(svg.contains(">1k<") && svg.contains(">90k<"), "{svg}");
        assert!(
            !svg.contains(">1010<") && !svg.contains(">1k<\n<text"),
            "{svg}"
        );
        assert_eq!(svg.matches(">1k<").count(), 1, "{svg}");
    }
}
