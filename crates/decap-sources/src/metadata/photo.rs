//! A photo's metadata, read and written by field.

use decap::InputFault;

use super::blocks::{Blocks, Change, Changes, ExtendedHeader};
use super::container::Container;
use super::iptc::{self, CharacterSet};
use super::marker::{self, Marker};
use super::tiff_block::{self, TiffBlock};
use super::xmp::{self, Said, Want, Wanted, Words};
use super::{CaptionToWrite, EditedPhoto, Field, FoundCaption, Outcome};
use crate::whose::{Author, Existing, Trace, decide};

/// A photo's bytes and what they say.
pub(super) struct Photo<'a> {
    bytes: &'a [u8],
    container: Container,
    blocks: Blocks<'a>,
    said: Said,
    /// The texts of IPTC and EXIF as they stand there; EXIF's with its end.
    iptc: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
    date_time_original: Option<Vec<u8>>,
    /// Whether a packet that is left alone describes the photo.
    has_other_packet: bool,
}

impl<'a> Photo<'a> {
    pub(super) fn open(container: Container, bytes: &'a [u8]) -> Result<Self, InputFault> {
        let mut blocks = container.blocks(bytes)?;
        let said = match &blocks.xmp {
            Some(packet) => xmp::read(packet)?,
            None => Said::default(),
        };
        let iptc = blocks.iptc.as_deref().and_then(iptc::caption);
        let iptc = iptc.map(<[u8]>::to_vec);
        let mut photo = Self {
            bytes,
            container,
            said,
            iptc,
            exif: None,
            date_time_original: None,
            has_other_packet: false,
            blocks: Blocks::default(),
        };
        if let Some(block) = blocks.exif {
            match TiffBlock::read(block) {
                Ok(block) => {
                    let exif = block.value(tiff_block::tag::IMAGE_DESCRIPTION);
                    photo.exif = exif.map(<[u8]>::to_vec);
                    photo.date_time_original = block.date_time_original().map(<[u8]>::to_vec);
                }
                // A photo with broken EXIF still has a place for XMP.
                Err(_) => blocks.is_exif_closed = true,
            }
        }
        // A broken one has no words that any program would show.
        photo.has_other_packet = blocks
            .other_xmp
            .iter()
            .any(|packet| xmp::read(packet).is_ok_and(|said| said.description != Words::Absent));
        photo.blocks = blocks;
        Ok(photo)
    }

    pub(super) fn found(&self) -> FoundCaption {
        let lossy = |text: &Option<Vec<u8>>| {
            let text = text.as_deref().map(without_end);
            text.map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let by_decap = Field::ALL.into_iter();
        let by_decap = by_decap.filter(|&field| self.author(field, false) == Author::Decap);
        let marker = self.said.marker.as_ref();
        FoundCaption {
            description: self.said.description.text().map(str::to_owned),
            alt_text: self.said.alt_text.text().map(str::to_owned),
            iptc: lossy(&self.iptc),
            exif: lossy(&self.exif),
            by_decap: by_decap.collect(),
            model: marker.map(|marker| marker.model.clone()),
            run: marker.map(|marker| marker.run.clone()),
            date_time_original: lossy(&self.date_time_original),
        }
    }

    /// The text of a field, without the end that EXIF's have.
    fn text(&self, field: Field) -> Option<&[u8]> {
        match field {
            Field::Description => self.said.description.text().map(str::as_bytes),
            Field::AltText => self.said.alt_text.text().map(str::as_bytes),
            Field::Iptc => self.iptc.as_deref(),
            Field::Exif => self.exif.as_deref().map(without_end),
        }
    }

    fn trace(&self, field: Field) -> Option<&Trace> {
        self.said.marker.as_ref()?.trace(field)
    }

    /// Whose words a field has, for somebody who writes such as were chosen by hand, or others.
    fn author(&self, field: Field, by_hand: bool) -> Author {
        let is_odd = match field {
            Field::Description => self.said.description == Words::Odd,
            Field::AltText => self.said.alt_text == Words::Odd,
            // Cameras write their own names there.
            Field::Exif if self.text(field).is_some_and(is_stock) => return Author::Nobody,
            Field::Iptc | Field::Exif => false,
        };
        match is_odd {
            true => Author::Person,
            false => Author::for_writer(self.text(field), self.trace(field), by_hand),
        }
    }

    /// Whether the photo has a caption, in whatever field, that `existing` leaves alone.
    fn is_described(&self, existing: Existing, by_hand: bool) -> bool {
        let has = |author: Author| {
            let captions = [Field::Description, Field::Iptc, Field::Exif];
            captions
                .iter()
                .any(|&field| self.author(field, by_hand) == author)
        };
        match existing {
            Existing::Skip => {
                has(Author::Person) || has(Author::Decap) || self.blocks.has_other_description
            }
            Existing::Ours => has(Author::Person) || self.blocks.has_other_description,
            Existing::Append | Existing::Prepend | Existing::Overwrite => false,
        }
    }

    pub(super) fn write(&self, caption: &CaptionToWrite<'_>) -> Result<EditedPhoto, InputFault> {
        let mut marker = self.said.marker.clone().unwrap_or_default();
        let (mut wanted, mut changes) = (Wanted::default(), Changes::default());
        let mut outcomes = Vec::new();
        let text = clean(caption.text);
        let alt_text = clean(caption.alt_text);
        let is_described =
            self.is_described(caption.existing, caption.by_hand) || self.has_other_packet;
        for &field in caption.fields {
            let words = match field {
                Field::AltText => alt_text.as_str(),
                Field::Iptc => crate::wording::cut_to_bytes(&text, iptc::LONGEST_CAPTION),
                Field::Description | Field::Exif => text.as_str(),
            };
            let outcome = match self.decide(field, caption, words, is_described) {
                Err(outcome) => outcome,
                Ok((text, trace)) => {
                    match field {
                        Field::Description => wanted.description = text_wanted(Some(text))?,
                        Field::AltText => wanted.alt_text = text_wanted(Some(text))?,
                        Field::Iptc => {
                            let datasets = self.blocks.iptc.as_deref();
                            let (datasets, set) = iptc::with_caption(datasets, &text);
                            if set == CharacterSet::Ours {
                                marker.add(marker::IPTC_CHARACTER_SET);
                            }
                            changes.iptc = Change::Set(datasets);
                        }
                        // A text in EXIF ends in a zero.
                        Field::Exif => {
                            changes.description = Some(Some([&text[..], b"\0"].concat()));
                        }
                    }
                    marker.remember(field, trace);
                    Outcome::Written
                }
            };
            outcomes.push((field, outcome));
        }
        if outcomes
            .iter()
            .all(|(_, outcome)| *outcome != Outcome::Written)
        {
            return Ok(EditedPhoto {
                bytes: None,
                outcomes,
            });
        }
        let is_new = |(field, outcome): &(Field, Outcome)| {
            *outcome == Outcome::Written && self.trace(*field) != marker.trace(*field)
        };
        if outcomes.iter().any(is_new) || self.said.marker.is_none() {
            marker.model = clean(caption.model);
            marker.run = clean(caption.run);
        }
        self.rewritten(wanted, changes, Some(marker), outcomes)
    }

    /// The text for a field and what to remember of it, or why there is none.
    fn decide(
        &self,
        field: Field,
        caption: &CaptionToWrite<'_>,
        words: &str,
        is_described: bool,
    ) -> Result<(Vec<u8>, Trace), Outcome> {
        let has_place = match field {
            Field::Description | Field::AltText => true,
            Field::Iptc => self.blocks.has_place_for_iptc,
            Field::Exif => !self.blocks.is_exif_closed,
        };
        if !has_place {
            return Err(Outcome::NoPlace);
        }
        let author = self.author(field, caption.by_hand);
        let is_odd = author == Author::Person && self.text(field).is_none();
        // No words are no caption.
        if words.is_empty() || is_odd || field != Field::AltText && is_described {
            return Err(Outcome::Kept);
        }
        let current = self.text(field);
        let existing = match current {
            // What a camera wrote is nobody's words, but comes back all the same.
            Some(text) if field == Field::Exif && is_stock(text) => Existing::Overwrite,
            _ => caption.existing,
        };
        let trace = self.trace(field);
        let decided = decide(current, trace, existing, words.as_bytes(), caption.by_hand);
        let (text, mut trace) = decided.ok_or(Outcome::Kept)?;
        if author != Author::Decap {
            match field {
                Field::Description => trace.former_source = self.said.sources[0].clone(),
                Field::AltText => trace.former_source = self.said.sources[1].clone(),
                // However many zeros end it.
                Field::Exif => trace.former = self.exif.clone(),
                Field::Iptc => {}
            }
        }
        let is_taken = match field {
            Field::Iptc => iptc::takes(self.blocks.iptc.as_deref(), &text),
            // A person's words in another character set, and decap's, would be no text together.
            Field::Exif => words.is_ascii() || std::str::from_utf8(&text).is_ok(),
            Field::Description | Field::AltText => true,
        };
        match is_taken {
            true => Ok((text, trace)),
            false => Err(Outcome::NoPlace),
        }
    }

    pub(super) fn undo(&self) -> Result<EditedPhoto, InputFault> {
        let mut outcomes = Vec::new();
        let (mut wanted, mut changes) = (Wanted::default(), Changes::default());
        let marker = self.said.marker.clone().unwrap_or_default();
        for (field, trace) in &marker.traces {
            let outcome = match Author::of(self.text(*field), Some(trace)) {
                Author::Decap => {
                    let former = trace.former.clone();
                    match field {
                        Field::Description => wanted.description = former_wanted(trace)?,
                        Field::AltText => wanted.alt_text = former_wanted(trace)?,
                        Field::Iptc => {
                            let set = match marker.has_added(marker::IPTC_CHARACTER_SET) {
                                true => CharacterSet::Ours,
                                false => CharacterSet::Stays,
                            };
                            let datasets = self.blocks.iptc.as_deref().unwrap_or_default();
                            changes.iptc = iptc::with_former(datasets, former.as_deref(), set);
                        }
                        Field::Exif => changes.description = Some(former),
                    }
                    Outcome::Undone
                }
                Author::Person => Outcome::Edited,
                Author::Nobody => continue,
            };
            outcomes.push((*field, outcome));
        }
        if outcomes
            .iter()
            .all(|(_, outcome)| *outcome != Outcome::Undone)
        {
            return Ok(EditedPhoto {
                bytes: None,
                outcomes,
            });
        }
        if marker.has_added(marker::WEBP_HEADER) {
            changes.extended_header = ExtendedHeader::Ours;
        }
        self.rewritten(wanted, changes, None, outcomes)
    }

    fn rewritten(
        &self,
        wanted: Wanted,
        mut changes: Changes,
        mut marker: Option<Marker>,
        outcomes: Vec<(Field, Outcome)>,
    ) -> Result<EditedPhoto, InputFault> {
        if self.container == Container::WebP
            && self.bytes.get(12..16) != Some(b"VP8X")
            && let Some(marker) = &mut marker
        {
            marker.add(marker::WEBP_HEADER);
        }
        let wanted = Wanted { marker, ..wanted };
        changes.xmp = match xmp::rewrite(self.blocks.xmp.as_deref(), &wanted)? {
            Some(packet) => Change::Set(packet),
            None => Change::Remove,
        };
        if let (Some(description), false) = (
            &changes.description,
            self.container == Container::Tiff || self.container == Container::XmpFile,
        ) {
            let tags = [(tiff_block::tag::IMAGE_DESCRIPTION, description.clone())];
            changes.exif = match tiff_block::edit(self.blocks.exif, &tags)? {
                Some(block) => Change::Set(block),
                None => Change::Remove,
            };
        }
        let bytes = self.container.with(self.bytes, &changes)?;
        Ok(EditedPhoto {
            bytes: Some(bytes).filter(|bytes| bytes != self.bytes),
            outcomes,
        })
    }
}

/// What XMP is to say: this text, which is UTF-8 unless a hostile file says otherwise, or nothing.
fn text_wanted(text: Option<Vec<u8>>) -> Result<Want, InputFault> {
    let Some(text) = text else {
        return Ok(Want::Remove);
    };
    let text = String::from_utf8(text);
    text.map(Want::Text)
        .map_err(|_| InputFault::Damaged("expected text in the XMP".into()))
}

/// The text that XMP had before, as it was written.
fn former_wanted(trace: &Trace) -> Result<Want, InputFault> {
    match (text_wanted(trace.former.clone())?, &trace.former_source) {
        (Want::Text(text), Some(source)) if xmp::says(source, &text) => Ok(Want::Former {
            text,
            source: source.clone(),
        }),
        (want, _) => Ok(want),
    }
}

/// A text of EXIF up to the zeros that end it.
fn without_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte != 0);
    &text[..end.map_or(0, |end| end + 1)]
}

/// Whether a text is what cameras write where nobody described the photo.
fn is_stock(text: &[u8]) -> bool {
    const STOCK: [&str; 12] = [
        "olympus digital camera",
        "minolta digital camera",
        "konica minolta digital camera",
        "kodak digital still camera",
        "digital camera",
        "sony dsc",
        "dcim",
        "default",
        "image description",
        "exif_jpeg_picture",
        "maginon",
        "samsung",
    ];
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    STOCK.contains(&text.to_lowercase().as_str())
}

/// `text` without what XML cannot hold, and without white space around it.
fn clean(text: &str) -> String {
    let letter = |letter: char| match letter {
        '\n' => letter,
        '\u{FFFE}' | '\u{FFFF}' => char::REPLACEMENT_CHARACTER,
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.trim().chars().map(letter).collect()
}
