//! A drawing for the page: shapes and text as SVG, with classes for colours.

use std::fmt::Write as _;

use decap::Method;

use crate::html::escaped;

/// Colours and type of all drawings, light and dark; the page holds it once, each file its own.
pub(super) const CSS: &str = include_str!("chart.css");

/// Width of every drawing, in units that are pixels on a narrow phone.
pub(super) const WIDTH: f64 = 350.0;

/// Space around a drawing that is a file of its own.
const MARGIN: f64 = 12.0;

/// Width of a letter of the drawings' text, on average; enough to keep labels apart.
pub(super) const LETTER: f64 = 6.4;

/// A drawing [`WIDTH`] units wide.
pub(super) struct Svg {
    height: f64,
    /// What it shows, for those who do not see it.
    label: String,
    body: String,
}

/// Which end of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn new(height: f64, label: &str) -> Self {
        Self {
            height,
            label: label.to_owned(),
            body: String::new(),
        }
    }

    /// `text` on the base line `y`.
    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        let _infallible = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor} class=\"{class}\">{text}</text>"
        );
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.path(&[from, to], class);
    }

    /// Straight lines from point to point.
    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let mut places = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _infallible = write!(places, "{command}{x:.1} {y:.1}");
        }
        let _infallible = writeln!(self.body, "<path d=\"{places}\" class=\"{class}\"/>");
    }

    /// A filled box with its upper left corner at `(x, y)`.
    pub(super) fn bar(&mut self, (x, y): (f64, f64), width: f64, height: f64, class: &str) {
        let _infallible = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             class=\"{class}\"/>"
        );
    }

    /// A method's mark: each has its own shape, because some people see few colours.
    pub(super) fn mark(&mut self, (x, y): (f64, f64), method: Method) {
        let (near, far) = (4.0, 5.2);
        let outline: &[(f64, f64)] = match method {
            Method::Projection => {
                let _infallible = writeln!(
                    self.body,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.2\" class=\"mark {}\"/>",
                    method.name()
                );
                return;
            }
            Method::Nearest => &[(-near, -near), (near, -near), (near, near), (-near, near)],
            Method::Retrieval => &[(0.0, -far), (far, near), (-far, near)],
            Method::Visual => &[(0.0, -far), (far, 0.0), (0.0, far), (-far, 0.0)],
            Method::Consensus => &[(0.0, far), (far, -near), (-far, -near)],
        };
        let points: Vec<_> = outline.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.path(&points, &format!("mark {}", method.name()));
    }

    /// The drawing within the page, which has [`CSS`].
    pub(super) fn inline(&self) -> String {
        format!("<svg{}>\n{}</svg>", self.attributes(0.0), self.body)
    }

    /// The drawing as a file of its own, with a margin.
    pub(super) fn file(&self) -> String {
        let (width, height) = (WIDTH + 2.0 * MARGIN, self.height + 2.0 * MARGIN);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"{}>\n\
             <style>\n{CSS}</style>\n\
             <rect x=\"-{MARGIN}\" y=\"-{MARGIN}\" width=\"{width}\" height=\"{height}\" \
             class=\"paper\"/>\n{}</svg>\n",
            width * 2.0,
            height * 2.0,
            self.attributes(MARGIN),
            self.body
        )
    }

    fn attributes(&self, margin: f64) -> String {
        format!(
            " class=\"chart\" viewBox=\"{} {} {} {}\" role=\"img\" aria-label=\"{}\"",
            0.0 - margin,
            0.0 - margin,
            WIDTH + 2.0 * margin,
            self.height + 2.0 * margin,
            escaped(&self.label)
        )
    }
}
