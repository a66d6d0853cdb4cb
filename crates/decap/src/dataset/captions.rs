//! The captions of a file and the pictures or videos that they belong to.

use std::collections::HashMap;

use super::{CaptionFormat, MAX_CAPTION_BYTES};

/// Captions of one file, in the file's order, with the pictures or videos they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    format: CaptionFormat,
    texts: Vec<String>,
    /// Index into `images` of each text, or `NO_IMAGE`.
    image_of_text: Vec<u32>,
    images: Vec<CaptionedImage>,
}

/// A picture or video that a caption file speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptionedImage {
    /// The file's own identifier, as text (`"391895"`, `"1000092795.jpg"`, `"video7010"`).
    pub id: String,
    /// Path or URL as the file gives it, relative to where the data set keeps its pictures.
    pub path: Option<String>,
    /// `train`, `val`, `test`, `restval`, ... where the file says so.
    pub split: Option<String>,
    /// nocaps: `in-domain`, `near-domain` or `out-domain`.
    pub domain: Option<String>,
}

const NO_IMAGE: u32 = u32::MAX;

impl Captions {
    fn new(format: CaptionFormat) -> Self {
        Self {
            format,
            texts: Vec::new(),
            image_of_text: Vec::new(),
            images: Vec::new(),
        }
    }

    /// Which shape the file had.
    pub fn format(&self) -> CaptionFormat {
        self.format
    }

    /// The captions in the file's order, trimmed, never empty.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The captions alone.
    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }

    /// How many captions there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no caption.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The pictures or videos in the order of their first mention; empty where the format has none.
    pub fn images(&self) -> &[CaptionedImage] {
        &self.images
    }

    /// The picture or video of caption `index`, where the format names one.
    pub fn image_of(&self, index: usize) -> Option<&CaptionedImage> {
        let image = *self.image_of_text.get(index)?;
        self.images.get(image as usize)
    }

    /// Each picture or video with all of its captions, in the order of first mention.
    pub fn by_image(&self) -> Vec<(&CaptionedImage, Vec<&str>)> {
        let mut groups: Vec<_> = self
            .images
            .iter()
            .map(|image| (image, Vec::new()))
            .collect();
        for (text, &image) in self.texts.iter().zip(&self.image_of_text) {
            if let Some((_, captions)) = groups.get_mut(image as usize) {
                captions.push(text.as_str());
            }
        }
        groups
    }

    /// The distinct split names, in the order of first mention.
    pub fn splits(&self) -> Vec<&str> {
        let mut splits = Vec::new();
        for split in self
            .images
            .iter()
            .filter_map(|image| image.split.as_deref())
        {
            if !splits.contains(&split) {
                splits.push(split);
            }
        }
        splits
    }

    /// The captions whose picture lies in one of `splits` (Karpathy training is
    /// `["train", "restval"]`).
    #[must_use]
    pub fn in_splits(&self, splits: &[&str]) -> Self {
        self.filter(|image| {
            image
                .split
                .as_deref()
                .is_some_and(|split| splits.contains(&split))
        })
    }

    /// The captions whose picture lies in nocaps' `domain`.
    #[must_use]
    pub fn in_domain(&self, domain: &str) -> Self {
        self.filter(|image| image.domain.as_deref() == Some(domain))
    }

    fn filter(&self, keep: impl Fn(&CaptionedImage) -> bool) -> Self {
        let mut kept = Self::new(self.format);
        let mut new_index = vec![NO_IMAGE; self.images.len()];
        for (image, index) in self.images.iter().zip(&mut new_index) {
            if keep(image) {
                // No overflow: `kept` has at most as many images as `self`.
                *index = kept.images.len() as u32;
                kept.images.push(image.clone());
            }
        }
        for (text, &image) in self.texts.iter().zip(&self.image_of_text) {
            let Some(&image) = new_index.get(image as usize) else {
                continue;
            };
            if image != NO_IMAGE {
                kept.texts.push(text.clone());
                kept.image_of_text.push(image);
            }
        }
        kept
    }
}

/// Collects rows while it keeps one entry for each picture.
pub(super) struct Collector {
    pub(super) captions: Captions,
    index_of_id: HashMap<String, u32>,
}

impl Collector {
    pub(super) fn new(format: CaptionFormat) -> Self {
        Self {
            captions: Captions::new(format),
            index_of_id: HashMap::new(),
        }
    }

    /// Adds a picture, or returns the index of the one with the same identifier.
    pub(super) fn image(&mut self, image: CaptionedImage) -> u32 {
        if let Some(&index) = self.index_of_id.get(&image.id) {
            return index;
        }
        // Saturation would need four thousand million pictures; they then count as unnamed.
        let index = u32::try_from(self.captions.images.len()).unwrap_or(NO_IMAGE);
        self.index_of_id.insert(image.id.clone(), index);
        self.captions.images.push(image);
        index
    }

    /// The index of the picture with this identifier, added bare where it is not known yet.
    pub(super) fn image_id(&mut self, id: &str) -> u32 {
        match self.index_of_id.get(id) {
            Some(&index) => index,
            None => self.image(CaptionedImage {
                id: id.to_owned(),
                ..Default::default()
            }),
        }
    }

    /// Adds a caption, trimmed; blank ones are left out.
    pub(super) fn text(&mut self, image: Option<u32>, text: &str) -> Result<(), String> {
        if text.len() > MAX_CAPTION_BYTES {
            return Err(format!(
                "expected captions of at most {MAX_CAPTION_BYTES} bytes, got one of {}",
                text.len()
            ));
        }
        if text.contains('\0') {
            return Err("expected text, got a NUL character".to_owned());
        }
        let text = text.trim();
        if !text.is_empty() {
            self.captions.texts.push(text.to_owned());
            self.captions.image_of_text.push(image.unwrap_or(NO_IMAGE));
        }
        Ok(())
    }
}
