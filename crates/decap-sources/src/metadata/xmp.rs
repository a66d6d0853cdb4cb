//! The captions in an XMP packet, which is edited as text: what is not decap's stays byte for byte.

use std::ops::Range;

use decap::InputFault;
use roxmltree::{Attribute, Document, Node, ParsingOptions};

use super::Field;
use super::blocks::{LARGEST_BLOCK, damaged};
use super::marker::{self, Marker};

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

impl Want {
    /// The text of a caption's element.
    fn content(&self) -> String {
        match self {
            Self::Keep | Self::Remove => String::new(),
            Self::Text(text) => escaped(text),
            Self::Former { source, .. } => source.clone(),
        }
    }

    /// The value of a caption's attribute.
    fn attribute(&self) -> String {
        match self {
            Self::Keep | Self::Remove => String::new(),
            Self::Text(text) => escaped_attribute(text),
            Self::Former { source, .. } => source.clone(),
        }
    }

    /// A caption's element; none where there is nothing to say.
    fn element(&self, field: Field) -> String {
        match self {
            Self::Keep | Self::Remove => String::new(),
            Self::Text(_) | Self::Former { .. } => element_of(field, &self.content()),
        }
    }
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

/// A packet, and where in its text things are.
struct Packet<'a> {
    text: &'a str,
    rdf: Node<'a, 'a>,
}

/// A property: an element, or an attribute for short.
enum Property<'a> {
    Element(Node<'a, 'a>),
    Attribute(Attribute<'a, 'a>),
}

impl<'a> Packet<'a> {
    fn of(text: &'a str, document: &'a Document<'a>) -> Result<Self, InputFault> {
        let mut nodes = document.descendants();
        let rdf = nodes.find(|node| node.has_tag_name((RDF, "RDF")));
        let rdf = rdf.ok_or_else(|| damaged("expected RDF in the XMP, got none"))?;
        Ok(Self { text, rdf })
    }

    fn resources(&self) -> impl Iterator<Item = Node<'a, 'a>> + use<'a> {
        let children = self.rdf.children();
        children.filter(|node| node.has_tag_name((RDF, "Description")))
    }

    /// A property, and the resource that has it.
    fn property(&self, namespace: &str, name: &str) -> Option<(Node<'a, 'a>, Property<'a>)> {
        self.resources().find_map(|resource| {
            let element = resource
                .children()
                .find(|child| child.has_tag_name((namespace, name)));
            let attribute = || resource.attribute_node((namespace, name));
            let property = element
                .map(Property::Element)
                .or_else(|| attribute().map(Property::Attribute))?;
            Some((resource, property))
        })
    }

    fn caption(&self, field: Field) -> Option<(Node<'a, 'a>, Property<'a>)> {
        let (namespace, name) = name_of(field);
        self.property(namespace, name)
    }

    fn words(&self, field: Field) -> Words {
        match self.caption(field) {
            None => Words::Absent,
            Some((_, Property::Attribute(attribute))) => Words::Text(attribute.value().to_owned()),
            Some((_, Property::Element(element))) => match holder(element) {
                Holder::None => Words::Absent,
                Holder::Odd => Words::Odd,
                Holder::In(node) => Words::Text(text_in(node)),
            },
        }
    }

    fn marker(&self) -> Option<Marker> {
        Marker::read(|name| match self.property(marker::NAMESPACE, name)?.1 {
            Property::Attribute(attribute) => Some(attribute.value().to_owned()),
            Property::Element(element) => Some(text_in(element)),
        })
    }

    /// The resource that decap wrote, where it begins as decap writes it.
    fn own(&self, marker: Option<&Marker>) -> Option<Node<'a, 'a>> {
        let start = start_of_own(marker?, &self.about());
        self.resources()
            .find(|resource| self.text[resource.range()].starts_with(&start))
    }

    /// What the packet is about, which all of its resources must say.
    fn about(&self) -> String {
        let about = self.resources().next().and_then(|resource| {
            let named = resource.attribute((RDF, "about"));
            named.or_else(|| resource.attribute("about"))
        });
        about.unwrap_or_default().to_owned()
    }

    /// The changes that make the packet say what is wanted.
    fn edits(&self, wanted: &Wanted) -> Vec<Edit> {
        let marker_now = self.marker();
        let own = self.own(marker_now.as_ref());
        // Those that another program made of decap's, and that nobody needs any more.
        let mut emptied = Vec::new();
        if own.is_none() && wanted.marker.is_none() {
            emptied.extend(self.resources().filter(|it| is_emptied(*it, wanted)));
        }
        let mut edits: Vec<Edit> = emptied.iter().map(|it| self.without_node(*it)).collect();
        let mut content = String::new();
        for (field, want) in [
            (Field::Description, &wanted.description),
            (Field::AltText, &wanted.alt_text),
        ] {
            match (self.caption(field), want) {
                (None, want) => content += &want.element(field),
                (Some((resource, property)), want) if Some(resource) == own => {
                    content += &self.carried(field, &property, want);
                }
                (Some((resource, _)), _) if emptied.contains(&resource) => {}
                (Some((_, property)), want) => edits.extend(self.edit(field, &property, want)),
            }
        }
        if let Some(own) = own {
            content += &self.of_others(own);
            let Range { start, mut end } = own.range();
            if self.text[end..].starts_with('\n') {
                end += 1;
            }
            edits.push((start..end, self.resource(wanted.marker.as_ref(), &content)));
            return edits;
        }
        for name in Marker::names() {
            if let Some((resource, property)) = self.property(marker::NAMESPACE, &name)
                && !emptied.contains(&resource)
            {
                edits.push(self.without(&property));
            }
        }
        let resource = self.resource(wanted.marker.as_ref(), &content);
        if !resource.is_empty() {
            edits.push(self.added(&resource));
        }
        edits
    }

    /// A resource as decap writes it; empty where it would say nothing.
    fn resource(&self, marker: Option<&Marker>, content: &str) -> String {
        let start = match marker {
            Some(marker) => start_of_own(marker, &self.about()),
            None if content.is_empty() => return String::new(),
            // What others have put there may use decap's prefix.
            None if content.contains("decap:") => {
                let start = start_of_plain(&self.about());
                start.replacen('>', &format!(" xmlns:decap=\"{}\">", marker::NAMESPACE), 1)
            }
            None => start_of_plain(&self.about()),
        };
        format!("{start}{content}</rdf:Description>\n")
    }

    /// What others have put into decap's own resource.
    fn of_others(&self, own: Node<'a, 'a>) -> String {
        let is_caption = |child: &Node<'_, '_>| {
            let fields = [Field::Description, Field::AltText];
            fields
                .iter()
                .any(|&field| child.has_tag_name(name_of(field)))
        };
        let elements = own.children().filter(Node::is_element);
        let others = elements.filter(|child| !is_caption(child));
        others.map(|child| &self.text[child.range()]).collect()
    }

    /// The change to a caption where it stands.
    fn edit(&self, field: Field, property: &Property<'a>, want: &Want) -> Option<Edit> {
        match want {
            Want::Keep => None,
            Want::Text(_) | Want::Former { .. } => Some(self.with_words(field, property, want)),
            Want::Remove => Some(self.without(property)),
        }
    }

    /// A caption in decap's own resource, as it is to stand there.
    fn carried(&self, field: Field, property: &Property<'a>, want: &Want) -> String {
        let Property::Element(element) = property else {
            return String::new();
        };
        let raw = &self.text[element.range()];
        let is_plain = match holder(*element) {
            Holder::In(node) => raw == element_of(field, &escaped(&text_in(node))),
            Holder::None | Holder::Odd => false,
        };
        if is_plain && *want != Want::Keep {
            return want.element(field);
        }
        let Some((range, new)) = self.edit(field, property, want) else {
            return raw.to_owned();
        };
        // Others have added languages.
        let start = element.range().start;
        let within = range.start.saturating_sub(start)..range.end.saturating_sub(start);
        applied(raw, vec![(within, new)]).unwrap_or_else(|_| raw.to_owned())
    }

    /// Puts words in the place of a caption's text.
    fn with_words(&self, field: Field, property: &Property<'a>, want: &Want) -> Edit {
        match property {
            Property::Attribute(attribute) => (self.value_of(attribute), want.attribute()),
            Property::Element(element) => match holder(*element) {
                Holder::In(node) => content_edit(self.text, node.range(), &want.content()),
                Holder::None | Holder::Odd => {
                    // Here the prefix may be another one.
                    let alternatives = format!("<rdf:Alt xmlns:rdf=\"{RDF}\">");
                    let new = want.element(field).replacen("<rdf:Alt>", &alternatives, 1);
                    (element.range(), new)
                }
            },
        }
    }

    /// Where the value of an attribute stands, within its quotes.
    fn value_of(&self, attribute: &Attribute<'a, 'a>) -> Range<usize> {
        let range = attribute.range();
        let quote = self.text[range.clone()].find(['"', '\'']);
        range.start + quote.unwrap_or(0) + 1..range.end.saturating_sub(1)
    }

    /// How the text of a caption is written, where that is not how decap would write it.
    fn source(&self, field: Field) -> Option<String> {
        let (_, property) = self.caption(field)?;
        let (range, usual) = match &property {
            Property::Attribute(attribute) => (
                self.value_of(attribute),
                escaped_attribute(attribute.value()),
            ),
            Property::Element(element) => match holder(*element) {
                Holder::In(node) => {
                    let (range, _) = content_edit(self.text, node.range(), "");
                    (range, escaped(&text_in(node)))
                }
                Holder::None | Holder::Odd => return None,
            },
        };
        let source = self.text.get(range)?;
        // Other markup than references to letters comes back as plain text.
        let is_kept = source != usual && !source.contains(['<', '>']);
        is_kept.then(|| source.to_owned())
    }

    /// Takes a property away, and the white space before it; of a caption in several languages the
    /// default one alone.
    fn without(&self, property: &Property<'a>) -> Edit {
        match property {
            Property::Attribute(attribute) => self.without_range(attribute.range()),
            Property::Element(element) => match holder(*element) {
                Holder::In(node) if node != *element && siblings(node) > 1 => {
                    self.without_node(node)
                }
                _ => self.without_node(*element),
            },
        }
    }

    fn without_node(&self, node: Node<'a, 'a>) -> Edit {
        self.without_range(node.range())
    }

    fn without_range(&self, range: Range<usize>) -> Edit {
        let before = self.text[..range.start].trim_end_matches([' ', '\t', '\r', '\n']);
        (before.len()..range.end, String::new())
    }

    /// Puts a resource behind the others.
    fn added(&self, resource: &str) -> Edit {
        let range = self.rdf.range();
        let raw = &self.text[range.clone()];
        match raw.strip_suffix("/>") {
            Some(start) => {
                let at = range.start + start.len();
                let name = tag_name(raw);
                (at..range.end, format!(">{resource}</{name}>"))
            }
            None => {
                let at = range.start + raw.rfind("</").unwrap_or(raw.len());
                (at..at, resource.to_owned())
            }
        }
    }
}

/// Whether nothing is left in a resource of which something is to go.
fn is_emptied(resource: Node<'_, '_>, wanted: &Wanted) -> bool {
    let goes = |namespace: Option<&str>, name: &str| {
        let is = |field| (namespace, name) == (Some(name_of(field).0), name_of(field).1);
        namespace == Some(marker::NAMESPACE)
            || is(Field::Description) && wanted.description == Want::Remove
            || is(Field::AltText) && wanted.alt_text == Want::Remove
    };
    let attributes = resource
        .attributes()
        .filter(|it| it.name() != "about")
        .map(|it| (it.namespace(), it.name()));
    let elements = resource.children().filter(Node::is_element);
    let elements = elements.map(|it| (it.tag_name().namespace(), it.tag_name().name()));
    let mut properties = attributes.chain(elements).peekable();
    properties.peek().is_some() && properties.all(|(namespace, name)| goes(namespace, name))
}

/// The element whose text a caption is.
enum Holder<'a> {
    /// There is none.
    None,
    /// It is of a form that is left alone.
    Odd,
    /// This one.
    In(Node<'a, 'a>),
}

/// A caption has a text for each of several languages, `x-default` among them; some writers give a text
/// alone.
fn holder<'a>(element: Node<'a, 'a>) -> Holder<'a> {
    let Some(child) = element.first_element_child() else {
        return match text_in(element).trim().is_empty() {
            true => Holder::None,
            false => Holder::In(element),
        };
    };
    let is_container = ["Alt", "Seq", "Bag"]
        .iter()
        .any(|name| child.has_tag_name((RDF, *name)));
    if !is_container || child.next_sibling_element().is_some() {
        return Holder::Odd;
    }
    let items = || child.children().filter(|it| it.has_tag_name((RDF, "li")));
    let default = items().find(|item| item.attribute((XML, "lang")) == Some("x-default"));
    match default.or_else(|| items().next()) {
        None => Holder::None,
        Some(item) if item.first_element_child().is_some() => Holder::Odd,
        Some(item) => Holder::In(item),
    }
}

fn siblings(node: Node<'_, '_>) -> usize {
    let parent = node.parent();
    parent.map_or(0, |parent| {
        parent.children().filter(Node::is_element).count()
    })
}

/// The text of an element, whatever comments stand in it.
fn text_in(node: Node<'_, '_>) -> String {
    let texts = node.children().filter(Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}

/// Puts `words`, escaped, in the place of all that the element at `range` holds.
fn content_edit(text: &str, range: Range<usize>, words: &str) -> Edit {
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
fn tag_name(raw: &str) -> &str {
    let name = raw.strip_prefix('<').unwrap_or(raw);
    let end = name.find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '>'));
    &name[..end.unwrap_or(name.len())]
}

fn name_of(field: Field) -> (&'static str, &'static str) {
    match field {
        Field::AltText => (IPTC_CORE, "AltTextAccessibility"),
        _ => (DC, "description"),
    }
}

/// A caption as decap writes it, of words that are escaped.
fn element_of(field: Field, words: &str) -> String {
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

fn start_of_own(marker: &Marker, about: &str) -> String {
    let mut start = start_of_plain(about);
    start.pop();
    start += &format!(" xmlns:decap=\"{}\"", marker::NAMESPACE);
    for (name, value) in marker.properties() {
        start += &format!(" decap:{name}=\"{}\"", escaped_attribute(&value));
    }
    start.push('>');
    start
}

fn start_of_plain(about: &str) -> String {
    let about = escaped_attribute(about);
    format!("<rdf:Description xmlns:rdf=\"{RDF}\" rdf:about=\"{about}\">")
}

/// `text` as an element's content.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('\r', "&#13;")
}

/// `text` as an attribute's value, in which white space would become spaces.
fn escaped_attribute(text: &str) -> String {
    let text = escaped(text).replace('"', "&quot;").replace('\'', "&apos;");
    text.replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests;
