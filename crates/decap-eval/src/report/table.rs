//! Tables of the page; CIDEr is their first figure.

use super::Report;
use super::metric::{Metric, metrics_where};
use super::scale::compact;
use crate::html::escaped;
use crate::{Curve, PublishedRow, System, SystemComparison};
use caption_metrics::{Comparison, Interval};

/// Below this, a difference is called significant.
const SIGNIFICANT: f64 = 0.05;

impl Report<'_> {
    /// Scores of the methods, published results below.
    pub(super) fn score_table(&self) -> String {
        let columns = self.metrics();
        let mut html = head("method", &columns);
        for system in self.systems {
            html += &format!(
                "<tr><th scope=\"row\">{}</th>",
                system.options.method.name()
            );
            for metric in &columns {
                html += &match system.interval(metric.key) {
                    Some(interval) => self.score_cell(interval),
                    None => EMPTY.to_owned(),
                };
            }
            html += "</tr>\n";
        }
        for row in self.benchmark.map_or(&[][..], |benchmark| benchmark.rows()) {
            html += &published_row(row, &columns);
        }
        html += TABLE_END;
        for note in self.score_notes() {
            html += &format!("<p class=\"note\">{note}</p>\n");
        }
        html
    }

    /// The metrics that some method has.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        metrics_where(|key| self.systems.iter().any(|s| s.interval(key).is_some()))
    }

    /// What the reader of the scores should know, as HTML.
    fn score_notes(&self) -> Vec<String> {
        let has = |key| self.systems.iter().any(|s| s.interval(key).is_some());
        let mut notes = vec![
            format!(
                "All scores are multiplied by 100. The {:.0} % intervals come from resampling the \
                 photos.",
                self.bootstrap.confidence * 100.0
            ),
            "CIDEr is CIDEr-D. Its document frequencies are counted over these references, so \
             scores of small sets cannot be compared with those of large ones."
                .to_owned(),
            match self.benchmark {
                Some(benchmark) => {
                    format!("Grey rows are published results on {}.", benchmark.title())
                }
                None => "There are no published results for exactly these photos.".to_owned(),
            },
        ];
        if !has("METEOR") {
            notes.push(
                "METEOR was not computed: pass its data with <code><span>--meteor</span></code>."
                    .to_owned(),
            );
        }
        if !has("SPICE") {
            notes.push(
                "SPICE was not computed: it needs Java and its jars, see \
                 <code><span>--spice</span></code>."
                    .to_owned(),
            );
        }
        let mut of_methods: Vec<(String, Vec<&str>)> = Vec::new();
        for system in self.systems {
            let name = system.options.method.name();
            for note in system.scores.notes.iter().map(ToString::to_string) {
                match of_methods.iter_mut().find(|(known, _)| *known == note) {
                    Some((_, names)) => names.push(name),
                    None => of_methods.push((note, vec![name])),
                }
            }
        }
        let of_methods = of_methods.into_iter();
        notes.extend(
            of_methods.map(|(note, names)| format!("{}: {}.", names.join(", "), escaped(&note))),
        );
        notes
    }

    /// A score and its interval; the best of the methods in bold.
    fn score_cell(&self, interval: &Interval) -> String {
        let is_best = self.systems.len() > 1
            && self.systems.iter().all(|other| {
                let other = other.interval(interval.metric);
                other.is_none_or(|other| other.value <= interval.value)
            });
        format!(
            "<td{}>{:.1}<small>{:.1} to {:.1}</small></td>",
            best(is_best),
            interval.value * 100.0,
            interval.low * 100.0,
            interval.high * 100.0
        )
    }

    /// How much better the first of two methods is, pair by pair.
    pub(super) fn comparison_table(&self, comparisons: &[SystemComparison]) -> String {
        let has = |key: &str| {
            let mut metrics = comparisons.iter().flat_map(|pair| &pair.metrics);
            metrics.any(|one| one.metric == key)
        };
        let mut columns = metrics_where(has);
        columns.retain(|metric| !metric.is_detail());
        let mut html = head("methods", &columns);
        for pair in comparisons {
            // The earlier method less the later one: methods are in order of importance.
            html += &format!(
                "<tr><th scope=\"row\">{} − {}</th>",
                pair.first.name(),
                pair.second.name()
            );
            for metric in &columns {
                let found = pair.metrics.iter().find(|one| one.metric == metric.key);
                html += &found.map_or_else(|| EMPTY.to_owned(), difference_cell);
            }
            html += "</tr>\n";
        }
        html += TABLE_END;
        html += &format!(
            "<p class=\"note\">Positive where the first method is better. Paired bootstrap over the \
             photos, {} draws; bold where p is below {SIGNIFICANT}.</p>\n",
            self.bootstrap.num_samples
        );
        html
    }

    /// How varied the captions are.
    pub(super) fn diversity_table(&self) -> String {
        let with_novel = self.systems.iter().any(|one| one.diversity.novel.is_some());
        let mut html = String::from(
            "<div class=\"wide\"><table>\n<thead><tr><th>method</th><th>distinct captions</th>\
             <th>vocabulary</th><th>words per caption</th><th>a word twice</th>",
        );
        if with_novel {
            html += "<th>novel captions</th>";
        }
        html += "<th>distinct-1</th><th>distinct-2</th><th>distinct-3</th><th>distinct-4</th>\
                 </tr></thead>\n<tbody>\n";
        for System {
            options, diversity, ..
        } in self.systems
        {
            html += &format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{:.1}</td><td>{:.1} %</td>",
                options.method.name(),
                diversity.num_distinct_captions,
                diversity.vocabulary_size,
                diversity.mean_length_words,
                diversity.repeated * 100.0
            );
            if with_novel {
                html += &diversity.novel.map_or_else(
                    || EMPTY.to_owned(),
                    |novel| format!("<td>{:.1} %</td>", novel * 100.0),
                );
            }
            for share in diversity.distinct {
                html += &format!("<td>{share:.3}</td>");
            }
            html += "</tr>\n";
        }
        html + TABLE_END
            + "<p class=\"note\">distinct-n: the share of all n-grams in the captions that are \
               different ones.</p>\n"
    }
}

/// The scores of a curve's points.
pub(super) fn curve_table(curve: &Curve) -> String {
    let has = |key: &str| {
        let mut scores = curve.points.iter().flat_map(|point| &point.scores);
        scores.any(|score| score.metric == key)
    };
    let columns = metrics_where(has);
    let first = curve.points.first();
    let has_models = curve
        .points
        .iter()
        .any(|point| first.is_some_and(|first| first.model != point.model));
    let mut html = format!(
        "<div class=\"wide\"><table>\n<thead><tr><th>{}</th><th class=\"text\">method</th>",
        curve.over.name()
    );
    for metric in &columns {
        html += &format!("<th>{}</th>", metric.title);
    }
    if has_models {
        html += "<th class=\"text\">model</th>";
    }
    html += "</tr></thead>\n<tbody>\n";
    for point in &curve.points {
        html += &format!(
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td>",
            compact(point.x),
            point.method.name()
        );
        for metric in &columns {
            let score = point.scores.iter().find(|score| score.metric == metric.key);
            html += &figure_cell(score.map(|score| score.value * 100.0));
        }
        if has_models {
            html += &format!("<td class=\"text\">{}</td>", escaped(&point.model));
        }
        html += "</tr>\n";
    }
    html + TABLE_END
}

const EMPTY: &str = "<td></td>";
const TABLE_END: &str = "</tbody></table></div>\n";

/// A table up to its first row.
fn head(first: &str, columns: &[Metric]) -> String {
    let mut html = format!("<div class=\"wide\"><table>\n<thead><tr><th>{first}</th>");
    for metric in columns {
        html += &format!("<th>{}</th>", metric.title);
    }
    html + "</tr></thead>\n<tbody>\n"
}

fn published_row(row: &PublishedRow, columns: &[Metric]) -> String {
    let mut html = format!(
        "<tr class=\"published\"><th scope=\"row\">{}<small>{}</small></th>",
        escaped(row.system),
        escaped(row.source)
    );
    for metric in columns {
        html += &figure_cell(match metric.key {
            "Bleu_4" => row.bleu_4,
            "METEOR" => row.meteor,
            "CIDEr" => Some(row.cider),
            _ => None,
        });
    }
    html + "</tr>\n"
}

/// The first method less the second, its interval and how likely chance alone makes it.
fn difference_cell(second_less_first: &Comparison) -> String {
    let one = second_less_first;
    format!(
        "<td{}>{:+.1}<small>{:+.1} to {:+.1}</small><small>p {:.3}</small></td>",
        best(one.p_value < SIGNIFICANT),
        -one.difference * 100.0,
        -one.high * 100.0,
        -one.low * 100.0,
        one.p_value
    )
}

fn figure_cell(figure: Option<f64>) -> String {
    match figure {
        Some(figure) => format!("<td>{figure:.1}</td>"),
        None => EMPTY.to_owned(),
    }
}

fn best(is_best: bool) -> &'static str {
    match is_best {
        true => " class=\"best\"",
        false => "",
    }
}
