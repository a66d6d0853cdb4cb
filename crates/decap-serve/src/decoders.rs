//! Models that were trained while the service runs, by name; with a folder to keep them in, also those of before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use decap::model::MODEL_FILE;
use decap::weights::Folder;
use decap::{CaptionOptions, Captioner, Error, Result};
use tempfile::TempDir;

use crate::answer::MODEL;
use crate::error::ApiError;
use crate::names::check_name;

/// Numbers of folders that are tried at most.
const MOST_FOLDERS: u64 = 100_000;

/// A model that was trained here.
pub struct Trained {
    /// Unlike that of any other model of this process; 0 is the service's own.
    pub number: u64,
    /// What it is called.
    pub name: String,
    /// It shares the encoder with the service's own.
    pub captioner: Captioner,
    /// Its own choice of everything.
    pub defaults: CaptionOptions,
    place: Place,
}

/// Where a model's files are.
enum Place {
    /// In a folder that ends with the model.
    Passing(#[expect(dead_code, reason = "it removes its folder when it is dropped")] TempDir),
    /// In a folder that stays.
    Kept(PathBuf),
}

/// Models by name.
pub struct Decoders {
    most: usize,
    keep: Option<PathBuf>,
    own: String,
    next: AtomicU64,
    kept: Mutex<BTreeMap<String, Arc<Trained>>>,
}

impl Decoders {
    /// At most `most`, beside the model `own`.
    pub fn new(own: &str, most: usize, keep: Option<PathBuf>) -> Self {
        Self {
            most,
            keep,
            own: own.to_owned(),
            next: AtomicU64::new(1),
            kept: Mutex::default(),
        }
    }

    /// Opens what the folder has from before; `warn` is told what cannot be used.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no such folder, and none can be made.
    pub fn open_kept(&self, captioner: &Captioner, warn: &dyn Fn(&str)) -> Result<()> {
        let Some(keep) = &self.keep else {
            return Ok(());
        };
        fs::create_dir_all(keep).map_err(|source| Error::io(keep, source))?;
        let entries = fs::read_dir(keep).map_err(|source| Error::io(keep, source))?;
        let mut folders: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
        folders.retain(|it| it.join(MODEL_FILE).is_file());
        folders.sort();
        for path in folders {
            let opened = captioner.open_beside(&Folder::disk(&path));
            let kept = opened.map_err(ApiError::from).and_then(|captioner| {
                let name = captioner.description().name.clone();
                self.check(&name)?;
                self.insert(&name, captioner, Place::Kept(path.clone()));
                Ok(())
            });
            if let Err(error) = kept {
                warn(&format!(
                    "{}: not used: {}",
                    path.display(),
                    error.message()
                ));
            }
        }
        Ok(())
    }

    /// Refuses a name that cannot be given.
    ///
    /// # Errors
    /// [`ApiError::Unusable`] for such a name, or where there are too many models.
    pub fn check(&self, name: &str) -> Result<(), ApiError> {
        check_name(name)?;
        if name == MODEL || name == self.own {
            let message = format!("`name`: `{name}` is the service's own model; take another name");
            return Err(ApiError::Unusable(message));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.most && !kept.contains_key(name) {
            let most = self.most;
            return Err(ApiError::Unusable(format!(
                "expected at most {most} trained models; delete one first"
            )));
        }
        Ok(())
    }

    /// A folder to train in, beside those that are kept.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn workplace(&self) -> Result<TempDir> {
        let folder = self.keep.clone().unwrap_or_else(std::env::temp_dir);
        let made = tempfile::Builder::new()
            .prefix(".decap-training-")
            .tempdir_in(&folder);
        made.map_err(|source| Error::io(folder, source))
    }

    /// Keeps the model in the folder `name_of_folder` of `workplace` under a name; one of that name is replaced.
    ///
    /// # Errors
    /// What is wrong with the files; [`Error::Io`] where they cannot be kept.
    pub fn keep(
        &self,
        name: &str,
        workplace: TempDir,
        name_of_folder: &str,
        captioner: &Captioner,
    ) -> Result<()> {
        let made = workplace.path().join(name_of_folder);
        let (path, place) = match &self.keep {
            None => (made, Place::Passing(workplace)),
            Some(keep) => {
                let path = move_into(&made, keep)?;
                (path.clone(), Place::Kept(path))
            }
        };
        let captioner = captioner.open_beside(&Folder::disk(path))?;
        self.insert(name, captioner.ready_for_many(), place);
        Ok(())
    }

    fn insert(&self, name: &str, captioner: Captioner, place: Place) {
        let trained = Trained {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            defaults: captioner.options(),
            captioner,
            place,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = kept.insert(name.to_owned(), Arc::new(trained)) {
            before.remove();
        }
    }

    /// The model of this name; nothing for the service's own.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn named(&self, name: &str) -> Result<Option<Arc<Trained>>, ApiError> {
        if name == MODEL || name == self.own {
            return Ok(None);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).cloned().map(Some).ok_or_else(|| {
            ApiError::NotFound(format!(
                "expected `{MODEL}` or the name of a trained model, got `{name}`; GET /v1/models lists them"
            ))
        })
    }

    /// Forgets a model, and removes its files.
    ///
    /// # Errors
    /// [`ApiError::NotFound`]; [`ApiError::Unusable`] for the service's own.
    pub fn forget(&self, name: &str) -> Result<(), ApiError> {
        let Some(trained) = self.named(name)? else {
            let message = format!("`{name}` is the service's own model, which stays");
            return Err(ApiError::Unusable(message));
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(name);
        trained.remove();
        Ok(())
    }

    /// The names of all that were trained, in their order.
    pub fn names(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys().cloned().collect()
    }
}

impl Trained {
    /// Removes its files where they would stay. Captions that are being written go on.
    fn remove(&self) {
        if let Place::Kept(path) = &self.place {
            // A system that keeps open files leaves them for who reads the folder.
            let _removed = fs::remove_dir_all(path);
        }
    }
}

/// Moves `made` into a new folder of `keep`; its name is a number, and none of a client's words.
fn move_into(made: &Path, keep: &Path) -> Result<PathBuf> {
    for number in 1..MOST_FOLDERS {
        let path = keep.join(format!("decoder-{number:05}"));
        if path.exists() {
            continue;
        }
        match fs::rename(made, &path) {
            Ok(()) => return Ok(path),
            // Another service was faster; what is there is not replaced.
            Err(_) if path.exists() => {}
            Err(source) => return Err(Error::io(path, source)),
        }
    }
    Err(Error::io(keep, std::io::ErrorKind::StorageFull.into()))
}
