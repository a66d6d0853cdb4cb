//! Evaluation: a data set's photos captioned by each method, scored, and laid out as a report.
//!
//! An [`EvalSet`] says what is captioned and what people wrote. [`encode_photos`] encodes each
//! photo once; an [`Evaluator`] captions them with a [`Captioner`](decap::Captioner) and scores
//! the captions with [`caption_metrics`]; [`Report::write`] writes the folder that `decap eval`
//! leaves. With a folder to keep work in, an interrupted evaluation goes on where it was, and
//! another method or temperature costs projection and decoding alone.
//!
//! ```
//! use decap_eval::{Evaluator, EvalItem, EvalSet, MetricOptions, PhotoOptions, encode_photos};
//! use decap::{Captioner, Method};
//! use std::sync::atomic::AtomicBool;
//!
//! let photo = |name: &str, caption: &str| EvalItem {
//!     id: name.to_owned(),
//!     path: format!("../../examples/photos/{name}.webp").into(),
//!     references: vec![caption.to_owned()],
//! };
//! let set = EvalSet::new("two photos", vec![
//!     photo("cat", "a cat sleeps on a blanket"),
//!     photo("boat", "a boat on the water"),
//! ])?;
//! let stop = AtomicBool::new(false);
//! let captioner = Captioner::open("../../models/tiny")?;
//! let photos = encode_photos(
//!     captioner.encoder(), &set, &PhotoOptions::default(), None, &mut |_| (), &stop)?;
//! let evaluator = Evaluator::new(&set, &photos, MetricOptions::default(), None)?;
//! for method in [Method::Projection, Method::Retrieval] {
//!     let mut options = captioner.options();
//!     options.method = method;
//!     let system = evaluator.evaluate(&captioner, &options, &mut |_| (), &stop)?;
//!     println!("{}: CIDEr {:.3}", method.name(), system.scores.corpus.cider);
//! }
//! # Ok::<(), decap::Error>(())
//! ```

mod captions;
mod evaluator;
mod gallery;
mod html;
mod kept;
mod photos;
mod published;
mod report;
mod set;
mod sweep;
mod thumbnail;
mod tuning;

pub use evaluator::{
    ClipScores, ClipScoring, Evaluator, MetricOptions, System, SystemComparison, clip_score_note,
    compare_systems,
};
pub use gallery::Gallery;
pub use photos::{EncodedPhotos, PhotoFailure, PhotoOptions, encode_photos};
pub use published::{Benchmark, PublishedRow};
pub use report::{Report, ReportModel, check_report_folder, check_report_model};
pub use set::{EvalItem, EvalSet, Part, SetOptions, find_photo};
pub use sweep::{Curve, CurvePoint, SweepOver};
pub use tuning::{Setting, Tuning, TuningGrid};

use decap::Error;

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalProgress<'a> {
    /// What is being done, for people: `photos`, `projection`, ...
    pub step: &'a str,
    /// Photos done, those that were known from before included.
    pub done: usize,
    /// Photos in all.
    pub total: usize,
}

/// An error about a caption file as one of this crate.
fn data_error(error: caption_data::Error) -> Error {
    use caption_data::Error as Data;
    use decap::InputFault;
    let (path, fault) = match error {
        Data::Io { path, source } => return Error::Io { path, source },
        // Their messages name a conversion of their own.
        Data::Unsupported { path, message } => return Error::Unsupported { path, message },
        Data::Damaged { path, message } => (path, InputFault::Damaged(message)),
        Data::TooLarge { path, message } => (path, InputFault::TooLarge(message)),
        Data::Empty { path } => {
            let message = "expected at least one caption, got none".to_owned();
            (path, InputFault::Empty(message))
        }
        Data::Text { path, message } => (path, InputFault::Text(message)),
        error => (
            error.path().to_path_buf(),
            InputFault::Text(error.to_string()),
        ),
    };
    Error::Input { path, fault }
}

/// An error of the metrics as one of this crate.
fn metrics_error(error: caption_metrics::Error) -> Error {
    match error {
        caption_metrics::Error::Io { path, source } => Error::Io { path, source },
        caption_metrics::Error::Format { path, message } => {
            Error::input(path, decap::InputFault::Text(message))
        }
        caption_metrics::Error::Spice(_) => Error::Unavailable(error.to_string()),
        error => Error::Usage(error.to_string()),
    }
}
