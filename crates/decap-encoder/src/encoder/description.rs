//! `encoder.json`: what an encoder of ONNX towers is put together from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::onnx::{OnnxImageOptions, OnnxTextOptions};
use super::{ImageViews, REFERENCE_TAU};
use crate::digest::hexadecimal;
use crate::error::{Error, Result};
use crate::weights::Folder;

/// The file that makes a folder an encoder of ONNX towers and learned heads.
pub const ENCODER_FILE: &str = "encoder.json";

const FORMAT: &str = "decap-encoder";
const FORMAT_VERSION: u32 = 1;

/// What `encoder.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderDescription {
    format: String,
    format_version: u32,
    /// A name for people.
    pub name: String,
    /// Hash of this description and all files it names: [`EncoderDescription::seal`].
    pub fingerprint: String,
    /// The image towers; their features are concatenated.
    pub image_towers: Vec<ImageTowerDescription>,
    /// The views of a photo that are averaged.
    #[serde(default)]
    pub image_views: ImageViews,
    /// The text tower.
    pub text_tower: TextTowerDescription,
    /// The softmax temperature that suits projections in this space.
    #[serde(default = "reference_tau")]
    pub tau: f32,
    /// The file with the heads, where the towers do not end in one space by themselves.
    pub heads: Option<String>,
}

/// An ONNX image tower and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ImageTowerDescription {
    /// The ONNX file, relative to the description.
    pub file: String,
    /// Outputs, pooling, preprocessing.
    #[serde(flatten)]
    pub options: OnnxImageOptions,
}

/// An ONNX text tower and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct TextTowerDescription {
    /// The ONNX file, relative to the description.
    pub file: String,
    /// Its `tokenizer.json`, relative to the description.
    pub tokenizer: String,
    /// Output, pooling, lengths.
    #[serde(flatten)]
    pub options: OnnxTextOptions,
}

/// Takes the text `key` out of `fields`.
fn take_text(fields: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match fields.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{key}`: expected a file name, got {other}")),
        None => Err(format!("missing field `{key}`")),
    }
}

// `flatten` would let unknown keys pass, and a misspelt option would be no option.

impl TryFrom<Map<String, Value>> for ImageTowerDescription {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let file = take_text(&mut fields, "file")?;
        let options =
            serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        Ok(Self { file, options })
    }
}

impl TryFrom<Map<String, Value>> for TextTowerDescription {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let file = take_text(&mut fields, "file")?;
        let tokenizer = take_text(&mut fields, "tokenizer")?;
        let options =
            serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        Ok(Self {
            file,
            tokenizer,
            options,
        })
    }
}

fn reference_tau() -> f32 {
    REFERENCE_TAU
}

impl EncoderDescription {
    /// A description in the current format, not yet sealed.
    pub fn new(
        name: impl Into<String>,
        image_towers: Vec<ImageTowerDescription>,
        text_tower: TextTowerDescription,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            name: name.into(),
            fingerprint: String::new(),
            image_towers,
            image_views: ImageViews::default(),
            text_tower,
            tau: REFERENCE_TAU,
            heads: None,
        }
    }

    /// Reads `encoder.json`.
    ///
    /// # Errors
    /// [`Error::Io`] where it is not there, [`Error::Model`] where it is not valid or of a future
    /// format version.
    pub fn read(folder: &Folder) -> Result<Self> {
        folder.check_format(ENCODER_FILE, FORMAT, FORMAT_VERSION)?;
        folder.json(ENCODER_FILE)
    }

    /// Sets the fingerprint: SHA-256 over the description and every file it names.
    ///
    /// It is stored rather than computed at each start, so that opening a large encoder does not
    /// read all of it; files that are changed by hand afterwards are not noticed.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is not there.
    pub fn seal(&mut self, folder: &Folder) -> Result<()> {
        self.fingerprint.clear();
        let mut hasher = Sha256::new();
        let described = serde_json::to_vec(self)
            .map_err(|error| Error::model(folder.path(ENCODER_FILE), error.to_string()))?;
        hasher.update(described);
        for file in self.files() {
            hasher.update(Sha256::digest(&*folder.bytes(&file)?));
        }
        self.fingerprint = hexadecimal(&hasher.finalize());
        Ok(())
    }

    /// The files that the description names, relative to its folder.
    pub fn files(&self) -> Vec<String> {
        let towers = self.image_towers.iter().map(|tower| tower.file.clone());
        let text = [
            self.text_tower.file.clone(),
            self.text_tower.tokenizer.clone(),
        ];
        towers.chain(text).chain(self.heads.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_are_refused() {
        let image = r#"{"file": "a.onnx", "pooling": "cls"}"#;
        let image: ImageTowerDescription = serde_json::from_str(image).unwrap();
        assert_eq!(image.file, "a.onnx");
        let again = serde_json::to_string(&image).unwrap();
        assert_eq!(
            serde_json::from_str::<ImageTowerDescription>(&again).unwrap(),
            image
        );
        let text = r#"{"file": "a.onnx", "tokenizer": "t.json", "max_tokens": 64}"#;
        let text: TextTowerDescription = serde_json::from_str(text).unwrap();
        assert_eq!(text.options.max_tokens, 64);
        let again = serde_json::to_string(&text).unwrap();
        assert_eq!(
            serde_json::from_str::<TextTowerDescription>(&again).unwrap(),
            text
        );
        let image = |json: &str| {
            serde_json::from_str::<ImageTowerDescription>(json)
                .unwrap_err()
                .to_string()
        };
        let error = image(r#"{"file": "a.onnx", "polling": "cls"}"#);
        assert!(error.contains("unknown field `polling`"), "{error}");
        assert!(image("{}").contains("missing field `file`"));
        assert!(image(r#"{"file": 3}"#).contains("expected a file name"));
        let text = r#"{"file": "a.onnx", "tokenizer": "t.json", "max_token": 64}"#;
        let error = serde_json::from_str::<TextTowerDescription>(text).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `max_token`"),
            "{error}"
        );
    }
}
