//! How a caption is chosen among several.

use serde::{Deserialize, Serialize};

use decap_encoder::{Error, Result};

/// How the caption is chosen among those that the decoder can write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rerank {
    /// The decoder's own choice: the likeliest.
    #[default]
    None,
    /// By the encoder: the candidate whose text embedding has the largest cosine to the photo's.
    Encoder,
    /// By what the nearest memory sentences agree on.
    Consensus,
}

/// How candidates are found and judged by [`Rerank::Consensus`], [`Rerank::Encoder`] and
/// [`Method::Consensus`](crate::Method::Consensus). The defaults were measured on 400 COCO photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConsensusOptions {
    /// Candidates that the decoder writes: the least width of its beam search. Default 6.
    pub beams: usize,
    /// The nearest memory sentences that are candidates too; 0 for written ones only. Default 50.
    pub retrieved: usize,
    /// The nearest memory sentences that candidates are compared with; `None`, the default, for a
    /// hundredth of the memory, but 50 to 500.
    pub voters: Option<usize>,
    /// Softmax temperature of the voters' weights over their cosines to the photo. Default 0.1: flat.
    pub tau: f32,
    /// What a candidate loses for each content word that it says again, in standard deviations of the
    /// candidates' agreement. Default 0.5.
    pub repeat_penalty: f32,
    /// Weight of the cosine between the photo's embedding and the candidate's, both it and the agreement
    /// in standard deviations. Default 0: the bundled encoder's cosine chooses worse captions.
    pub cosine: f32,
}

impl Rerank {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Encoder => "encoder",
            Self::Consensus => "consensus",
        }
    }
}

impl Default for ConsensusOptions {
    fn default() -> Self {
        Self {
            beams: 6,
            retrieved: 50,
            voters: None,
            tau: 0.1,
            repeat_penalty: 0.5,
            cosine: 0.0,
        }
    }
}

/// The share of a memory that votes, as its inverse.
const ROWS_PER_VOTER: usize = 100;
const FEWEST_VOTERS: usize = 50;
const MOST_VOTERS: usize = 500;

impl ConsensusOptions {
    /// How many sentences of a memory of `rows` vote.
    pub fn voters_of(&self, rows: usize) -> usize {
        let by_size = (rows / ROWS_PER_VOTER).clamp(FEWEST_VOTERS, MOST_VOTERS);
        self.voters.unwrap_or(by_size).min(rows)
    }

    /// Refuses options that make no sense.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Usage(message));
        if self.voters == Some(0) {
            return refuse("consensus: expected at least 1 voter, got 0".into());
        }
        if !(1..=1024).contains(&self.beams) {
            let beams = self.beams;
            return refuse(format!("consensus: expected 1 to 1024 beams, got {beams}"));
        }
        if !(self.tau > 0.0 && self.tau.is_finite()) {
            let tau = self.tau;
            return refuse(format!(
                "consensus: expected a temperature above 0, got {tau}"
            ));
        }
        for (name, value) in [
            ("repeat penalty", self.repeat_penalty),
            ("cosine", self.cosine),
        ] {
            if !value.is_finite() {
                return refuse(format!("consensus: {name}: expected a number, got {value}"));
            }
        }
        Ok(())
    }
}
