//! What tells encoders apart.

use std::fmt;

/// The name of all that decides an encoder's embeddings: equal only for equal encoders.
///
/// Earlier versions may have named the same encoder otherwise. Models and memories that carry such a
/// name still belong to it.
///
/// ```
/// use decap_encoder::encoder::Fingerprint;
///
/// let fingerprint = Fingerprint::from("b2").formerly("a1");
/// assert_eq!(fingerprint.as_str(), "b2");
/// assert!(fingerprint.is("a1") && fingerprint.is("b2") && !fingerprint.is("c3"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    current: String,
    former: Vec<String>,
}

impl Fingerprint {
    /// This fingerprint, which earlier versions called `former`.
    #[must_use]
    pub fn formerly(mut self, former: impl Into<String>) -> Self {
        self.former.push(former.into());
        self
    }

    /// The name as this version makes it.
    pub fn as_str(&self) -> &str {
        &self.current
    }

    /// Whether `name` is or was this encoder's.
    pub fn is(&self, name: &str) -> bool {
        self.current == name || self.former.iter().any(|former| former == name)
    }
}

impl From<String> for Fingerprint {
    fn from(current: String) -> Self {
        Self {
            current,
            former: Vec::new(),
        }
    }
}

impl From<&str> for Fingerprint {
    fn from(current: &str) -> Self {
        current.to_owned().into()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.current)
    }
}
