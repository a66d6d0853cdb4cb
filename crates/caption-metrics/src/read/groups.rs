//! References that come a caption or an image at a time.

use std::collections::{HashMap, HashSet};

use crate::captions::References;
use crate::error::Error;

/// Captions of one id together, in the order of the ids' first appearance.
#[derive(Default)]
pub(super) struct Groups {
    images: Vec<(String, Vec<String>)>,
    positions: HashMap<String, usize>,
    /// Images whose captions came all at once.
    whole: HashSet<usize>,
    duplicates: Vec<String>,
}

impl Groups {
    /// Adds one caption of several that an image may have.
    pub(super) fn add(&mut self, id: String, caption: String) {
        let (position, _) = self.position(&id);
        if self.whole.contains(&position) {
            self.duplicates.push(id);
        } else {
            self.images[position].1.push(caption);
        }
    }

    /// Adds all captions of an image: its id must not occur again.
    pub(super) fn add_whole(&mut self, id: String, captions: Vec<String>) {
        let (position, is_new) = self.position(&id);
        if is_new {
            self.images[position].1 = captions;
            self.whole.insert(position);
        } else {
            self.duplicates.push(id);
        }
    }

    /// Adds an image whose captions follow: its id must be new.
    pub(super) fn add_image(&mut self, id: String) {
        let (_, is_new) = self.position(&id);
        if !is_new {
            self.duplicates.push(id);
        }
    }

    /// Adds an image, if it is new, whose captions may stand elsewhere.
    pub(super) fn mention(&mut self, id: &str) {
        self.position(id);
    }

    /// The references.
    ///
    /// # Errors
    /// An id occurs twice where it must not, or an image has no caption.
    pub(super) fn into_references(mut self) -> Result<References, Error> {
        if self.duplicates.is_empty() {
            return References::new(self.images);
        }
        let mut seen = HashSet::new();
        self.duplicates.retain(|id| seen.insert(id.clone()));
        Err(Error::DuplicateIds(self.duplicates))
    }

    /// The image's place, and whether it is new.
    fn position(&mut self, id: &str) -> (usize, bool) {
        if let Some(&position) = self.positions.get(id) {
            return (position, false);
        }
        let position = self.images.len();
        self.positions.insert(id.to_owned(), position);
        self.images.push((id.to_owned(), Vec::new()));
        (position, true)
    }
}

/// Things with their place as id, from 1.
pub(super) fn numbered<T>(things: Vec<T>) -> impl Iterator<Item = (String, T)> {
    let things = things.into_iter().enumerate();
    things.map(|(index, thing)| ((index + 1).to_string(), thing))
}
