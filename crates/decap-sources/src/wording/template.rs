//! A caption's words by a template.

use decap::Error;

/// A template such as `{caption}[, photographed {date}]`.
///
/// A name in braces is a field. What stands in square brackets is left out where a field in it is empty.
/// Two braces or brackets of a kind stand for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// What a template's fields hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateValues {
    /// `{caption}`: what the captioner wrote.
    pub caption: String,
    /// `{path}`: the photo as it was given.
    pub path: String,
    /// `{stem}`: its name without folders and ending.
    pub stem: String,
    /// `{date}`: when it was taken, as `2026-11-29`; empty where EXIF does not say.
    pub date: String,
    /// `{evidence}`: the memory sentence that the caption rests on most; empty where there is none.
    pub evidence: String,
    /// `{score}`: how sure the decoder is of its words, with two decimals.
    pub score: String,
    /// `{confidence}`: how likely the caption is right, from `0.00` to `1.00`; empty where the model cannot tell.
    pub confidence: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
    /// In square brackets.
    Optional(Vec<Part>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Caption,
    Path,
    Stem,
    Date,
    Evidence,
    Score,
    Confidence,
}

impl Field {
    const ALL: [(&'static str, Self); 7] = [
        ("caption", Self::Caption),
        ("path", Self::Path),
        ("stem", Self::Stem),
        ("date", Self::Date),
        ("evidence", Self::Evidence),
        ("score", Self::Score),
        ("confidence", Self::Confidence),
    ];
}

impl Template {
    /// Reads a template.
    ///
    /// ```
    /// use decap_sources::wording::{Template, TemplateValues};
    ///
    /// let template = Template::parse("{caption}[, photographed {date}]")?;
    /// let mut values = TemplateValues { caption: "a dog".into(), ..Default::default() };
    /// assert_eq!(template.fill(&values), "a dog");
    /// let spaced = Template::parse("{caption} [on {date}]")?;
    /// assert_eq!(spaced.fill(&values), "a dog");
    /// values.date = "2026-11-29".into();
    /// assert_eq!(template.fill(&values), "a dog, photographed 2026-11-29");
    /// # Ok::<(), decap::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] for a field that does not exist, and for a brace or bracket without its other half.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        // What stands before an open bracket.
        let mut outer: Option<Vec<Part>> = None;
        let mut rest = text;
        let wrong = |what: &str| Error::Usage(format!("the template `{text}`: {what}"));
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            if "{}[]".contains(letter) && after.starts_with(letter) {
                put(&mut parts, letter);
                rest = &after[1..];
                continue;
            }
            rest = after;
            match letter {
                '{' => {
                    let Some((name, after)) = after.split_once('}') else {
                        return Err(wrong("expected `}` after `{`; `{{` stands for a brace"));
                    };
                    let field = Field::ALL.iter().find(|(known, _)| *known == name);
                    let Some((_, field)) = field else {
                        let names = Field::ALL.map(|(name, _)| name).join(", ");
                        return Err(wrong(&format!("expected one of {names}, got `{name}`")));
                    };
                    parts.push(Part::Field(*field));
                    rest = after;
                }
                '}' => return Err(wrong("expected `{` before `}`; `}}` stands for a brace")),
                '[' if outer.is_some() => {
                    return Err(wrong(
                        "expected no `[` within brackets; `[[` stands for one",
                    ));
                }
                '[' => outer = Some(std::mem::take(&mut parts)),
                ']' => match outer.take() {
                    Some(before) => {
                        let optional = std::mem::replace(&mut parts, before);
                        parts.push(Part::Optional(optional));
                    }
                    None => return Err(wrong("expected `[` before `]`; `]]` stands for one")),
                },
                letter => put(&mut parts, letter),
            }
        }
        match outer {
            Some(_) => Err(wrong("expected `]` after `[`; `[[` stands for a bracket")),
            None => Ok(Self { parts }),
        }
    }

    /// Whether the date is asked for, for which the photo's file has to be read.
    pub fn wants_date(&self) -> bool {
        wants(&self.parts, Field::Date)
    }

    /// Whether evidence is asked for.
    pub fn wants_evidence(&self) -> bool {
        wants(&self.parts, Field::Evidence)
    }

    /// The words with these values, without white space around them, which a part that is left out may leave.
    pub fn fill(&self, values: &TemplateValues) -> String {
        let mut text = String::new();
        fill(&self.parts, values, &mut text);
        text.trim().to_owned()
    }
}

fn put(parts: &mut Vec<Part>, letter: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(letter),
        _ => parts.push(Part::Text(letter.to_string())),
    }
}

fn wants(parts: &[Part], wanted: Field) -> bool {
    parts.iter().any(|part| match part {
        Part::Text(_) => false,
        Part::Field(field) => *field == wanted,
        Part::Optional(parts) => wants(parts, wanted),
    })
}

fn fill(parts: &[Part], values: &TemplateValues, text: &mut String) {
    for part in parts {
        match part {
            Part::Text(part) => *text += part,
            Part::Field(field) => *text += value(*field, values),
            Part::Optional(parts) => {
                let is_empty = |part: &Part| matches!(part, Part::Field(field) if value(*field, values).is_empty());
                if !parts.iter().any(is_empty) {
                    fill(parts, values, text);
                }
            }
        }
    }
}

fn value(field: Field, values: &TemplateValues) -> &str {
    match field {
        Field::Caption => &values.caption,
        Field::Path => &values.path,
        Field::Stem => &values.stem,
        Field::Date => &values.date,
        Field::Evidence => &values.evidence,
        Field::Score => &values.score,
        Field::Confidence => &values.confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let values = TemplateValues {
            caption: "a {dog}".into(),
            stem: "beach".into(),
            score: "-0.50".into(),
            ..TemplateValues::default()
        };
        for (template, expected) in [
            ("{caption}", "a {dog}"),
            ("{stem}: {caption} ({score})", "beach: a {dog} (-0.50)"),
            ("{{{stem}}} [[{date}]]", "{beach} []"),
            ("{caption}[ on {date}][ in {stem}][!]", "a {dog} in beach!"),
            ("", ""),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.fill(&values), expected);
        }
        assert!(Template::parse("[{date}]").unwrap().wants_date());
        assert!(!Template::parse("[{evidence}]").unwrap().wants_date());
    }

    #[test]
    fn a_mistake_in_a_template_is_wrong_usage() {
        for (template, said) in [
            ("{captoin}", "got `captoin`"),
            ("{caption", "expected `}`"),
            ("caption}", "expected `{`"),
            ("[{date}", "expected `]`"),
            ("{date}]", "expected `[`"),
            ("[a[b]]", "within brackets"),
            ("{}", "got ``"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert_eq!(error.kind(), "usage");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
