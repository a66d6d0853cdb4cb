//! Features on disk: what a frozen tower said once is not computed again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use decap::hexadecimal;
use decap::{Error, Result};

/// What features are of: the hash of a photo's or a sentence's bytes, and of the view.
pub(super) type Key = [u8; 16];

const CHECKSUM_BYTES: usize = 4;

/// The key of `content` seen in view number `view`.
pub(super) fn key_of(content: &[u8], view: usize) -> Key {
    let mut hasher = Sha256::new();
    hasher.update((view as u64).to_le_bytes());
    hasher.update(content);
    let mut key = Key::default();
    key.copy_from_slice(&hasher.finalize()[..16]);
    key
}

/// The features of one tower by key, in memory and, where a folder is given, in a file that is
/// only ever appended to.
///
/// A record is the key, the features as little-endian f32, and four bytes of their hash. A
/// record that was cut short by a crash, and all behind it, is dropped when the file is opened.
#[derive(Debug)]
pub(super) struct FeatureCache {
    width: usize,
    rows: HashMap<Key, usize>,
    values: Vec<f32>,
    file: Option<(PathBuf, File)>,
}

impl FeatureCache {
    /// The cache of the tower with this `fingerprint` and `width`.
    pub(super) fn open(folder: Option<&Path>, fingerprint: &str, width: usize) -> Result<Self> {
        let mut cache = Self {
            width,
            rows: HashMap::new(),
            values: Vec::new(),
            file: None,
        };
        let Some(folder) = folder else {
            return Ok(cache);
        };
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let path = folder.join(format!("{fingerprint}.features"));
        let failed = |source| Error::io(&path, source);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let whole = cache.take_records(&bytes);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(failed)?;
        }
        cache.file = Some((path, file));
        Ok(cache)
    }

    /// Takes in the sound records at the front of `bytes`; returns how many bytes they are.
    fn take_records(&mut self, bytes: &[u8]) -> usize {
        let body = size_of::<Key>() + self.width * size_of::<f32>();
        let mut whole = 0;
        for record in bytes.chunks_exact(body + CHECKSUM_BYTES) {
            let (body, checksum) = record.split_at(body);
            if Sha256::digest(body)[..CHECKSUM_BYTES] != *checksum {
                break;
            }
            let (key, features) = body.split_at(size_of::<Key>());
            let mut owned = Key::default();
            owned.copy_from_slice(key);
            self.rows.insert(owned, self.values.len() / self.width);
            let floats = features.chunks_exact(4);
            self.values
                .extend(floats.map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])));
            whole += record.len();
        }
        whole
    }

    /// The features of `key`, `[width]`.
    pub(super) fn get(&self, key: &Key) -> Option<&[f32]> {
        let row = *self.rows.get(key)?;
        self.values.get(row * self.width..(row + 1) * self.width)
    }

    /// The keys whose features are known.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.rows.keys()
    }

    /// Keeps `features` `[keys, width]`.
    pub(super) fn insert(&mut self, keys: &[Key], features: &[f32]) -> Result<()> {
        let mut bytes = Vec::new();
        for (key, features) in keys.iter().zip(features.chunks_exact(self.width)) {
            self.rows.insert(*key, self.values.len() / self.width);
            self.values.extend_from_slice(features);
            let start = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend(features.iter().flat_map(|value| value.to_le_bytes()));
            let checksum = Sha256::digest(&bytes[start..]);
            bytes.extend_from_slice(&checksum[..CHECKSUM_BYTES]);
        }
        if let Some((path, file)) = &mut self.file {
            file.write_all(&bytes)
                .map_err(|source| Error::io(&*path, source))?;
        }
        Ok(())
    }
}

/// The hash of `parts`, in hexadecimal: what tells towers apart.
pub(super) fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(Sha256::digest(part));
    }
    hexadecimal(&hasher.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_survive_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [key_of(b"one", 0), key_of(b"one", 1), key_of(b"two", 0)];
        let open = || FeatureCache::open(Some(folder.path()), "tower", 2).unwrap();
        open()
            .insert(&keys, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .unwrap();
        let path = folder.path().join("tower.features");
        let whole = fs::read(&path).unwrap();

        for (damage, known) in [(0, 3), (1, 2), (29, 1), (whole.len(), 0)] {
            fs::write(&path, &whole[..whole.len() - damage]).unwrap();
            let mut cache = open();
            assert_eq!(cache.keys().count(), known, "{damage} bytes lost");
            cache
                .insert(&keys[known..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][known * 2..])
                .unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole, "{damage} bytes lost");
        }
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(open().keys().count(), 0, "a flipped bit and all behind it");
        fs::write(&path, &whole).unwrap();
        assert_eq!(open().get(&keys[1]), Some(&[3.0, 4.0][..]));
        assert_eq!(open().get(&key_of(b"three", 0)), None);
    }
}
