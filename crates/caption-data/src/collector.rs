//! Captions that come one by one, each checked and put to its picture.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::captions::{CaptionedImage, Captions};
use crate::error::Fault;
use crate::format::CaptionFormat;
use crate::source::Budget;
use crate::{MAX_CAPTION_BYTES, Purpose};

/// What a caption takes in memory besides its own bytes, about.
const CAPTION_OVERHEAD: u64 = 64;

/// What a picture takes in memory besides its own bytes, about.
const IMAGE_OVERHEAD: u64 = 192;

/// Collects captions while it keeps one entry for each picture.
pub(crate) struct Collector<'a> {
    pub(crate) captions: Captions,
    purpose: Purpose,
    budget: &'a Budget,
    index_of_id: HashMap<String, u32>,
    /// Pictures whose captions came all at once: they must not get more.
    whole: HashSet<u32>,
    /// Pictures that were found to be there twice.
    repeated: HashSet<u32>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(format: CaptionFormat, purpose: Purpose, budget: &'a Budget) -> Self {
        Self {
            captions: Captions::new(format),
            purpose,
            budget,
            index_of_id: HashMap::new(),
            whole: HashSet::new(),
            repeated: HashSet::new(),
        }
    }

    /// A picture that gets one caption of several: a new one, or that with the same identifier.
    pub(crate) fn image(&mut self, image: CaptionedImage) -> Result<u32, Fault> {
        match self.index_of(&image.id) {
            Some(index) if self.whole.contains(&index) => self.repeat(index, image),
            Some(index) => Ok(index),
            None => self.add(image),
        }
    }

    /// As [`Self::image`], where nothing but the identifier is known.
    pub(crate) fn image_id(&mut self, id: &str) -> Result<u32, Fault> {
        match self.index_of(id) {
            Some(index) if !self.whole.contains(&index) => Ok(index),
            _ => self.image(CaptionedImage {
                id: id.to_owned(),
                ..Default::default()
            }),
        }
    }

    /// A picture that is listed once, or whose captions come all at once. References that have it
    /// again keep it twice, so that whoever scores can refuse it.
    pub(crate) fn whole_image(&mut self, image: CaptionedImage) -> Result<u32, Fault> {
        let index = match self.index_of(&image.id) {
            Some(index) => return self.repeat(index, image),
            None => self.add(image)?,
        };
        self.whole.insert(index);
        Ok(index)
    }

    /// A picture that is listed before its captions follow one by one.
    pub(crate) fn listed_image(&mut self, image: CaptionedImage) -> Result<u32, Fault> {
        match self.index_of(&image.id) {
            Some(index) => self.repeat(index, image),
            None => self.add(image),
        }
    }

    /// Adds a caption. For training it is trimmed and brought to one line, and blank ones are left
    /// out; for scoring it stays as it is.
    pub(crate) fn text(&mut self, image: Option<u32>, text: &str) -> Result<(), Fault> {
        if text.len() > MAX_CAPTION_BYTES {
            return Err(Fault::TooLarge(format!(
                "expected captions of at most {MAX_CAPTION_BYTES} bytes, got one of {}",
                text.len()
            )));
        }
        self.budget.take(text.len() as u64 + CAPTION_OVERHEAD)?;
        if self.purpose != Purpose::Sentences {
            self.captions.push_text(image, text.to_owned());
            return Ok(());
        }
        if text.contains('\0') {
            return Err("expected text, got a NUL character".into());
        }
        let text = text.trim();
        if !text.is_empty() {
            self.captions
                .push_text(image, on_one_line(text).into_owned());
        }
        Ok(())
    }

    fn index_of(&self, id: &str) -> Option<u32> {
        self.index_of_id.get(same_name(id)).copied()
    }

    fn add(&mut self, mut image: CaptionedImage) -> Result<u32, Fault> {
        let known = image.path.as_ref().map_or(0, String::len) + 2 * image.id.len();
        self.budget.take(known as u64 + IMAGE_OVERHEAD)?;
        if same_name(&image.id).len() < image.id.len() {
            image.id = same_name(&image.id).to_owned();
        }
        let id = image.id.clone();
        let index = self.captions.push_image(image);
        self.index_of_id.insert(id, index);
        Ok(index)
    }

    fn repeat(&mut self, index: u32, image: CaptionedImage) -> Result<u32, Fault> {
        if self.purpose == Purpose::References && self.repeated.insert(index) {
            self.budget.take(image.id.len() as u64 + IMAGE_OVERHEAD)?;
            self.captions.push_image(image);
        }
        Ok(index)
    }
}

/// `a.jpg` of `./a.jpg`: two ways to name one file.
fn same_name(id: &str) -> &str {
    let mut name = id;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    match name.is_empty() {
        true => id,
        false => name,
    }
}

/// The text with each line break, and the white space around it, as one space.
fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    let lines = text.split(['\n', '\r']).map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    Cow::Owned(lines.join(" "))
}
