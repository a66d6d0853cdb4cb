//! The changes that make a packet say something else.

use std::ops::Range;

use roxmltree::Node;

use super::packet::{Holder, Packet, Property, holder, siblings, text_in};
use super::writing::{
    content_edit, element_of, escaped, escaped_attribute, name_of, start_of_own, start_of_plain,
    tag_name,
};
use super::{Edit, RDF, Want, Wanted, applied};
use crate::metadata::Field;
use crate::metadata::marker::{self, Marker};

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

impl<'a> Packet<'a> {
    /// The changes that make the packet say what is wanted.
    pub(super) fn edits(&self, wanted: &Wanted) -> Vec<Edit> {
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
