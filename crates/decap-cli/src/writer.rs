//! Captions that go into photos and beside them: `caption --write`, and `write`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use decap::Result;
use decap_sources::metadata::{CaptionToWrite, Field, Outcome};
use decap_sources::sidecar::{TextSidecars, TextToWrite};
use decap_sources::wording::cut_at_word;
use decap_sources::{Effect, Existing, FileStamp, PlaceOptions, write_to};

use crate::args::{PlaceArgs, WriteArg};
use crate::name;
use crate::print;

/// Readers of screens stop at about this many characters.
const ALT_TEXT_CHARS: usize = 125;

/// Writes captions.
pub struct Writer {
    fields: Vec<Field>,
    /// The ending of text files, where they are asked for.
    extension: Option<String>,
    existing: Existing,
    alt_text_chars: usize,
    place: PlaceOptions,
    model: String,
    run: String,
    by_hand: bool,
    texts: TextSidecars,
    stamps: Stamps,
    /// Files of this run: a link may lead to one once more.
    done: HashSet<PathBuf>,
    counts: Counts,
}

/// Whose words are written.
pub struct Words<'w> {
    /// The model's name.
    pub model: &'w str,
    /// The key of the run that made them.
    pub run: &'w str,
    /// Whether a person chose them.
    pub by_hand: bool,
}

/// How many photos there are of each outcome.
#[derive(Default)]
struct Counts {
    written: usize,
    had_it: usize,
    kept: usize,
    /// By the place that they lack.
    no_place: BTreeMap<&'static str, usize>,
}

/// The stamps of photos that are being captioned, in their order.
#[derive(Clone, Default)]
pub struct Stamps(Arc<Mutex<VecDeque<Option<FileStamp>>>>);

/// What was written of a caption.
#[derive(Debug, Default)]
pub struct Written {
    /// Places that have the caption, by their names in `--json`.
    pub written: Vec<&'static str>,
    /// Places that keep another text.
    pub kept: Vec<&'static str>,
    /// Places that the photo does not have.
    no_place: Vec<&'static str>,
    /// Files that change, but for the photo itself.
    beside: Vec<PathBuf>,
    has_changed: bool,
}

impl Stamps {
    /// Notes how the photo is before it is read.
    pub fn take(&self, path: &Path) {
        let stamp = FileStamp::of(path).ok();
        let mut stamps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.push_back(stamp);
    }
}

impl Writer {
    /// What was typed; nothing where nothing is to be written.
    pub fn of(typed: &PlaceArgs, file_bytes: u64, words: Words<'_>) -> Option<Self> {
        let has = |place| typed.write.contains(&place);
        let mut fields = Vec::new();
        if [WriteArg::Xmp, WriteArg::Iptc, WriteArg::Exif]
            .into_iter()
            .any(has)
        {
            fields.push(Field::Description);
        }
        if typed.alt_text {
            fields.push(Field::AltText);
        }
        if has(WriteArg::Iptc) {
            fields.push(Field::Iptc);
        }
        if has(WriteArg::Exif) {
            fields.push(Field::Exif);
        }
        (!typed.write.is_empty()).then(|| Self {
            fields,
            extension: has(WriteArg::Sidecar).then(|| typed.extension.clone()),
            existing: typed.existing.existing(),
            alt_text_chars: typed.max_chars.unwrap_or(ALT_TEXT_CHARS),
            place: PlaceOptions {
                file_bytes,
                times: typed.times(),
                xmp_name: typed.sidecar_name.xmp_name(),
                effect: typed.effect(),
            },
            model: words.model.to_owned(),
            run: words.run.to_owned(),
            by_hand: words.by_hand,
            texts: TextSidecars::default(),
            stamps: Stamps::default(),
            done: HashSet::new(),
            counts: Counts::default(),
        })
    }

    /// Whether nothing is written.
    pub fn pretends(&self) -> bool {
        self.place.effect == Effect::Pretend
    }

    /// Where the stamps of photos are noted.
    pub fn stamps(&self) -> Stamps {
        self.stamps.clone()
    }

    /// The stamp of the photo whose turn it is.
    pub fn next_stamp(&self) -> Option<FileStamp> {
        let mut stamps = self.stamps.0.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.pop_front().flatten()
    }

    /// Writes the caption of a photo that had this stamp before it was read.
    ///
    /// # Errors
    /// As [`write_to`] and [`TextSidecars::write`].
    pub fn write(&mut self, photo: &Path, stamp: Option<FileStamp>, text: &str) -> Result<Written> {
        let mut written = Written::default();
        if !self.fields.is_empty() {
            let caption = CaptionToWrite {
                text,
                alt_text: cut_at_word(text, self.alt_text_chars),
                fields: &self.fields,
                existing: self.existing,
                model: &self.model,
                run: &self.run,
                by_hand: self.by_hand,
            };
            let file = fs::canonicalize(photo).unwrap_or_else(|_| photo.to_path_buf());
            let stamp = stamp.filter(|_| !self.done.contains(&file));
            let outcome = write_to(photo, stamp.as_ref(), &caption, &self.place)?;
            for (field, outcome) in &outcome.fields {
                written.note(field_name(*field), *outcome);
            }
            written.has_changed |= outcome.has_changed;
            if outcome.has_changed && outcome.path != photo {
                written.beside.push(outcome.path);
            } else if outcome.has_changed {
                self.done.insert(file);
            }
        }
        if let Some(extension) = &self.extension {
            let caption = TextToWrite {
                text,
                extension,
                existing: self.existing,
                model: &self.model,
                run: &self.run,
                by_hand: self.by_hand,
            };
            let outcome = self.texts.write(photo, &caption, self.place.effect)?;
            written.note("sidecar", outcome.outcome);
            written.has_changed |= outcome.has_changed;
            if outcome.has_changed {
                written.beside.push(outcome.path);
            }
        }
        self.counts.add(&written);
        Ok(written)
    }

    /// Tells how many photos have changed.
    pub fn tell(&self) {
        let would = if self.pretends() {
            "would write"
        } else {
            "wrote"
        };
        let counts = &self.counts;
        let mut parts = vec![format!("{would} captions of {}", photos(counts.written))];
        if counts.had_it > 0 {
            parts.push(format!("{} had theirs already", photos(counts.had_it)));
        }
        if counts.kept > 0 {
            parts.push(format!(
                "left {} with other captions alone",
                photos(counts.kept)
            ));
        }
        for (place, count) in &counts.no_place {
            parts.push(format!("found no place for {place} in {}", photos(*count)));
        }
        print::tell(parts.join("; "));
    }
}

/// So many photos, in words.
fn photos(count: usize) -> String {
    match count {
        1 => "1 photo".to_owned(),
        count => format!("{count} photos"),
    }
}

impl Counts {
    fn add(&mut self, written: &Written) {
        match (written.has_changed, written.kept.is_empty()) {
            (true, _) => self.written += 1,
            (false, true) => self.had_it += 1,
            (false, false) => self.kept += 1,
        }
        for place in &written.no_place {
            *self.no_place.entry(place).or_default() += 1;
        }
    }
}

impl Written {
    fn note(&mut self, place: &'static str, outcome: Outcome) {
        match outcome {
            Outcome::Written => self.written.push(place),
            Outcome::NoPlace => self.no_place.push(place),
            Outcome::Kept | Outcome::Undone | Outcome::Edited => self.kept.push(place),
        }
    }

    /// What would be written, for a person.
    pub fn plan(&self) -> String {
        let mut parts = Vec::new();
        if self.has_changed {
            parts.push(format!("would write {}", self.written.join(", ")));
        } else if !self.written.is_empty() {
            parts.push(format!("has {}", self.written.join(", ")));
        }
        if !self.beside.is_empty() {
            let beside: Vec<String> = self.beside.iter().map(|path| name::of(path)).collect();
            parts.push(format!("in {}", beside.join(", ")));
        }
        if !self.kept.is_empty() {
            parts.push(format!("would keep {}", self.kept.join(", ")));
        }
        if !self.no_place.is_empty() {
            parts.push(format!("has no place for {}", self.no_place.join(", ")));
        }
        parts.join("; ")
    }
}

/// A field's name in `--json`.
pub fn field_name(field: Field) -> &'static str {
    match field {
        Field::Description => "xmp",
        Field::AltText => "alt_text",
        Field::Iptc => "iptc",
        Field::Exif => "exif",
    }
}
