//! Caption metrics without Java, equal to pycocoevalcap.
//!
//! [`References`] and [`Predictions`] by image id are tokenized as the Penn Treebank is
//! ([`PtbTokenizer`]) and scored ([`score`]): BLEU-1 to 4, ROUGE-L, CIDEr-D, and METEOR where its
//! data has been prepared ([`meteor::prepare`], [`Meteor`]), for the corpus and for each image. [`intervals`] and [`compare`] say how sure scores and differences are,
//! [`diversity`] and [`self_cider`] how varied the captions, [`clip_score`] how close to the
//! image by a dual encoder. SPICE stays a Java program, which is called where it is installed
//! ([`Spice`]).
//!
//! The scores are those of pycocoevalcap 1.2, which computes in Java and Python; scripts under
//! `tools/reference` compare the two on any files.

mod bleu;
mod captions;
mod cider;
mod clip_score;
mod diversity;
mod document_frequencies;
mod error;
pub mod meteor;
mod ptb;
mod rouge;
mod score;
mod significance;
mod spice;
mod text;
mod unpack;
mod write;

pub use captions::{ImageReferences, MissingIds, Predictions, References};
pub use clip_score::{CLIP_SCORE_PROMPT, clip_score, ref_clip_score};
pub use diversity::{Diversity, TrainingCaptions, diversity, self_cider};
pub use document_frequencies::DocumentFrequencies;
pub use error::{Error, Missing};
pub use meteor::Meteor;
pub use ptb::PtbTokenizer;
pub use score::{ImageScores, MetricValues, Note, Options, Scores, Tokenization, score};
pub use significance::{Bootstrap, Comparison, Interval, compare, interval_of_mean, intervals};
pub use spice::Spice;
