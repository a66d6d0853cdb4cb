//! How decap writes XMP.

use std::ops::Range;

use super::{DC, Edit, IPTC_CORE, RDF};
use crate::metadata::Field;
use crate::metadata::marker::{self, Marker};

/// A caption as decap writes it, of words that are escaped.
pub(super) fn element_of(field: Field, words: &str) -> String {
    let (namespace, name) = name_of(field);
    let prefix = match field {
        Field::AltText => "Iptc4xmpCore",
        _ => "dc",
    };
    format!(
        "<{prefix}:{name} xmlns:{prefix}=\"{namespace}\"><rdf:Alt>\
         <rdf:li xml:lang=\"x-default\">{words}</rdf:li></rdf:Alt></{prefix}:{name}>"
    )
}

pub(super) fn start_of_own(marker: &Marker, about: &str) -> String {
    let mut start = start_of_plain(about);
    start.pop();
    start += &format!(" xmlns:decap=\"{}\"", marker::NAMESPACE);
    for (name, value) in marker.properties() {
        start += &format!(" decap:{name}=\"{}\"", escaped_attribute(&value));
    }
    start.push('>');
    start
}

pub(super) fn start_of_plain(about: &str) -> String {
    let about = escaped_attribute(about);
    format!("<rdf:Description xmlns:rdf=\"{RDF}\" rdf:about=\"{about}\">")
}

/// `text` as an element's content.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('\r', "&#13;")
}

/// `text` as an attribute's value, in which white space would become spaces.
pub(super) fn escaped_attribute(text: &str) -> String {
    let text = escaped(text).replace('"', "&quot;").replace('\'', "&apos;");
    text.replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Puts `words`, escaped, in the place of all that the element at `range` holds.
pub(super) fn content_edit(text: &str, range: Range<usize>, words: &str) -> Edit {
    let raw = &text[range.clone()];
    // A greater-than sign may stand in an attribute's value.
    let mut quote = None;
    let end_of_start = raw.find(|letter: char| match (quote, letter) {
        (None, '>') => true,
        (None, '"' | '\'') => {
            quote = Some(letter);
            false
        }
        (Some(open), _) if open == letter => {
            quote = None;
            false
        }
        _ => false,
    });
    let end_of_start = range.start + end_of_start.unwrap_or(0);
    match raw.ends_with("/>") && end_of_start + 1 == range.end {
        true => {
            let words = format!(">{words}</{}>", tag_name(raw));
            (end_of_start.saturating_sub(1)..range.end, words)
        }
        false => {
            let end = range.start + raw.rfind("</").unwrap_or(raw.len());
            (end_of_start + 1..end, words.to_owned())
        }
    }
}

/// The name of the element whose text is `raw`, with its prefix.
pub(super) fn tag_name(raw: &str) -> &str {
    let name = raw.strip_prefix('<').unwrap_or(raw);
    let end = name.find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '>'));
    &name[..end.unwrap_or(name.len())]
}

pub(super) fn name_of(field: Field) -> (&'static str, &'static str) {
    match field {
        Field::AltText => (IPTC_CORE, "AltTextAccessibility"),
        _ => (DC, "description"),
    }
}
