//! Caption metrics without Java, equal to pycocoevalcap.
//!
//! Captions are read ([`read_references`], [`read_predictions`]), tokenized as the Penn
//! Treebank is ([`PtbTokenizer`]) and scored ([`score`]): BLEU, ROUGE-L and CIDEr-D.

mod bleu;
mod captions;
mod cider;
mod document_frequencies;
mod error;
pub mod meteor;
mod ngrams;
mod ptb;
mod read;
mod rouge;
mod score;
mod significance;
mod text;

pub use captions::{ImageReferences, MissingIds, Predictions, References};
pub use document_frequencies::DocumentFrequencies;
pub use error::{Error, Missing};
pub use meteor::Meteor;
pub use ptb::PtbTokenizer;
pub use read::{read_predictions, read_references};
pub use score::{ImageScores, MetricValues, Note, Options, Scores, Tokenization, score};
pub use significance::{Bootstrap, Comparison, Interval, compare, intervals};
