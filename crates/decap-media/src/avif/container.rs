//! AVIF's container: a picture is an item of the `meta` box, with data, properties and references to others
//! (ISO/IEC 14496-12, section 8.11; ISO/IEC 23008-12).

use std::borrow::Cow;
use std::ops::Range;

use crate::boxes::{boxes, first};

/// No photo has more items, nor an item more parts.
const MOST_ITEMS: usize = 4096;
const MOST_EXTENTS: usize = 4096;

/// The items of a file, over its bytes.
pub(super) struct Container<'a> {
    bytes: &'a [u8],
    /// What `idat` holds: small data within `meta`.
    inner: &'a [u8],
    primary: u32,
    kinds: Vec<(u32, [u8; 4])>,
    places: Vec<Place>,
    /// All properties; items name them by their numbers, which begin at one.
    properties: Vec<([u8; 4], &'a [u8])>,
    /// The properties of items, in the order in which they are applied.
    associations: Vec<(u32, Vec<usize>)>,
    /// The kind of a reference, from which item, to which items.
    references: Vec<([u8; 4], u32, Vec<u32>)>,
}

/// Where the data of an item is.
struct Place {
    item: u32,
    is_inner: bool,
    extents: Vec<Range<u64>>,
}

/// Numbers of several bytes, big-endian, one behind the other.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// The next, of at most eight bytes; of none it is zero.
    fn next(&mut self, bytes: usize) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(
            number
                .iter()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    }
}

impl<'a> Container<'a> {
    /// Reads the `meta` box; `None` where there is none, or it names no primary item.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let meta = first(bytes, b"meta")?.get(4..)?;
        let mut primary = Numbers(first(meta, b"pitm")?);
        let is_long = primary.next(4)? >> 24 > 0;
        let primary = primary.next(if is_long { 4 } else { 2 })? as u32;
        let mut container = Self {
            bytes,
            inner: first(meta, b"idat").unwrap_or_default(),
            primary,
            kinds: Vec::new(),
            places: Vec::new(),
            properties: Vec::new(),
            associations: Vec::new(),
            references: Vec::new(),
        };
        // What is broken gives what came before it.
        let _ = container.read_kinds(first(meta, b"iinf")?);
        let _ = container.read_places(first(meta, b"iloc")?);
        if let Some(references) = first(meta, b"iref") {
            let _ = container.read_references(references);
        }
        let properties = first(meta, b"iprp")?;
        let all = boxes(first(properties, b"ipco")?);
        container.properties = all.map(|it| (it.kind, it.content)).collect();
        for associations in boxes(properties).filter(|it| it.kind == *b"ipma") {
            let _ = container.read_associations(associations.content);
        }
        Some(container)
    }

    fn read_kinds(&mut self, content: &[u8]) -> Option<()> {
        let long_count = content.first()? > &0;
        let entries = content.get(if long_count { 8 } else { 6 }..)?;
        for entry in boxes(entries).take(MOST_ITEMS) {
            let mut numbers = Numbers(entry.content);
            let version = numbers.next(4)? >> 24;
            let id = numbers.next(if version < 3 { 2 } else { 4 })? as u32;
            numbers.next(2)?;
            let kind = *numbers.0.first_chunk::<4>()?;
            self.kinds.push((id, kind));
        }
        Some(())
    }

    fn read_places(&mut self, content: &[u8]) -> Option<()> {
        let mut numbers = Numbers(content);
        let version = numbers.next(4)? >> 24;
        let sizes = numbers.next(2)? as usize;
        let size = |shift: usize| sizes >> shift & 15;
        let (offset_bytes, length_bytes, base_bytes) = (size(12), size(8), size(4));
        let index_bytes = if version > 0 { size(0) } else { 0 };
        if [offset_bytes, length_bytes, base_bytes, index_bytes]
            .iter()
            .any(|size| *size > 8)
        {
            return None;
        }
        let id_bytes = if version < 2 { 2 } else { 4 };
        let count = numbers.next(id_bytes)?;
        for _ in 0..count.min(MOST_ITEMS as u64) {
            let item = numbers.next(id_bytes)? as u32;
            let method = if version > 0 {
                numbers.next(2)? & 15
            } else {
                0
            };
            numbers.next(2)?; // another file, which is none
            let base = numbers.next(base_bytes)?;
            let parts = numbers.next(2)? as usize;
            let mut extents = Vec::new();
            for _ in 0..parts.min(MOST_EXTENTS) {
                numbers.next(index_bytes)?;
                let start = base.checked_add(numbers.next(offset_bytes)?)?;
                let length = numbers.next(length_bytes)?;
                let end = match length {
                    0 => u64::MAX,
                    length => start.checked_add(length)?,
                };
                extents.push(start..end);
            }
            self.places.push(Place {
                item,
                is_inner: method == 1,
                extents,
            });
        }
        Some(())
    }

    fn read_references(&mut self, content: &[u8]) -> Option<()> {
        let id_bytes = if content.first()? > &0 { 4 } else { 2 };
        for reference in boxes(content.get(4..)?).take(MOST_ITEMS) {
            let mut numbers = Numbers(reference.content);
            let from = numbers.next(id_bytes)? as u32;
            let count = numbers.next(2)?;
            let mut to = Vec::new();
            for _ in 0..count {
                to.push(numbers.next(id_bytes)? as u32);
            }
            self.references.push((reference.kind, from, to));
        }
        Some(())
    }

    fn read_associations(&mut self, content: &[u8]) -> Option<()> {
        let mut numbers = Numbers(content);
        let head = numbers.next(4)?;
        let (version, is_long) = (head >> 24, head & 1 == 1);
        let count = numbers.next(4)?;
        for _ in 0..count.min(MOST_ITEMS as u64) {
            let item = numbers.next(if version < 1 { 2 } else { 4 })? as u32;
            let mut indexes = Vec::new();
            for _ in 0..numbers.next(1)? {
                // The highest bit says that the property must be understood.
                indexes.push(match is_long {
                    true => numbers.next(2)? & 0x7FFF,
                    false => numbers.next(1)? & 0x7F,
                } as usize);
            }
            self.associations.push((item, indexes));
        }
        Some(())
    }

    /// The item that is the picture.
    pub(super) fn primary(&self) -> u32 {
        self.primary
    }

    pub(super) fn kind(&self, item: u32) -> Option<[u8; 4]> {
        let found = self.kinds.iter().find(|(id, _)| *id == item);
        found.map(|(_, kind)| *kind)
    }

    /// The data of an item, its parts joined; `None` where some of it lies beyond the end of the file.
    pub(super) fn data(&self, item: u32) -> Option<Cow<'a, [u8]>> {
        let place = self.places.iter().find(|place| place.item == item)?;
        let source = if place.is_inner {
            self.inner
        } else {
            self.bytes
        };
        let part = |range: &Range<u64>| {
            let start = usize::try_from(range.start).ok()?;
            match range.end {
                u64::MAX => source.get(start..),
                end => source.get(start..usize::try_from(end).ok()?),
            }
        };
        if let [only] = &place.extents[..] {
            return part(only).map(Cow::Borrowed);
        }
        let mut data = Vec::new();
        for range in &place.extents {
            let part = part(range)?;
            // Parts may overlap: together they are no more than the file.
            if data.len() + part.len() > source.len() {
                return None;
            }
            data.extend_from_slice(part);
        }
        Some(Cow::Owned(data))
    }

    /// The properties of an item, in their order.
    pub(super) fn properties(&self, item: u32) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
        self.associations
            .iter()
            .filter(move |(id, _)| *id == item)
            .flat_map(|(_, indexes)| indexes)
            .filter_map(|index| self.properties.get(index.checked_sub(1)?))
            .copied()
    }

    /// The first property of a kind.
    pub(super) fn property(&self, item: u32, kind: &[u8; 4]) -> Option<&'a [u8]> {
        let mut properties = self.properties(item);
        properties.find(|it| it.0 == *kind).map(|it| it.1)
    }

    /// The items that `item` names by a reference of a kind.
    pub(super) fn named_by(&self, item: u32, kind: &[u8; 4]) -> &[u32] {
        let mut references = self.references.iter();
        let found = references.find(|it| it.0 == *kind && it.1 == item);
        found.map_or(&[], |it| &it.2)
    }

    /// The items that name `item` by a reference of a kind.
    pub(super) fn naming(&self, item: u32, kind: &[u8; 4]) -> impl Iterator<Item = u32> {
        let references = self.references.iter();
        references
            .filter(move |it| it.0 == *kind && it.2.contains(&item))
            .map(|it| it.1)
    }

    /// Width and height of an item, as its `ispe` property tells.
    pub(super) fn size(&self, item: u32) -> Option<(u32, u32)> {
        let mut numbers = Numbers(self.property(item, b"ispe")?.get(4..)?);
        Some((numbers.next(4)? as u32, numbers.next(4)? as u32))
    }
}

/// How a grid puts tiles together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Grid {
    /// Of the data of a `grid` item (ISO/IEC 23008-12, section 6.6.2.3).
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let mut numbers = Numbers(data);
        let is_long = numbers.next(2)? & 1 == 1;
        let (rows, columns) = (numbers.next(1)? + 1, numbers.next(1)? + 1);
        let edge_bytes = if is_long { 4 } else { 2 };
        Some(Self {
            rows: rows as usize,
            columns: columns as usize,
            width: numbers.next(edge_bytes)? as u32,
            height: numbers.next(edge_bytes)? as u32,
        })
    }
}
