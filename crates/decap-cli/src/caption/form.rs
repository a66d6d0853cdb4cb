//! The form of the lines that captions are written in: text, JSON or CSV.

use std::path::Path;

use decap::memory::Evidence;
use decap::{Caption, Method};
use decap_sources::record;

use crate::args::CaptionArgs;
use crate::csv;
use crate::failure::Failure;
use crate::name;
use crate::output::Form;

/// Endings of files that hold no lines of this command, and what to type.
const OTHER_FORMS: [&str; 5] = ["json", "parquet", "arrow", "xlsx", "npy"];

/// How a caption becomes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// `path<TAB>caption`, then the evidence.
    Text,
    /// An object.
    Json,
    /// A row of a table with so many pieces of evidence.
    Csv { evidence: usize },
}

impl LineForm {
    /// The form that `--json` asks for, or else the name of the output.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the name promises a form that is not written.
    pub fn of(args: &CaptionArgs) -> Result<Self, Failure> {
        let ending = args.output.as_deref().and_then(Path::extension);
        let ending = ending.map(|ending| ending.to_string_lossy().to_lowercase());
        let ending = ending.as_deref().unwrap_or_default();
        let refused = |expected: &str| {
            let path = args.output.as_deref().unwrap_or(Path::new(""));
            Failure::Usage(format!("{}: {expected}", path.display()))
        };
        match (ending, args.json) {
            ("csv", true) => Err(refused(
                "--json writes JSON lines: expected a name in .jsonl",
            )),
            ("csv", false) => {
                let evidence = match args.method.method() {
                    Method::Projection | Method::Consensus => args.evidence,
                    Method::Nearest | Method::Retrieval => args.evidence.min(1),
                    Method::Visual => 0,
                };
                Ok(Self::Csv { evidence })
            }
            ("jsonl" | "ndjson", _) | (_, true) => Ok(Self::Json),
            (other, false) if OTHER_FORMS.contains(&other) => Err(refused(
                "expected a name in .jsonl (JSON lines), .csv (a table) or .txt (text)",
            )),
            _ => Ok(Self::Text),
        }
    }

    /// The line above all others.
    pub fn header(self) -> Option<String> {
        let Self::Csv { evidence } = self else {
            return None;
        };
        let mut header = "path,caption,score".to_owned();
        for place in 1..=evidence {
            header += &format!(",evidence_{place},weight_{place}");
        }
        Some(header)
    }

    /// How lines of an earlier run are known.
    pub fn known_lines(self) -> Form<'static> {
        // Text and tables say nowhere that this command wrote them.
        let foreign = Form {
            key: &text_key,
            is_own: &|_| false,
            run_of: &|_| None,
            header: self.header(),
        };
        match self {
            Self::Text => foreign,
            Self::Csv { .. } => Form {
                key: &csv::first_field,
                ..foreign
            },
            Self::Json => Form {
                key: &record::key,
                is_own: &record::is_own,
                run_of: &record::run_of,
                header: None,
            },
        }
    }
}

fn text_key(line: &str) -> Option<String> {
    line.split_once('\t').map(|(path, _)| path.to_owned())
}

/// `path<TAB>caption`, and the evidence below it for a person, behind it for a program.
pub fn text_line(path: &Path, caption: &Caption, for_a_person: bool) -> String {
    let mut line = format!("{}\t{}", name::of(path), name::tame(&caption.text));
    for evidence in &caption.evidence {
        let separator = if for_a_person { "\n    " } else { "\t" };
        line += &format!(
            "{separator}{:.3} {}",
            evidence.weight,
            name::tame(&evidence.text)
        );
    }
    line
}

/// A row below [`LineForm::header`].
pub fn csv_line(path: &Path, caption: &Caption, evidence: usize) -> String {
    let text = name::tame(&caption.text);
    let path = name::of(path);
    let mut line = format!(
        "{},{},{:.6}",
        csv::field(&path),
        csv::field(&text),
        caption.score
    );
    let mut sentences = caption.evidence.iter();
    for _ in 0..evidence {
        line += &match sentences.next() {
            Some(Evidence { text, weight }) => {
                format!(",{},{weight:.6}", csv::field(&name::tame(text)))
            }
            // A memory of fewer sentences.
            None => ",,".to_owned(),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use decap::ChosenFrom;

    #[test]
    fn cut_lines_have_no_key() {
        assert_eq!(text_key("a.jpg\ta dog").as_deref(), Some("a.jpg"));
        assert_eq!(text_key("a.jp"), None);
    }

    #[test]
    fn a_row_has_the_fields_of_its_header() {
        let caption = Caption {
            text: "a \"dog\", black".to_owned(),
            score: -0.5,
            chosen_from: ChosenFrom::Written,
            evidence: vec![Evidence {
                text: "a dog".to_owned(),
                weight: 0.25,
            }],
        };
        let form = LineForm::Csv { evidence: 2 };
        assert_eq!(
            form.header().as_deref(),
            Some("path,caption,score,evidence_1,weight_1,evidence_2,weight_2")
        );
        assert_eq!(
            csv_line(Path::new("a,b.jpg"), &caption, 2),
            "\"a,b.jpg\",\"a \"\"dog\"\", black\",-0.500000,a dog,0.250000,,"
        );
    }
}
