//! A packet, and where in its text things are.

use std::ops::Range;

use decap::InputFault;
use roxmltree::{Attribute, Document, Node};

use super::writing::{content_edit, escaped, escaped_attribute, name_of, start_of_own};
use super::{RDF, Words, XML};
use crate::metadata::Field;
use crate::metadata::blocks::damaged;
use crate::metadata::marker::{self, Marker};

/// A packet, and where in its text things are.
pub(super) struct Packet<'a> {
    pub(super) text: &'a str,
    pub(super) rdf: Node<'a, 'a>,
}

/// A property: an element, or an attribute for short.
pub(super) enum Property<'a> {
    Element(Node<'a, 'a>),
    Attribute(Attribute<'a, 'a>),
}

impl<'a> Packet<'a> {
    pub(super) fn of(text: &'a str, document: &'a Document<'a>) -> Result<Self, InputFault> {
        let mut nodes = document.descendants();
        let rdf = nodes.find(|node| node.has_tag_name((RDF, "RDF")));
        let rdf = rdf.ok_or_else(|| damaged("expected RDF in the XMP, got none"))?;
        Ok(Self { text, rdf })
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = Node<'a, 'a>> + use<'a> {
        let children = self.rdf.children();
        children.filter(|node| node.has_tag_name((RDF, "Description")))
    }

    /// A property, and the resource that has it.
    pub(super) fn property(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<(Node<'a, 'a>, Property<'a>)> {
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

    pub(super) fn caption(&self, field: Field) -> Option<(Node<'a, 'a>, Property<'a>)> {
        let (namespace, name) = name_of(field);
        self.property(namespace, name)
    }

    pub(super) fn words(&self, field: Field) -> Words {
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

    pub(super) fn marker(&self) -> Option<Marker> {
        Marker::read(|name| match self.property(marker::NAMESPACE, name)?.1 {
            Property::Attribute(attribute) => Some(attribute.value().to_owned()),
            Property::Element(element) => Some(text_in(element)),
        })
    }

    /// The resource that decap wrote, where it begins as decap writes it.
    pub(super) fn own(&self, marker: Option<&Marker>) -> Option<Node<'a, 'a>> {
        let start = start_of_own(marker?, &self.about());
        self.resources()
            .find(|resource| self.text[resource.range()].starts_with(&start))
    }

    /// What the packet is about, which all of its resources must say.
    pub(super) fn about(&self) -> String {
        let about = self.resources().next().and_then(|resource| {
            let named = resource.attribute((RDF, "about"));
            named.or_else(|| resource.attribute("about"))
        });
        about.unwrap_or_default().to_owned()
    }

    /// Where the value of an attribute stands, within its quotes.
    pub(super) fn value_of(&self, attribute: &Attribute<'a, 'a>) -> Range<usize> {
        let range = attribute.range();
        let quote = self.text[range.clone()].find(['"', '\'']);
        range.start + quote.unwrap_or(0) + 1..range.end.saturating_sub(1)
    }

    /// How the text of a caption is written, where that is not how decap would write it.
    pub(super) fn source(&self, field: Field) -> Option<String> {
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
}

/// The element whose text a caption is.
pub(super) enum Holder<'a> {
    /// There is none.
    None,
    /// It is of a form that is left alone.
    Odd,
    /// This one.
    In(Node<'a, 'a>),
}

/// A caption has a text for each of several languages, `x-default` among them; some writers give a text
/// alone.
pub(super) fn holder<'a>(element: Node<'a, 'a>) -> Holder<'a> {
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

pub(super) fn siblings(node: Node<'_, '_>) -> usize {
    let parent = node.parent();
    parent.map_or(0, |parent| {
        parent.children().filter(Node::is_element).count()
    })
}

/// The text of an element, whatever comments stand in it.
pub(super) fn text_in(node: Node<'_, '_>) -> String {
    let texts = node.children().filter(Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}
