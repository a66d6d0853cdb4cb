//! The page: one HTML file that needs no server and no network.

use std::path::Path;

use super::metric::CIDER;
use super::svg::{self, Svg};
use super::table::curve_table;
use super::{Report, histogram, interval_chart};
use crate::html::{CSS, escaped, for_script};
use crate::{Curve, SystemComparison};

const SCRIPT: &str = include_str!("page.js");

/// The sections that the script fills.
const DIFFERENCES: &str = include_str!("differences.html");
const PHOTOS: &str = include_str!("photos.html");

impl Report<'_> {
    /// The page for `folder`. Text from outside is in it escaped, or as JSON that the script shows
    /// as text.
    pub(super) fn page(
        &self,
        folder: &Path,
        comparisons: &[SystemComparison],
        plots: &[(&Curve, Svg)],
    ) -> String {
        let title = format!("{} on {}", self.model.name, self.set.name);
        let mut page = head(&title);
        page += &format!("<h1>{}</h1>\n", escaped(&title));
        page += &self.by_line();
        page += &self.pictures();
        page += &self.failures();
        page += &self.contents(!comparisons.is_empty(), !plots.is_empty());
        page += "<h2 id=\"scores\">Scores</h2>\n";
        page += &self.score_table();
        page += &self.other_metrics();
        if !comparisons.is_empty() {
            page += "<h2 id=\"methods\">Differences between methods</h2>\n";
            page += &self.comparison_table(comparisons);
        }
        if !plots.is_empty() {
            page += &curves(plots);
        }
        page += "<h2 id=\"diversity\">Diversity</h2>\n";
        page += &self.diversity_table();
        page += &self.facts();
        if self.systems.len() > 1 {
            page += DIFFERENCES;
        }
        page += PHOTOS;
        let data = self.photo_data(folder).to_string();
        let data = for_script(&data);
        page += &format!("<script type=\"application/json\" id=\"data\">{data}</script>\n");
        page += &format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
        page
    }

    /// What the reader came for: CIDEr of the methods, and of the photos.
    fn pictures(&self) -> String {
        let percent = self.bootstrap.confidence * 100.0;
        let mut html = String::from("<div class=\"charts first\">\n");
        if let Some(svg) = interval_chart::draw(self.systems, CIDER) {
            html += &figure(&format!("CIDEr, with {percent:.0} % intervals"), &svg);
        }
        if let Some(svg) = histogram::draw(self.systems) {
            html += &figure("Photos by their CIDEr", &svg);
        }
        html + "</div>\n"
    }

    /// The metrics after CIDEr as pictures.
    fn other_metrics(&self) -> String {
        let mut html = String::from("<div class=\"charts\">\n");
        let metrics = self.metrics().into_iter();
        for metric in metrics.filter(|metric| *metric != CIDER && !metric.is_detail()) {
            if let Some(svg) = interval_chart::draw(self.systems, metric) {
                html += &figure(metric.title, &svg);
            }
        }
        html + "</div>\n"
    }

    fn contents(&self, has_comparisons: bool, has_curves: bool) -> String {
        let has_several = self.systems.len() > 1;
        let sections = [
            (true, "scores", "Scores"),
            (has_comparisons, "methods", "Differences"),
            (has_curves, "curves", "Curves"),
            (true, "diversity", "Diversity"),
            (true, "run", "This run"),
            (has_several, "differences", "Where methods differ"),
            (true, "photos", "Photos"),
        ];
        let links = sections.into_iter().filter(|(is_there, ..)| *is_there);
        let links = links.map(|(_, id, title)| format!("<a href=\"#{id}\">{title}</a>"));
        format!("<nav>{}</nav>\n", links.collect::<Vec<_>>().join("\n"))
    }
}

/// The page up to its title.
fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{}</title>\n<style>\n{CSS}{}</style>\n</head>\n<body>\n",
        escaped(title),
        svg::CSS
    )
}

/// Nothing is fetched from anywhere, whatever a caption says.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

fn curves(plots: &[(&Curve, Svg)]) -> String {
    let mut html = String::from("<h2 id=\"curves\">Curves</h2>\n");
    for (curve, svg) in plots {
        html += "<div class=\"curve\">\n";
        html += &figure(&format!("CIDEr by {}", curve.over.title()), svg);
        html += &curve_table(curve);
        html += "</div>\n";
    }
    html
}

fn figure(caption: &str, svg: &Svg) -> String {
    let (caption, svg) = (escaped(caption), svg.inline());
    format!("<figure><figcaption>{caption}</figcaption>\n{svg}</figure>\n")
}
