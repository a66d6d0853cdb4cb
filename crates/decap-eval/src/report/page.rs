//! The page: tables, curves and photos in one HTML file that needs no server.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use caption_metrics::Interval;
use serde_json::{Map, Value, json};

use super::Report;
use super::plot::compact;
use crate::{Curve, PublishedRow, System, SystemComparison};

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Metrics by the field's name, and as the head of a column.
const COLUMNS: [(&str, &str); 10] = [
    ("Bleu_1", "BLEU-1"),
    ("Bleu_2", "BLEU-2"),
    ("Bleu_3", "BLEU-3"),
    ("Bleu_4", "BLEU-4"),
    ("METEOR", "METEOR"),
    ("ROUGE_L", "ROUGE-L"),
    ("CIDEr", "CIDEr"),
    ("SPICE", "SPICE"),
    ("CLIPScore", "CLIPScore"),
    ("RefCLIPScore", "RefCLIPScore"),
];

/// Metrics on which two methods are compared.
const COMPARED: [&str; 4] = ["CIDEr", "Bleu_4", "METEOR", "ROUGE_L"];

/// Below this, a difference is called significant.
const SIGNIFICANT: f64 = 0.05;

impl Report<'_> {
    /// The page. Text from outside stands in it escaped, or as JSON that the script shows as text.
    pub(super) fn page(
        &self,
        comparisons: &[SystemComparison],
        plots: &[(&Curve, String)],
    ) -> String {
        let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n");
        page += "<meta charset=\"utf-8\">\n";
        page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
        // Nothing is fetched from anywhere, whatever a caption says.
        page += "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                 img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n";
        let title = format!("{} on {}", self.model.name, self.set.name);
        page += &format!("<title>{}</title>\n", escaped(&title));
        page += &format!("<style>\n{CSS}</style>\n</head>\n<body>\n");
        page += &format!("<h1>{}</h1>\n", escaped(&title));
        page += &self.facts();
        page += &self.score_table();
        if !comparisons.is_empty() {
            page += &self.comparison_table(comparisons);
        }
        if !plots.is_empty() {
            page += &curves(plots);
        }
        page += &self.diversity_table();
        page += PHOTOS;
        let data = for_script(&self.photo_data().to_string()).into_owned();
        page += &format!("<script type=\"application/json\" id=\"data\">{data}</script>\n");
        page += &format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
        page
    }

    fn facts(&self) -> String {
        let model = &self.model;
        let mut facts = vec![
            (
                "Photos",
                format!("{} of {}", self.photos.items.len(), self.set.name),
            ),
            (
                "Model",
                format!("{} (encoder {})", model.name, model.encoder),
            ),
            (
                "Decoder learned",
                format!(
                    "{} sentences of {}",
                    model.training_sentences, model.training_text
                ),
            ),
            (
                "Memory",
                format!(
                    "{} sentences of {}",
                    model.memory_sentences, model.memory_text
                ),
            ),
            ("Temperature tau", model.tau.to_string()),
        ];
        if self.set.without_references > 0 {
            let count = self.set.without_references;
            facts.push(("Left out", format!("{count} photos without references")));
        }
        let mut html = String::from("<dl class=\"facts\">\n");
        for (name, value) in facts {
            let _infallible = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
        }
        if !self.command.is_empty() {
            let command = escaped(&self.command);
            let _infallible = writeln!(html, "<dt>Command</dt><dd><code>{command}</code></dd>");
        }
        html += "</dl>\n";
        if !self.photos.failures.is_empty() {
            let count = self.photos.failures.len();
            html += &format!(
                "<div class=\"warning\">{count} photos could not be read and are not scored:<ul>\n"
            );
            for failure in &self.photos.failures {
                html += &format!("<li>{}</li>\n", escaped(&failure.message));
            }
            html += "</ul></div>\n";
        }
        html
    }

    fn score_table(&self) -> String {
        let columns: Vec<(&str, &str)> = COLUMNS
            .into_iter()
            .filter(|(metric, _)| self.systems.iter().any(|s| s.interval(metric).is_some()))
            .collect();
        let mut html = String::from("<h2>Scores</h2>\n<div class=\"wide\"><table>\n<thead><tr>");
        html += "<th>method</th>";
        for (_, title) in &columns {
            html += &format!("<th>{title}</th>");
        }
        html += "</tr></thead>\n<tbody>\n";
        for system in self.systems {
            html += &format!("<tr><td>{}</td>", system.options.method.name());
            for (metric, _) in &columns {
                html += &match system.interval(metric) {
                    Some(interval) => self.score_cell(interval),
                    None => "<td></td>".to_owned(),
                };
            }
            html += "</tr>\n";
        }
        for row in self.benchmark.map_or(&[][..], |benchmark| benchmark.rows()) {
            html += &published_row(row, &columns);
        }
        html += "</tbody></table></div>\n";
        html += &format!(
            "<p class=\"note\">Times 100, with {:.0} % intervals by resampling photos. CIDEr is \
             CIDEr-D with document frequencies of these references; small sets make it large.</p>\n",
            self.bootstrap.confidence * 100.0
        );
        match self.benchmark {
            Some(benchmark) => {
                html += &format!(
                    "<p class=\"note\">Grey rows are published figures on {}.</p>\n",
                    benchmark.title()
                );
            }
            None => {
                html += "<p class=\"note\">No published figures are of exactly these photos, so \
                         none stand here.</p>\n";
            }
        }
        if !columns.iter().any(|(metric, _)| *metric == "METEOR") {
            html += "<p class=\"note\">METEOR is absent: it needs its data (--meteor).</p>\n";
        }
        if !columns.iter().any(|(metric, _)| *metric == "SPICE") {
            html +=
                "<p class=\"note\">SPICE is absent: it needs Java and its jars (--spice).</p>\n";
        }
        let mut notes: Vec<String> = Vec::new();
        for system in self.systems {
            for note in &system.scores.notes {
                notes.push(format!("{}: {note}", system.options.method.name()));
            }
        }
        for note in notes {
            html += &format!("<p class=\"note\">{}</p>\n", escaped(&note));
        }
        html
    }

    /// A score and its interval; the best of the methods in bold.
    fn score_cell(&self, interval: &Interval) -> String {
        let is_best = self.systems.len() > 1
            && self.systems.iter().all(|other| {
                let other = other.interval(interval.metric);
                other.is_none_or(|other| other.value <= interval.value)
            });
        format!(
            "<td{}>{:.1}<span class=\"interval\">{:.1} – {:.1}</span></td>",
            if is_best { " class=\"best\"" } else { "" },
            interval.value * 100.0,
            interval.low * 100.0,
            interval.high * 100.0
        )
    }

    fn comparison_table(&self, comparisons: &[SystemComparison]) -> String {
        let mut html = String::from(
            "<h2>Differences between methods</h2>\n<div class=\"wide\"><table>\n<thead><tr>\
             <th>method</th><th class=\"text\">less</th>",
        );
        let metrics: Vec<&str> = COMPARED
            .into_iter()
            .filter(|metric| comparisons[0].metrics.iter().any(|m| m.metric == *metric))
            .collect();
        for metric in &metrics {
            let title = COLUMNS.iter().find(|(name, _)| name == metric);
            html += &format!(
                "<th>{}</th><th>p</th>",
                title.map_or("", |(_, title)| title)
            );
        }
        html += "</tr></thead>\n<tbody>\n";
        for comparison in comparisons {
            // The earlier method less the later one: methods stand in order of importance.
            html += &format!(
                "<tr><td>{}</td><td class=\"text\">{}</td>",
                comparison.first.name(),
                comparison.second.name()
            );
            for metric in &metrics {
                let found = comparison.metrics.iter().find(|m| m.metric == *metric);
                html += &found.map_or_else(
                    || "<td></td><td></td>".to_owned(),
                    |one| {
                        let class = match one.p_value < SIGNIFICANT {
                            true => " class=\"best\"",
                            false => "",
                        };
                        format!(
                            "<td{class}>{:+.1}<span class=\"interval\">{:+.1} – {:+.1}</span></td>\
                             <td{class}>{:.3}</td>",
                            -one.difference * 100.0,
                            -one.high * 100.0,
                            -one.low * 100.0,
                            one.p_value
                        )
                    },
                );
            }
            html += "</tr>\n";
        }
        html += "</tbody></table></div>\n";
        html += &format!(
            "<p class=\"note\">Paired bootstrap, {} draws of the photos; bold where p is below \
             {SIGNIFICANT}.</p>\n",
            self.bootstrap.num_samples
        );
        html
    }

    fn diversity_table(&self) -> String {
        let mut html = String::from(
            "<h2>Diversity</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>method</th>\
             <th>words a caption</th><th>vocabulary</th><th>distinct captions</th>\
             <th>distinct-1</th><th>distinct-2</th><th>distinct-3</th><th>distinct-4</th>",
        );
        let with_novel = self.systems.iter().any(|one| one.diversity.novel.is_some());
        if with_novel {
            html += "<th>novel captions</th>";
        }
        html += "</tr></thead>\n<tbody>\n";
        for System {
            options, diversity, ..
        } in self.systems
        {
            let distinct = diversity
                .distinct
                .map(|share| format!("<td>{share:.3}</td>"));
            let distinct = distinct.concat();
            let novel = diversity.novel.map_or_else(String::new, |novel| {
                format!("<td>{:.1} %</td>", novel * 100.0)
            });
            let _infallible = writeln!(
                html,
                "<tr><td>{}</td><td>{:.1}</td><td>{}</td><td>{}</td>{distinct}{novel}</tr>",
                options.method.name(),
                diversity.mean_length_words,
                diversity.vocabulary_size,
                diversity.num_distinct_captions
            );
        }
        html += "</tbody></table></div>\n";
        html
    }

    /// What the script shows of each photo.
    fn photo_data(&self) -> Value {
        let metrics: Vec<&str> = COLUMNS
            .into_iter()
            .map(|(metric, _)| metric)
            .filter(|metric| {
                self.systems
                    .iter()
                    .any(|one| image_score(one, 0, metric).is_some())
            })
            .collect();
        let photos = self.photos.items.iter().enumerate().map(|(place, &item)| {
            let item = &self.set.items[item];
            let captions: Map<String, Value> = self
                .systems
                .iter()
                .map(|system| {
                    let scores: Map<String, Value> = metrics
                        .iter()
                        .filter_map(|metric| {
                            let value = image_score(system, place, metric)?;
                            Some(((*metric).to_owned(), json!(rounded(value))))
                        })
                        .collect();
                    let text = &system.captions[place].text;
                    let name = system.options.method.name().to_owned();
                    (name, json!({ "text": text, "scores": scores }))
                })
                .collect();
            let evidence = self
                .systems
                .iter()
                .map(|system| &system.captions[place].evidence);
            let evidence = evidence.max_by_key(|evidence| evidence.len());
            let evidence = evidence.into_iter().flatten();
            let thumbnail = self.photos.thumbnails.get(place);
            json!({
                "id": item.id,
                "references": item.references,
                "captions": captions,
                "evidence": evidence
                    .map(|one| json!([one.text, rounded(f64::from(one.weight))]))
                    .collect::<Vec<_>>(),
                "thumbnail": thumbnail.map_or_else(String::new, |jpeg| BASE64.encode(jpeg)),
            })
        });
        let methods = self
            .systems
            .iter()
            .map(|system| system.options.method.name());
        json!({
            "methods": methods.collect::<Vec<_>>(),
            "metrics": metrics,
            "photos": photos.collect::<Vec<_>>(),
        })
    }
}

const PHOTOS: &str = r#"<h2>Photos</h2>
<noscript><p class="warning">The photos are shown by a script in this page.</p></noscript>
<form id="controls">
<label>method<select name="method"></select></label>
<label>score<select name="metric"></select></label>
<label>order<select name="order"><option value="worst">worst first</option><option value="best">best first</option><option value="set">as in the data set</option></select></label>
<label>at least<input name="least" type="number" step="any"></label>
<label>at most<input name="most" type="number" step="any"></label>
<label>with the text<input name="text" type="search" placeholder="caption, reference, evidence, id"></label>
<output id="count"></output>
</form>
<div id="photos"></div>
<button id="more" type="button">Show more</button>
"#;

fn published_row(row: &PublishedRow, columns: &[(&str, &str)]) -> String {
    let mut html = format!(
        "<tr class=\"published\"><td>{}<span class=\"interval\">{}</span></td>",
        escaped(row.system),
        escaped(row.source)
    );
    for (metric, _) in columns {
        html += &figure_cell(match *metric {
            "Bleu_4" => row.bleu_4,
            "METEOR" => row.meteor,
            "CIDEr" => row.cider,
            "SPICE" => row.spice,
            _ => None,
        });
    }
    html + "</tr>\n"
}

fn figure_cell(figure: Option<f64>) -> String {
    match figure {
        Some(figure) => format!("<td>{figure:.1}</td>"),
        None => "<td></td>".to_owned(),
    }
}

fn curves(plots: &[(&Curve, String)]) -> String {
    let mut html = String::from("<h2>Curves</h2>\n");
    for (curve, svg) in plots {
        html += &format!("<div class=\"plots\">{svg}</div>\n<div class=\"wide\"><table>\n<thead>");
        html += &format!(
            "<tr><th>{}</th><th class=\"text\">model</th><th class=\"text\">method</th>",
            curve.over.title()
        );
        let columns: Vec<(&str, &str)> = COLUMNS
            .into_iter()
            .filter(|(metric, _)| {
                let mut scores = curve.points.iter().flat_map(|point| &point.scores);
                scores.any(|score| score.metric == *metric)
            })
            .collect();
        for (_, title) in &columns {
            html += &format!("<th>{title}</th>");
        }
        html += "</tr></thead>\n<tbody>\n";
        for point in &curve.points {
            html += &format!(
                "<tr><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td>",
                compact(point.x),
                escaped(&point.model),
                point.method.name()
            );
            for (metric, _) in &columns {
                let score = point.scores.iter().find(|score| score.metric == *metric);
                html += &figure_cell(score.map(|score| score.value * 100.0));
            }
            html += "</tr>\n";
        }
        html += "</tbody></table></div>\n";
    }
    html
}

/// A metric of one photo.
fn image_score(system: &System, place: usize, metric: &str) -> Option<f64> {
    match metric {
        "CLIPScore" => system.clip_scores.as_ref()?.clip.get(place).copied(),
        "RefCLIPScore" => system.clip_scores.as_ref()?.ref_clip.get(place).copied(),
        metric => {
            let values = &system.scores.images.get(place)?.values;
            values
                .named()
                .find(|(name, _)| *name == metric)
                .map(|(_, value)| value)
        }
    }
}

/// Four decimals: more mean nothing, and make the page larger. No number becomes 0.
fn rounded(value: f64) -> f64 {
    match value.is_finite() {
        true => (value * 1e4).round() / 1e4,
        false => 0.0,
    }
}

/// Text between tags or in an attribute with quotes.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// JSON within a `script` element: nothing in it can end the element or begin a comment.
fn for_script(json: &str) -> Cow<'_, str> {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _infallible = write!(escaped, "\\u{:04x}", character as u32);
            }
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- & \"'\u{2028}";

    #[test]
    fn hostile_text_stays_text() {
        let html = escaped(HOSTILE);
        assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
        let json = json!({ HOSTILE: HOSTILE }).to_string();
        let script = for_script(&json);
        assert!(!script.contains(['<', '>', '&', '\u{2028}']), "{script}");
        let back: Value = serde_json::from_str(&script).unwrap();
        assert_eq!(back[HOSTILE], HOSTILE);
    }

    #[test]
    fn plain_text_is_left_alone() {
        assert!(matches!(escaped("a dog, 7 m"), Cow::Borrowed(_)));
        assert!(matches!(for_script("[1, \"a\"]"), Cow::Borrowed(_)));
    }
}
