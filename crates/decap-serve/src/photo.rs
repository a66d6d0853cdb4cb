//! A photo as it comes in requests: itself, or its address.

use std::path::Path;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use decap_sources::fetch::is_url;

use crate::error::ApiError;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a photo's file holds, and what stands for it in messages.
#[derive(Debug)]
pub struct Photo {
    /// What the client calls it; never a path of this machine.
    pub name: String,
    /// The content, or why there is none: an address led to no photo.
    pub bytes: Result<Bytes, ApiError>,
}

/// What a request gives for a photo.
#[derive(Debug)]
pub enum Sent {
    /// The photo itself.
    Here(Photo),
    /// Its address in the web.
    Elsewhere(String),
}

/// Letters of a name at most.
const NAME_LETTERS: usize = 200;

impl Photo {
    /// A photo of this name, without what a terminal would obey.
    pub fn new(name: &str, bytes: Result<Bytes, ApiError>) -> Self {
        let tame = |letter: &char| !letter.is_control();
        let name = name.chars().filter(tame).take(NAME_LETTERS).collect();
        Self { name, bytes }
    }
}

impl Sent {
    /// A photo in base64, or in a data URL of it, or at an address of the web.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] for other text, [`ApiError::Unusable`] for an address of another kind.
    pub fn from_text(name: &str, text: &str) -> Result<Self, ApiError> {
        let text = text.trim();
        if is_url(Path::new(text)) {
            return Ok(Self::Elsewhere(text.to_owned()));
        }
        if text.starts_with("file:") || text.starts_with("ftp:") {
            return Err(ApiError::Unusable(format!(
                "{name}: expected the photo itself in base64 or a data URL, got the address of a file"
            )));
        }
        let encoded = match text.strip_prefix("data:") {
            Some(url) => {
                let data = url
                    .split_once(',')
                    .filter(|(head, _)| head.ends_with(";base64"));
                let no_data = || {
                    let message = "expected a data URL in base64, got another";
                    ApiError::Malformed(format!("{name}: {message}"))
                };
                data.ok_or_else(no_data)?.1
            }
            None => text,
        };
        let has_breaks = encoded.contains(|letter: char| letter.is_ascii_whitespace());
        let decoded = match has_breaks {
            true => BASE64.decode(encoded.split_ascii_whitespace().collect::<String>()),
            false => BASE64.decode(encoded),
        };
        let bytes = decoded.map_err(|error| {
            ApiError::Malformed(format!("{name}: expected base64, got {error}"))
        })?;
        Ok(Self::Here(Photo::new(name, Ok(bytes.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_each_usual_form() {
        for text in [
            "aGVsbG8=",
            "aGVsbG8",
            "aGVs\nbG8=",
            "data:image/png;base64,aGVsbG8=",
        ] {
            let Sent::Here(photo) = Sent::from_text("a", text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(photo.bytes.unwrap(), "hello", "{text}");
        }
    }

    #[test]
    fn no_file_is_read() {
        for (text, status) in [
            ("file:///etc/passwd", 422),
            ("/etc/passwd!", 400),
            ("ftp://example.org/a.jpg", 422),
            ("data:text/plain,hello", 400),
        ] {
            let error = Sent::from_text("a", text).unwrap_err();
            assert_eq!(error.status().0.as_u16(), status, "{text}");
        }
    }
}
