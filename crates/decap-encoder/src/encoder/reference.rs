//! What a model says of the encoder that it was made with.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::weights::Folder;

/// The file that makes a folder a model.
pub const MODEL_FILE: &str = "model.json";

/// What `format` says in a model.
pub const MODEL_FORMAT: &str = "decap-model";
/// The newest [`MODEL_FILE`] that this crate reads, and the one it writes.
pub const MODEL_FORMAT_VERSION: u32 = 1;

/// Which encoder, and where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderReference {
    /// `tiny`, a folder (relative to the model's), or a Hub id.
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Its fingerprint; another encoder is refused.
    pub fingerprint: String,
}

impl EncoderReference {
    /// What the model in `folder` says.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where there is no `model.json`, [`Error::Model`](crate::Error::Model)
    /// where it is not valid or of a future version.
    pub(super) fn of_model(folder: &Folder) -> Result<Self> {
        #[derive(Deserialize)]
        struct Model {
            encoder: EncoderReference,
        }
        folder.check_format(MODEL_FILE, MODEL_FORMAT, MODEL_FORMAT_VERSION)?;
        Ok(folder.json::<Model>(MODEL_FILE)?.encoder)
    }
}
