//! The form of the lines that captions are written in: text, JSON, CSV or TSV.

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
const OTHER_FORMS: [&str; 5] = ["arrow", "xlsx", "npy", "gz", "tgz"];

/// What stands between the fields of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// Commas; a field that has one is quoted.
    Commas,
    /// Tabs, which no field has.
    Tabs,
}

/// How a caption becomes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// `path<TAB>caption`, then the evidence.
    Text,
    /// An object.
    Json,
    /// A row of a table with so many pieces of evidence.
    Table { evidence: usize, fields: Fields },
    /// A sample of a tar archive: the photo, its caption, and the object.
    Sample,
}

impl LineForm {
    /// The form that `--json` asks for, or else the name of the output.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the name promises a form that is not written.
    pub fn of(args: &CaptionArgs) -> Result<Self, Failure> {
        let output = args.output_file();
        let ending = output.as_deref().and_then(Path::extension);
        let ending = ending.map(|ending| ending.to_string_lossy().to_lowercase());
        let ending = ending.as_deref().unwrap_or_default();
        let refused = |expected: &str| {
            let path = output.as_deref().unwrap_or(Path::new(""));
            Failure::Usage(format!("{}: {expected}", path.display()))
        };
        match (ending, args.json) {
            ("csv" | "tsv", true) => Err(refused(
                "--json writes JSON lines: expected a name in .jsonl",
            )),
            (table @ ("csv" | "tsv"), false) => {
                let evidence = match args.method.method() {
                    Method::Projection | Method::Consensus => args.evidence,
                    Method::Nearest | Method::Retrieval => args.evidence.min(1),
                    Method::Visual => 0,
                };
                let fields = match table {
                    "tsv" => Fields::Tabs,
                    _ => Fields::Commas,
                };
                Ok(Self::Table { evidence, fields })
            }
            ("tar", _) => Ok(Self::Sample),
            ("jsonl" | "ndjson" | "json" | "parquet", _) | (_, true) => Ok(Self::Json),
            (other, false) if OTHER_FORMS.contains(&other) => Err(refused(
                "expected a name in .jsonl (JSON lines), .csv, .tsv or .parquet (a table), .tar (samples with their photos), .json (COCO results) or .txt (text)",
            )),
            _ => Ok(Self::Text),
        }
    }

    /// The line above all others.
    pub fn header(self) -> Option<String> {
        let Self::Table { evidence, fields } = self else {
            return None;
        };
        let mut header = "path,caption,score".to_owned();
        for place in 1..=evidence {
            header += &format!(",evidence_{place},weight_{place}");
        }
        header += ",confidence";
        Some(match fields {
            Fields::Commas => header,
            Fields::Tabs => header.replace(',', "\t"),
        })
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
            Self::Text
            | Self::Table {
                fields: Fields::Tabs,
                ..
            } => foreign,
            Self::Table { .. } => Form {
                key: &csv::first_field,
                ..foreign
            },
            Self::Json | Self::Sample => Form {
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

/// `path<TAB>caption`, and the evidence and the confidence below it for a person, behind it for a program.
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
    // Whoever wants no evidence wants the caption alone.
    if let (Some(confidence), false) = (caption.confidence, caption.evidence.is_empty()) {
        let separator = if for_a_person { "\n    " } else { "\t" };
        line += &format!("{separator}confidence {confidence:.3}");
    }
    line
}

/// A row below [`LineForm::header`].
pub fn table_line(path: &Path, caption: &Caption, evidence: usize, fields: Fields) -> String {
    // Paths are printed without control characters, too.
    let mut row = vec![
        name::of(path),
        name::tame(&caption.text),
        format!("{:.6}", caption.score),
    ];
    let mut sentences = caption.evidence.iter();
    for _ in 0..evidence {
        row.extend(match sentences.next() {
            Some(Evidence { text, weight }) => [name::tame(text), format!("{weight:.6}")],
            // A memory of fewer sentences.
            None => [String::new(), String::new()],
        });
    }
    let confidence = caption.confidence;
    row.push(confidence.map_or_else(String::new, |confidence| format!("{confidence:.4}")));
    match fields {
        Fields::Tabs => row.join("\t"),
        Fields::Commas => {
            let row: Vec<_> = row.iter().map(|text| csv::field(text)).collect();
            row.join(",")
        }
    }
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
            confidence: Some(0.75),
            chosen_from: ChosenFrom::Written,
            candidates: Vec::new(),
            evidence: vec![Evidence {
                text: "a dog".to_owned(),
                weight: 0.25,
            }],
        };
        let fields = Fields::Commas;
        let form = LineForm::Table {
            evidence: 2,
            fields,
        };
        assert_eq!(
            form.header().as_deref(),
            Some("path,caption,score,evidence_1,weight_1,evidence_2,weight_2,confidence")
        );
        assert_eq!(
            table_line(Path::new("a,b.jpg"), &caption, 2, fields),
            "\"a,b.jpg\",\"a \"\"dog\"\", black\",-0.500000,a dog,0.250000,,,0.7500"
        );
        let fields = Fields::Tabs;
        assert_eq!(
            table_line(Path::new("a,b.jpg"), &caption, 1, fields),
            "a,b.jpg\ta \"dog\", black\t-0.500000\ta dog\t0.250000\t0.7500"
        );
        let form = LineForm::Table {
            evidence: 1,
            fields,
        };
        let header = form.header().unwrap();
        assert_eq!(
            header,
            "path\tcaption\tscore\tevidence_1\tweight_1\tconfidence"
        );
    }
}
