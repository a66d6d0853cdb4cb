//! Curves as SVG.

use std::path::Path;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use crate::Curve;
use decap::Method;
use decap::{Error, Result};

/// The metric that curves show.
const METRIC: &str = "CIDEr";

/// The part of the lines' width that the legend takes beside them.
const LEGEND_SHARE: f64 = 0.22;

/// How far the intervals of two lines stand apart, as a part of the lines' width.
const INTERVALS_APART: f64 = 0.008;

/// CIDEr with its interval over the curve's choice, a line a method; the axis is logarithmic.
pub(super) fn draw(curve: &Curve, path: &Path) -> Result<String> {
    let mut lines: Vec<(Method, Vec<Dot>)> = Vec::new();
    for point in &curve.points {
        let Some(score) = point.scores.iter().find(|score| score.metric == METRIC) else {
            continue;
        };
        let dot = Dot {
            x: point.x,
            value: score.value * 100.0,
            low: score.low * 100.0,
            high: score.high * 100.0,
        };
        match lines.iter_mut().find(|(method, _)| *method == point.method) {
            Some((_, dots)) => dots.push(dot),
            None => lines.push((point.method, vec![dot])),
        }
    }
    for (_, dots) in &mut lines {
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let dots = || lines.iter().flat_map(|(_, dots)| dots);
    let smallest = dots().map(|dot| dot.x).fold(f64::INFINITY, f64::min);
    let largest = dots().map(|dot| dot.x).fold(f64::NEG_INFINITY, f64::max);
    let lowest = dots().map(|dot| dot.low).fold(f64::INFINITY, f64::min);
    let highest = dots().map(|dot| dot.high).fold(f64::NEG_INFINITY, f64::max);
    let axis = Places {
        low: smallest / 1.2,
        // Room for the legend beside the lines.
        high: largest * (largest / smallest).powf(LEGEND_SHARE).max(1.3),
        places: {
            let mut places: Vec<f64> = dots().map(|dot| dot.x).collect();
            places.sort_by(f64::total_cmp);
            places.dedup();
            places
        },
    };
    let room = (highest - lowest).max(1.0) * 0.08;
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, (760, 380)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(48)
            .build_cartesian_2d(axis, lowest - room..highest + room)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_label_formatter(&|x| compact(*x))
            .y_labels(8)
            .y_label_formatter(&|y| format!("{y:.1}").trim_end_matches(".0").to_owned())
            .x_desc(curve.over.title())
            .y_desc("CIDEr x 100, with intervals")
            .label_style(("sans-serif", 13))
            .draw()?;
        for (place, (method, dots)) in lines.iter().enumerate() {
            let colour = colour(*method);
            let side = place as f64 - (lines.len() - 1) as f64 / 2.0;
            let aside = (largest / smallest).powf(side * INTERVALS_APART);
            let series = LineSeries::new(
                dots.iter().map(|dot| (dot.x, dot.value)),
                colour.stroke_width(2),
            );
            chart
                .draw_series(series)?
                .label(method.name())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
            chart.draw_series(dots.iter().map(|dot| {
                let ends = [(dot.x * aside, dot.low), (dot.x * aside, dot.high)];
                PathElement::new(ends, colour.mix(0.6).stroke_width(1))
            }))?;
            chart.draw_series(
                dots.iter()
                    .map(|dot| Circle::new((dot.x, dot.value), 3, colour.filled())),
            )?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 13))
            .draw()?;
        area.present()
    })();
    drawn.map_err(|error| Error::model(path, format!("cannot be drawn: {error}")))?;
    Ok(svg)
}

struct Dot {
    x: f64,
    value: f64,
    low: f64,
    high: f64,
}

/// A logarithmic axis with its marks at the places that were evaluated.
struct Places {
    low: f64,
    high: f64,
    places: Vec<f64>,
}

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.places.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

fn colour(method: Method) -> RGBColor {
    match method {
        Method::Projection => RGBColor(0, 95, 175),
        Method::Nearest => RGBColor(200, 90, 0),
        Method::Retrieval => RGBColor(20, 130, 70),
        Method::Visual => RGBColor(130, 60, 140),
    }
}

/// `0.01`, `560`, `50k`, `90.1k`, `1.2M`.
pub(super) fn compact(number: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.1}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match number {
        n if n >= 1e6 => trimmed(n / 1e6, "M"),
        n if n >= 1e3 => trimmed(n / 1e3, "k"),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use caption_metrics::Interval;

    use super::*;
    use crate::{CurvePoint, SweepOver};

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.005, "0.005"),
            (560.0, "560"),
            (5000.0, "5k"),
            (90_100.0, "90.1k"),
            (1.2e6, "1.2M"),
        ];
        for (number, text) in cases {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn a_curve_has_a_line_a_method_and_a_mark_a_point() {
        let point = |x: f64, method, value: f64| CurvePoint {
            x,
            model: "m".into(),
            method,
            scores: vec![Interval {
                metric: METRIC,
                value,
                low: value - 0.1,
                high: value + 0.1,
            }],
        };
        let mut curve = Curve::new(SweepOver::Memory);
        for (x, value) in [(1000.0, 0.5), (20_000.0, 0.8), (5000.0, 0.7)] {
            curve.points.push(point(x, Method::Projection, value));
            curve.points.push(point(x, Method::Nearest, value - 0.1));
        }
        let svg = draw(&curve, Path::new("memory.svg")).unwrap();
        assert_eq!(svg.matches("<circle").count(), 6);
        for text in ["projection", "nearest", "20k", "sentences in the memory"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // A single point has no extent to divide by.
        curve.points.truncate(1);
        assert!(
            !draw(&curve, Path::new("memory.svg"))
                .unwrap()
                .contains("NaN")
        );
    }
}
