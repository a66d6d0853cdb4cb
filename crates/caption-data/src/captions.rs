//! The captions of a file and the pictures or videos that they belong to.

use crate::format::CaptionFormat;

/// Captions of one file, in the file's order, with the pictures or videos they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    format: CaptionFormat,
    texts: Vec<String>,
    /// Index into `images` of each text, or `NO_IMAGE`.
    image_of_text: Vec<u32>,
    images: Vec<CaptionedImage>,
    note: Option<String>,
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
    pub(crate) fn new(format: CaptionFormat) -> Self {
        Self {
            format,
            texts: Vec::new(),
            image_of_text: Vec::new(),
            images: Vec::new(),
            note: None,
        }
    }

    /// What the reader had to decide by itself, for people: which column of a table it took, for
    /// instance. A program should print it, so that a wrong guess is seen.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Which shape the file had.
    pub fn format(&self) -> CaptionFormat {
        self.format
    }

    /// The captions in the file's order. Those of [`read_captions`](crate::read_captions) are
    /// trimmed, of one line and never empty.
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

    /// Each caption with the picture or video that it belongs to, in the file's order.
    pub fn pairs(&self) -> impl Iterator<Item = (Option<&CaptionedImage>, &str)> {
        let pairs = self.texts.iter().zip(&self.image_of_text);
        pairs.map(|(text, &image)| (self.images.get(image as usize), text.as_str()))
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
        kept.note.clone_from(&self.note);
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

    pub(crate) fn set_note(&mut self, note: String) {
        self.note = Some(note);
    }

    pub(crate) fn push_image(&mut self, image: CaptionedImage) -> u32 {
        // Saturation would need four thousand million pictures; they then count as unnamed.
        let index = u32::try_from(self.images.len()).unwrap_or(NO_IMAGE);
        self.images.push(image);
        index
    }

    pub(crate) fn push_text(&mut self, image: Option<u32>, text: String) {
        self.texts.push(text);
        self.image_of_text.push(image.unwrap_or(NO_IMAGE));
    }
}
