//! The keys that a service asks for.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Who may ask; nobody's key is kept, only its digest.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
}

impl ApiKeys {
    /// The keys in a text, one a line; blank lines and those that begin with `#` are none.
    pub fn of_lines(text: &str) -> Self {
        let keys = text.lines().map(str::trim);
        let keys = keys.filter(|key| !key.is_empty() && !key.starts_with('#'));
        Self {
            digests: keys.map(digest).collect(),
        }
    }

    /// Whether everybody may ask.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether `key` is one of these, in a time that tells nothing of them.
    pub fn allow(&self, key: &str) -> bool {
        let asked = digest(key);
        let equal = |found: Choice, it: &[u8; 32]| found | it.ct_eq(&asked);
        self.digests.iter().fold(Choice::from(0), equal).into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lines_and_all_of_them_open() {
        let keys = ApiKeys::of_lines("# ours\nfirst\n\n  second  \n");
        assert!(keys.allow("first") && keys.allow("second"));
        assert!(!keys.allow("# ours") && !keys.allow("") && !keys.allow("firs"));
        assert!(ApiKeys::of_lines("\n#\n").is_empty());
    }
}
