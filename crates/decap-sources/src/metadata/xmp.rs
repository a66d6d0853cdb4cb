//! The captions in an XMP packet, which is edited as text: what is not decap's stays byte for byte.

mod edit;
mod packet;
mod writing;

use std::ops::Range;

use decap::InputFault;
use roxmltree::{Document, ParsingOptions};

use super::Field;
use super::blocks::{LARGEST_BLOCK, damaged};
use super::marker::Marker;
use packet::{Packet, text_in};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const IPTC_CORE: &str = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// A packet that says nothing.
const EMPTY: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
    <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
    <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
    </rdf:RDF>\n\
    </x:xmpmeta>\n\
    <?xpacket end=\"w\"?>";

/// What a packet says of a caption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Words {
    /// Nothing.
    #[default]
    Absent,
    /// This text.
    Text(String),
    /// Something of a form that is left alone.
    Odd,
}

/// What a packet says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub description: Words,
    pub alt_text: Words,
    pub marker: Option<Marker>,
    /// How the description and the alternative text are written, where that is not as decap would.
    pub sources: [Option<String>; 2],
}

/// What a packet is to say of a caption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Want {
    /// What it says.
    #[default]
    Keep,
    /// This text.
    Text(String),
    /// This text, written in this way.
    Former { text: String, source: String },
    /// Nothing.
    Remove,
}

/// What a packet is to say.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub description: Want,
    pub alt_text: Want,
    pub marker: Option<Marker>,
}

impl Words {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Odd => None,
        }
    }
}

/// Reads a packet.
///
/// # Errors
/// [`InputFault::Damaged`] where it is no well-formed XMP; [`InputFault::Unsupported`] for UTF-16, and
/// beyond what a parser can be asked to take.
pub(super) fn read(packet: &[u8]) -> Result<Said, InputFault> {
    let text = text_of(packet)?;
    let document = parse(text)?;
    let packet = Packet::of(text, &document)?;
    Ok(Said {
        description: packet.words(Field::Description),
        alt_text: packet.words(Field::AltText),
        marker: packet.marker(),
        sources: [Field::Description, Field::AltText].map(|field| packet.source(field)),
    })
}

/// The packet that says what is wanted; nothing where it would say nothing, and decap made it.
///
/// # Errors
/// As [`read`].
pub(super) fn rewrite(
    packet: Option<&[u8]>,
    wanted: &Wanted,
) -> Result<Option<Vec<u8>>, InputFault> {
    let whole = packet.unwrap_or(EMPTY.as_bytes());
    let text = text_of(whole)?;
    let edits = {
        let document = parse(text)?;
        Packet::of(text, &document)?.edits(wanted)
    };
    let edited = applied(text, edits)?;
    if edited == EMPTY {
        return Ok(None);
    }
    let mut out = edited.into_bytes();
    out.extend_from_slice(&whole[text.len()..]);
    // What cannot be read back must not get into a photo.
    let said = read(&out)?;
    let before = read(whole)?;
    let is_said = |want: &Want, before: &Words, words: &Words| match want {
        Want::Text(text) | Want::Former { text, .. } => words.text() == Some(text),
        Want::Keep => words == before,
        Want::Remove => *words == Words::Absent || words != before,
    };
    let is_all_said = is_said(&wanted.description, &before.description, &said.description)
        && is_said(&wanted.alt_text, &before.alt_text, &said.alt_text)
        && said.marker == wanted.marker;
    match is_all_said {
        true => Ok(Some(out)),
        false => Err(InputFault::Unsupported(
            "expected XMP that a caption can be written into, got an unusual form".into(),
        )),
    }
}

/// Whether `source`, an element's content, says `text`.
pub(super) fn says(source: &str, text: &str) -> bool {
    let element = format!("<a>{source}</a>");
    let document = parse(&element);
    document.is_ok_and(|document| text_in(document.root_element()) == text)
}

/// A packet's text, without the zeros that some writers fill up with.
fn text_of(packet: &[u8]) -> Result<&str, InputFault> {
    if packet.starts_with(b"\xfe\xff")
        || packet.starts_with(b"\xff\xfe")
        || packet.starts_with(b"<\0")
    {
        return Err(InputFault::Unsupported(
            "XMP in UTF-16 is left alone: expected UTF-8".into(),
        ));
    }
    let text = std::str::from_utf8(packet)
        .map_err(|_| damaged("expected XMP in UTF-8, got other bytes"))?;
    Ok(text.trim_end_matches('\0'))
}

fn parse(text: &str) -> Result<Document<'_>, InputFault> {
    check_bounds(text)?;
    let options = ParsingOptions {
        nodes_limit: 1 << 19,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options)
        .map_err(|error| damaged(format!("expected well-formed XMP, got: {error}")))
}

/// The parser takes time in squares of these, and in cubes of the first.
fn check_bounds(text: &str) -> Result<(), InputFault> {
    const MOST: [(&str, usize); 4] = [
        ("xmlns", 1_000),
        ("=", 20_000),
        ("<![CDATA[", 1_000),
        ("&", 200_000),
    ];
    let is_within = text.len() <= LARGEST_BLOCK
        && MOST
            .iter()
            .all(|(what, most)| text.matches(what).take(most + 1).count() <= *most);
    match is_within {
        true => Ok(()),
        false => Err(InputFault::Unsupported(
            "expected XMP of a usual size, got more names or values than photos have".into(),
        )),
    }
}

/// A change to a text: what stands there goes, and this comes.
type Edit = (Range<usize>, String);

fn applied(text: &str, mut edits: Vec<Edit>) -> Result<String, InputFault> {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in edits {
        // Ranges of one document neither overlap nor part letters; a broken packet must be no panic.
        let kept = text.get(at..range.start);
        out += kept.ok_or_else(|| damaged("expected XMP with each property once"))?;
        out += &new;
        at = range.end;
    }
    out += text.get(at..).unwrap_or_default();
    Ok(out)
}

#[cfg(test)]
mod tests;
