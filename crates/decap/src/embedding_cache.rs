//! Embeddings of photos and videos that were seen before, kept in a folder by content.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decap_encoder::encoder::Encoder;
use decap_encoder::{Embedding, Error, Result};
use decap_media::VideoOptions;
use sha2::{Digest, Sha256};

/// SHA-256 of a content and of how it is looked at.
pub(crate) type ContentKey = [u8; 32];

/// The digest at a record's end tells damaged records.
const CHECK_BYTES: usize = 8;

/// A folder of embeddings. What was seen before, under whatever name, is not decoded or encoded again.
///
/// There is one file for each encoder, precision and set of kernels. It only grows: a record is the SHA-256 of the
/// content, the embedding (f32, little-endian) and a checksum. Several processes may share the folder.
/// Clones share what is open.
///
/// ```
/// use decap::pipeline::{ReadOptions, embed};
/// use decap::{Captioner, EmbeddingCache};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let captioner = Captioner::open("../../models/tiny")?;
/// let encoder = captioner.encoder();
/// let cache = EmbeddingCache::open(folder, encoder)?;
/// let mut read = ReadOptions::default();
/// read.cache = Some(cache.clone());
/// let first = embed(encoder, "../../examples/photos/cat.webp", &read)?;
/// let again = embed(encoder, "../../examples/photos/cat.webp", &read)?;
/// assert_eq!((first, cache.hits()), (again, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EmbeddingCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    width: usize,
    kept: Mutex<Kept>,
    hits: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// Where each record begins.
    places: HashMap<ContentKey, u64>,
    /// Why nothing more is kept.
    fault: Option<io::Error>,
}

impl PartialEq for EmbeddingCache {
    /// Whether they share what is open.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl EmbeddingCache {
    /// Opens the folder, or makes it, for embeddings of `encoder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(folder: impl AsRef<Path>, encoder: &Encoder) -> Result<Self> {
        let path = folder
            .as_ref()
            .join(format!("{}.embeddings", encoder.run_key()));
        let width = encoder.width();
        let open = || {
            fs::create_dir_all(folder.as_ref())?;
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            let file = options.open(&path)?;
            let places = places(&file, record_bytes(width))?;
            Ok(Kept {
                file,
                places,
                fault: None,
            })
        };
        let kept = open().map_err(|source| Error::io(&path, source))?;
        let shared = Arc::new(Shared {
            width,
            kept: Mutex::new(kept),
            hits: AtomicU64::new(0),
            path,
        });
        Ok(Self { shared })
    }

    /// How many inputs were found so far.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::Relaxed)
    }

    /// Why embeddings are no longer kept, where writing them failed, such as on a full disk. The work goes on
    /// without.
    pub fn fault(&self) -> Option<Error> {
        let kept = self.kept();
        let fault = kept.fault.as_ref()?;
        let same = io::Error::new(fault.kind(), fault.to_string());
        Some(Error::io(&self.shared.path, same))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a content. A damaged record counts as none.
    pub(crate) fn get(&self, key: &ContentKey) -> Option<Embedding> {
        let place = *self.kept().places.get(key)?;
        let embedding = self.read(place, key);
        match embedding {
            Some(_) => {
                self.shared.hits.fetch_add(1, Ordering::Relaxed);
            }
            // A new one may be kept.
            None => {
                self.kept().places.remove(key);
            }
        }
        embedding
    }

    fn read(&self, place: u64, key: &ContentKey) -> Option<Embedding> {
        let mut record = vec![0; record_bytes(self.shared.width)];
        {
            let file = &mut self.kept().file;
            file.seek(SeekFrom::Start(place)).ok()?;
            file.read_exact(&mut record).ok()?;
        }
        let (content, check) = record.split_at(record.len() - CHECK_BYTES);
        if checksum(content) != check {
            return None;
        }
        let (values, _) = content.strip_prefix(key)?.as_chunks();
        let values = values.iter().map(|&four| f32::from_le_bytes(four));
        Embedding::from_unit(values.collect()).ok()
    }

    /// Keeps an embedding. Where that fails, it is noted, and nothing is kept from then on.
    pub(crate) fn put(&self, key: ContentKey, embedding: &Embedding) {
        let mut kept = self.kept();
        if kept.fault.is_some() || kept.places.contains_key(&key) {
            return;
        }
        let mut record = key.to_vec();
        record.extend(
            embedding
                .as_slice()
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        let check = checksum(&record);
        record.extend(check);
        match append(&mut kept.file, &record) {
            Ok(place) => {
                kept.places.insert(key, place);
            }
            Err(error) => kept.fault = Some(error),
        }
    }
}

/// The key of a photo's file.
pub(crate) fn key_of_photo(bytes: &[u8]) -> ContentKey {
    Sha256::new_with_prefix("photo")
        .chain_update(bytes)
        .finalize()
        .into()
}

/// The key of a video that is looked at in this way.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn key_of_video(path: &Path, options: &VideoOptions) -> io::Result<ContentKey> {
    let mut hasher = Sha256::new_with_prefix("video");
    let look = format!(
        "{} frames, shortest side {}",
        options.frames, options.shortest_side
    );
    hasher.update((look.len() as u64).to_le_bytes());
    hasher.update(look);
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&piece[..count]),
        }
    }
}

fn record_bytes(width: usize) -> usize {
    size_of::<ContentKey>() + width * size_of::<f32>() + CHECK_BYTES
}

fn checksum(content: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(content);
    std::array::from_fn(|place| digest[place])
}

/// Where each whole record of the file begins.
fn places(file: &File, record_bytes: usize) -> io::Result<HashMap<ContentKey, u64>> {
    let mut places = HashMap::new();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let whole = file.metadata()?.len() / record_bytes as u64;
    let mut key = [0; size_of::<ContentKey>()];
    for record in 0..whole {
        reader.read_exact(&mut key)?;
        reader.seek_relative((record_bytes - key.len()) as i64)?;
        places.insert(key, record * record_bytes as u64);
    }
    Ok(places)
}

/// Appends a record, and says where. What a killed process left of one is cut off first.
fn append(file: &mut File, record: &[u8]) -> io::Result<u64> {
    // File systems without locks exist; there a second process may spoil records, which their checksums tell.
    let is_locked = file.lock().is_ok();
    let write = || {
        let length = file.metadata()?.len();
        let place = length - length % record.len() as u64;
        if place < length {
            file.set_len(place)?;
        }
        (&*file).write_all(record)?;
        Ok(place)
    };
    let written = write();
    if is_locked {
        file.unlock()?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(seed: f32) -> Embedding {
        Embedding::new(vec![seed, 1.0, -2.0]).unwrap()
    }

    fn open(folder: &Path) -> EmbeddingCache {
        let path = folder.join("key.embeddings");
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        let kept = Kept {
            places: places(&file, record_bytes(3)).unwrap(),
            file,
            fault: None,
        };
        EmbeddingCache {
            shared: Arc::new(Shared {
                path,
                width: 3,
                kept: Mutex::new(kept),
                hits: AtomicU64::new(0),
            }),
        }
    }

    #[test]
    fn what_was_kept_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [key_of_photo(b"a"), key_of_photo(b"b")];
        let cache = open(folder.path());
        cache.put(keys[0], &embedding(0.3));
        assert_eq!(cache.get(&keys[0]), Some(embedding(0.3)));
        assert_eq!(cache.get(&keys[1]), None);
        drop(cache);
        let cache = open(folder.path());
        assert_eq!(cache.get(&keys[0]), Some(embedding(0.3)));
        assert_eq!(cache.hits(), 1);
    }

    #[test]
    fn half_a_record_is_cut_off_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [key_of_photo(b"a"), key_of_photo(b"b"), key_of_photo(b"c")];
        let cache = open(folder.path());
        cache.put(keys[0], &embedding(0.3));
        cache.put(keys[1], &embedding(0.4));
        let path = cache.shared.path.clone();
        drop(cache);
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        bytes.extend(b"a record that was killed");
        fs::write(&path, &bytes).unwrap();
        let cache = open(folder.path());
        assert_eq!(cache.get(&keys[0]), None);
        assert_eq!(cache.get(&keys[1]), Some(embedding(0.4)));
        cache.put(keys[2], &embedding(0.5));
        drop(cache);
        let cache = open(folder.path());
        assert_eq!(cache.get(&keys[2]), Some(embedding(0.5)));
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            3 * record_bytes(3) as u64
        );
    }

    #[test]
    fn two_that_append_do_not_spoil_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (open(folder.path()), open(folder.path()));
        std::thread::scope(|scope| {
            for (cache, name) in [(&first, "first"), (&second, "second")] {
                scope.spawn(move || {
                    for number in 0..200 {
                        let key = key_of_photo(format!("{name} {number}").as_bytes());
                        cache.put(key, &embedding(number as f32));
                    }
                });
            }
        });
        let cache = open(folder.path());
        for name in ["first", "second"] {
            for number in 0..200 {
                let key = key_of_photo(format!("{name} {number}").as_bytes());
                assert_eq!(
                    cache.get(&key),
                    Some(embedding(number as f32)),
                    "{name} {number}"
                );
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = open(folder.path());
        // A file that is open for reading alone.
        let file = File::open(&cache.shared.path).unwrap();
        Arc::get_mut(&mut cache.shared)
            .unwrap()
            .kept
            .get_mut()
            .unwrap()
            .file = file;
        cache.put(key_of_photo(b"a"), &embedding(0.3));
        assert!(cache.fault().is_some());
        assert_eq!(cache.get(&key_of_photo(b"a")), None);
    }

    #[test]
    fn a_video_is_known_by_how_it_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        fs::write(&path, b"frames").unwrap();
        let options = VideoOptions::default();
        let mut more = options.clone();
        more.frames = 9;
        let key = key_of_video(&path, &options).unwrap();
        assert_ne!(key, key_of_video(&path, &more).unwrap());
        assert_ne!(key, key_of_photo(b"frames"));
    }
}
