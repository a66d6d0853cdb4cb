//! Caption files, for training and for scoring.

use std::path::Path;

use caption_data::Captions;
use caption_metrics::{Meteor, Predictions, References};
use decap::{Error, InputFault};

use crate::failure::Failure;
use crate::name;
use crate::print;

/// The sentences of a file; what its reader had to decide is said on standard error.
///
/// # Errors
/// As [`caption_data::read_captions`].
pub fn read_captions(path: &Path) -> Result<Captions, Failure> {
    let captions = caption_data::read_captions(path)?;
    say(path, &captions);
    Ok(captions)
}

/// The references of a file, each image also by its file's name.
///
/// # Errors
/// As [`caption_data::read_references`] and [`References::new`].
pub fn read_references(path: &Path) -> Result<References, Failure> {
    let captions = caption_data::read_references(path)?;
    say(path, &captions);
    let images = captions.by_image().into_iter().map(|(image, captions)| {
        let captions = captions.into_iter().map(str::to_owned);
        (image.id.clone(), captions.collect())
    });
    let mut references = References::new(images).map_err(of_file(path))?;
    for image in captions.images() {
        let Some(path) = &image.path else { continue };
        references.add_name(&image.id, path);
        if let Some((_, name)) = path.rsplit_once('/') {
            references.add_name(&image.id, name);
        }
    }
    Ok(references)
}

/// The predictions of a file.
///
/// # Errors
/// As [`caption_data::read_predictions`] and [`Predictions::new`].
pub fn read_predictions(path: &Path) -> Result<Predictions, Failure> {
    let captions = caption_data::read_predictions(path)?;
    say(path, &captions);
    let pairs = captions.pairs().filter_map(|(image, caption)| {
        // Whatever is read for scoring has an id.
        image.map(|image| (image.id.clone(), caption.to_owned()))
    });
    Predictions::new(pairs).map_err(of_file(path))
}

/// An error about what is in `path`, with what to do about it.
pub fn of_file(path: &Path) -> impl Fn(caption_metrics::Error) -> Failure {
    move |error| {
        use caption_metrics::Error;
        let remedy = match &error {
            Error::DuplicatePredictions(_) | Error::DuplicateIds(_) => "keep one entry of each id",
            Error::EmptyReferences(_) => "add references, or take these ids out of both files",
            // These name their file.
            Error::Io { .. } | Error::Format { .. } => return error.into(),
            _ => return Failure::Scoring(format!("{}: {error}", path.display())),
        };
        Failure::Scoring(format!("{}: {error}\n  {remedy}", path.display()))
    }
}

fn say(path: &Path, captions: &Captions) {
    if let Some(note) = captions.note() {
        print::tell(format!("decap: {}: {}", path.display(), name::tame(note)));
    }
}

/// METEOR's data from `path`.
///
/// # Errors
/// As [`Meteor::open`], with how the file is made.
pub fn open_meteor(path: &Path) -> Result<Meteor, Failure> {
    Meteor::open(path).map_err(|error| {
        let how = "`decap score --prepare-meteor PYCOCOEVALCAP-FOLDER --meteor FILE` makes it";
        Failure::Scoring(format!("{error}\n  {how}"))
    })
}

impl From<caption_data::Error> for Failure {
    fn from(error: caption_data::Error) -> Self {
        use caption_data::Error as Data;
        let (path, fault) = match error {
            Data::Io { path, source } => return Error::Io { path, source }.into(),
            // Its message names what to convert the file to.
            Data::Unsupported { path, message } => {
                return Error::Unsupported { path, message }.into();
            }
            Data::Damaged { path, message } => (path, InputFault::Damaged(message)),
            Data::TooLarge { path, message } => (path, InputFault::TooLarge(message)),
            Data::Empty { path } => {
                let message = "expected at least one caption, got none".to_owned();
                (path, InputFault::Empty(message))
            }
            Data::Text { path, message } => (path, InputFault::Text(message)),
            error => {
                let fault = InputFault::Text(error.to_string());
                (error.path().to_path_buf(), fault)
            }
        };
        Error::Input { path, fault }.into()
    }
}
