//! References and predictions by image id.

use crate::error::{Error, Missing};
use std::collections::HashMap;

/// The reference captions of images, in file order.
#[derive(Clone, Debug, Default)]
pub struct References {
    images: Vec<ImageReferences>,
    /// Where an id or another name of an image is found.
    positions: HashMap<String, usize>,
}

/// One image's references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReferences {
    /// The image's id as text, numbers in decimal.
    pub id: String,
    /// Its captions, at least one.
    pub captions: Vec<String>,
}

impl References {
    /// Takes `(id, captions)` in order.
    ///
    /// # Errors
    /// An id occurs twice, or an image has no caption.
    pub fn new(images: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Self, Error> {
        let mut references = Self::default();
        let (mut duplicates, mut empty) = (Vec::new(), Vec::new());
        for (id, captions) in images {
            if captions.is_empty() {
                empty.push(id.clone());
            }
            if references
                .positions
                .insert(id.clone(), references.images.len())
                .is_some()
            {
                duplicates.push(id.clone());
            }
            references.images.push(ImageReferences { id, captions });
        }
        if !duplicates.is_empty() {
            return Err(Error::DuplicateIds(duplicates));
        }
        if !empty.is_empty() {
            return Err(Error::EmptyReferences(empty));
        }
        Ok(references)
    }

    /// Lets predictions name an image by another name too, its file name for instance.
    ///
    /// A name that is already some image's stays that image's.
    pub fn add_name(&mut self, id: &str, name: &str) {
        if let Some(&position) = self.positions.get(id) {
            self.positions.entry(name.to_owned()).or_insert(position);
        }
    }

    /// The images in file order.
    #[must_use]
    pub fn images(&self) -> &[ImageReferences] {
        &self.images
    }

    /// All reference captions in file order.
    pub fn captions(&self) -> impl Iterator<Item = &str> {
        self.images
            .iter()
            .flat_map(|image| image.captions.iter().map(String::as_str))
    }
}

/// One predicted caption for each image, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predictions {
    captions: Vec<(String, String)>,
}

impl Predictions {
    /// Takes `(id, caption)` in order.
    ///
    /// # Errors
    /// An id occurs twice, even with the same caption.
    pub fn new(captions: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let captions: Vec<(String, String)> = captions.into_iter().collect();
        let mut counts: HashMap<&str, u32> = HashMap::with_capacity(captions.len());
        let mut duplicates = Vec::new();
        for (id, _) in &captions {
            let count = counts.entry(id).or_insert(0);
            *count += 1;
            if *count == 2 {
                duplicates.push(id.clone());
            }
        }
        if !duplicates.is_empty() {
            return Err(Error::DuplicatePredictions(duplicates));
        }
        Ok(Self { captions })
    }

    /// `(id, caption)` in file order.
    #[must_use]
    pub fn captions(&self) -> &[(String, String)] {
        &self.captions
    }
}

/// What to do when references and predictions are not of the same images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingIds {
    /// Refuse, with an error that lists the ids.
    #[default]
    Refuse,
    /// Score the images that have both, and tell which were left out.
    LeaveOut,
}

/// An image with its references and its prediction.
pub(crate) struct Pair<'a> {
    pub(crate) id: &'a str,
    pub(crate) references: &'a [String],
    pub(crate) prediction: &'a str,
}

/// Brings references and predictions together, in the references' order.
pub(crate) fn pair<'a>(
    references: &'a References,
    predictions: &'a Predictions,
    missing_ids: MissingIds,
) -> Result<(Vec<Pair<'a>>, Missing), Error> {
    let mut prediction_of: Vec<Option<&str>> = vec![None; references.images.len()];
    let mut missing = Missing::default();
    let mut duplicates = Vec::new();
    for (id, caption) in &predictions.captions {
        match references.positions.get(id) {
            None => missing.references.push(id.clone()),
            Some(&position) if prediction_of[position].is_some() => duplicates.push(id.clone()),
            Some(&position) => prediction_of[position] = Some(caption),
        }
    }
    if !duplicates.is_empty() {
        return Err(Error::DuplicatePredictions(duplicates));
    }
    let mut pairs = Vec::with_capacity(references.images.len());
    for (image, prediction) in references.images.iter().zip(prediction_of) {
        match prediction {
            None => missing.predictions.push(image.id.clone()),
            Some(prediction) => {
                pairs.push(Pair {
                    id: &image.id,
                    references: &image.captions,
                    prediction,
                });
            }
        }
    }
    if missing_ids == MissingIds::Refuse && !missing.is_empty() {
        return Err(Error::Mismatch(missing));
    }
    if pairs.is_empty() {
        return Err(Error::NoImages);
    }
    Ok((pairs, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(images: &[(&str, &[&str])]) -> Result<References, Error> {
        References::new(images.iter().map(|(id, captions)| {
            (
                (*id).to_owned(),
                captions.iter().map(|&caption| caption.to_owned()).collect(),
            )
        }))
    }

    fn predictions(captions: &[(&str, &str)]) -> Result<Predictions, Error> {
        Predictions::new(
            captions
                .iter()
                .map(|&(id, text)| (id.to_owned(), text.to_owned())),
        )
    }

    #[test]
    fn duplicate_ids_and_empty_references_are_refused() {
        let twice = references(&[("a", &["x"]), ("a", &["y"])]);
        assert!(matches!(twice, Err(Error::DuplicateIds(ids)) if ids == ["a"]));
        let empty = references(&[("a", &[]), ("b", &["x"])]);
        assert!(matches!(empty, Err(Error::EmptyReferences(ids)) if ids == ["a"]));
        let twice = predictions(&[("a", "x"), ("a", "x"), ("a", "x")]);
        assert!(matches!(twice, Err(Error::DuplicatePredictions(ids)) if ids == ["a"]));
    }

    #[test]
    fn missing_ids_are_refused_or_counted() {
        let references = references(&[("a", &["x"]), ("b", &["y"])]).unwrap();
        let predictions = predictions(&[("c", "z"), ("b", "y")]).unwrap();
        let refused = pair(&references, &predictions, MissingIds::Refuse);
        let Err(Error::Mismatch(missing)) = refused else {
            panic!("expected a mismatch")
        };
        assert_eq!(
            (missing.predictions, missing.references),
            (vec!["a".into()], vec!["c".into()])
        );
        let (pairs, missing) = pair(&references, &predictions, MissingIds::LeaveOut).unwrap();
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].id, "b");
        assert_eq!(
            (missing.predictions.len(), missing.references.len()),
            (1, 1)
        );
    }

    #[test]
    fn an_image_can_be_named_by_its_file() {
        let mut references = references(&[("7", &["x"])]).unwrap();
        references.add_name("7", "seven.jpg");
        let named = predictions(&[("seven.jpg", "x")]).unwrap();
        assert!(pair(&references, &named, MissingIds::Refuse).is_ok());
        let both = predictions(&[("seven.jpg", "x"), ("7", "y")]).unwrap();
        let refused = pair(&references, &both, MissingIds::LeaveOut);
        assert!(matches!(refused, Err(Error::DuplicatePredictions(_))));
    }

    #[test]
    fn nothing_to_score_is_an_error() {
        let (references, predictions) = (References::default(), Predictions::default());
        let nothing = pair(&references, &predictions, MissingIds::LeaveOut);
        assert!(matches!(nothing, Err(Error::NoImages)));
    }
}
