//! What can go wrong, by whose fault it is.

use std::fmt;
use std::path::PathBuf;

/// How many ids a message names before it only counts.
const MAX_NAMED_IDS: usize = 10;

/// Why captions could not be read or scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's content is not what was expected.
    #[error("{path}: {message}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found and where.
        message: String,
    },
    /// Some ids have more than one prediction.
    #[error("expected one prediction for each id, got several for {}", IdList(.0))]
    DuplicatePredictions(Vec<String>),
    /// Some ids occur twice where each must be unique.
    #[error("expected each id once, got several entries for {}", IdList(.0))]
    DuplicateIds(Vec<String>),
    /// Some images have no reference at all.
    #[error("expected at least one reference for each id, got none for {}", IdList(.0))]
    EmptyReferences(Vec<String>),
    /// References and predictions are not of the same images.
    #[error("{0}")]
    Mismatch(Missing),
    /// Two systems were not scored on the same images.
    #[error("expected both systems' scores to be of the same images, got {} only in the first \
             and {} only in the second", IdList(&.0.predictions), IdList(&.0.references))]
    DifferentImages(Missing),
    /// There is nothing to score.
    #[error("expected at least one image with references and a prediction, got none")]
    NoImages,
    /// SPICE's Java program failed.
    #[error("SPICE: {0}")]
    Spice(String),
}

/// Ids that only one side has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Ids with references and no prediction, in the references' order.
    pub predictions: Vec<String>,
    /// Ids with a prediction and no references, in the predictions' order.
    pub references: Vec<String>,
}

impl Missing {
    /// Whether both sides have the same ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.predictions.is_empty() && self.references.is_empty()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "expected the same ids in references and predictions"
        )?;
        if !self.predictions.is_empty() {
            write!(
                formatter,
                ", got no prediction for {}",
                IdList(&self.predictions)
            )?;
        }
        if !self.references.is_empty() {
            let comma = if self.predictions.is_empty() {
                ","
            } else {
                " and"
            };
            write!(
                formatter,
                "{comma} got no references for {}",
                IdList(&self.references)
            )?;
        }
        Ok(())
    }
}

/// Ids in a message: all of them, or the first and how many more.
struct IdList<'a>(&'a [String]);

impl fmt::Display for IdList<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("no ids");
        }
        let noun = if self.0.len() == 1 { "id" } else { "ids" };
        write!(formatter, "{} {noun}: ", self.0.len())?;
        for (index, id) in self.0.iter().take(MAX_NAMED_IDS).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{id}")?;
        }
        match self.0.len().checked_sub(MAX_NAMED_IDS) {
            None | Some(0) => Ok(()),
            Some(more) => write!(formatter, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_lists_the_ids() {
        let missing = Missing {
            predictions: vec!["a".into(), "b".into()],
            references: vec!["c".into()],
        };
        assert_eq!(
            Error::Mismatch(missing).to_string(),
            "expected the same ids in references and predictions, got no prediction for 2 ids: \
             a, b and got no references for 1 id: c"
        );
    }

    #[test]
    fn many_ids_are_counted() {
        let ids: Vec<String> = (0..1005).map(|id| id.to_string()).collect();
        let message = Error::DuplicateIds(ids).to_string();
        assert!(
            message.ends_with("1005 ids: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 995 more"),
            "{message}"
        );
    }
}
