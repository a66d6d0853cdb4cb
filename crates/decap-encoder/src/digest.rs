//! Digests that tell pieces of work apart.

use std::fmt;

use sha2::{Digest, Sha256};

/// Raised whenever the same input may come out otherwise than in an earlier version.
const WORK_VERSION: u32 = 2;

/// A digest of all that decides a piece of work: an embedding, a caption.
///
/// Whatever is kept between runs is kept under its key, so that work made with another model, memory,
/// option, precision or version is never mixed in.
///
/// ```
/// use decap_encoder::RunKey;
///
/// let key = RunKey::of(&["encoder", "projection 0.01"]);
/// assert_eq!(key, RunKey::of(&["encoder", "projection 0.01"]));
/// assert_ne!(key, RunKey::of(&["encoder projection", "0.01"]));
/// assert_eq!(key.as_str().len(), 32);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey(String);

impl RunKey {
    /// The key of work that `parts` decide, beside this version of the library and the kernels in
    /// use, which sum in different orders.
    pub fn of<S: AsRef<str>>(parts: &[S]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(WORK_VERSION.to_le_bytes());
        let kernels = decap_kernels::active_kernels();
        for part in std::iter::once(kernels).chain(parts.iter().map(AsRef::as_ref)) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hexadecimal(&hasher.finalize()[..16]))
    }

    /// Thirty-two hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RunKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
