//! A model that is published as one archive, such as the bundled one beside each release.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::download::Announcement;
use crate::{Hub, HubOptions, Network, Progress};
use decap::output::{FolderLock, write_folder_atomically};
use decap::{Error, Result};

/// A model's folder in a tar archive, and what must arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelArchive {
    /// The name of the model, and of the one folder in the archive.
    pub name: String,
    /// Where the archive is, `http` or `https`.
    pub url: String,
    /// The SHA-256 of the archive, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The length of the archive.
    pub bytes: u64,
}

impl ModelArchive {
    /// Where the model lies, or will lie, within `cache`. Another archive has another folder.
    pub fn folder(&self, cache: &Path) -> PathBuf {
        let digits = self.sha256.get(..16).unwrap_or(&self.sha256);
        cache.join(format!("{}-{digits}", self.name))
    }

    /// Downloads and unpacks the archive, once; returns the model's folder within `cache`.
    ///
    /// No token is sent, whatever `options` say: the archive need not be the Hub's. A download that
    /// breaks off is taken up again, by the next run too.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the archive is not here and cannot be had, [`Error::Model`] where
    /// another one arrives or it does not unpack to one folder, [`Error::Io`] where `cache` cannot be
    /// written.
    pub fn pull(
        &self,
        cache: &Path,
        options: HubOptions,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<PathBuf> {
        let folder = self.folder(cache);
        if folder.is_dir() {
            return Ok(folder);
        }
        if options.network == Network::Offline {
            return Err(Error::Unavailable(format!(
                "`{}` is not in {}, and HF_HUB_OFFLINE forbids fetching it",
                self.name,
                cache.display()
            )));
        }
        let failed = |source| Error::io(cache, source);
        fs::create_dir_all(cache).map_err(failed)?;
        // Who comes second finds the folder.
        let _locked = FolderLock::wait(cache)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let hub = Hub::new(HubOptions {
            endpoint: self.url.clone(),
            token: None,
            ..options
        });
        let archive = cache.join(format!("{}.tar", self.sha256));
        let announced = Announcement {
            url: self.url.clone(),
            etag: self.sha256.clone(),
            size: Some(self.bytes),
        };
        hub.fill_blob(&announced, &archive, &self.name, progress)?;
        write_folder_atomically(&folder, &[], |new| self.unpack(&archive, new))?;
        fs::remove_file(&archive).map_err(failed)?;
        Ok(folder)
    }

    /// Unpacks the files of `archive` into `folder`, and nothing beside it.
    pub(super) fn unpack(&self, archive: &Path, folder: &Path) -> Result<()> {
        let failed = |source| Error::io(folder, source);
        let unreadable = |source| Error::io(archive, source);
        let mut entries = tar::Archive::new(File::open(archive).map_err(unreadable)?);
        for entry in entries.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.into_owned();
            let inner = path.strip_prefix(&self.name).ok().filter(|inner| {
                let mut parts = inner.components();
                parts.all(|part| matches!(part, Component::Normal(_)))
            });
            let kind = entry.header().entry_type();
            let Some(inner) = inner.filter(|_| kind.is_file() || kind.is_dir()) else {
                let message = format!("expected files below {}/, got {path:?}", self.name);
                return Err(Error::model(&self.url, message));
            };
            let target = folder.join(inner);
            if kind.is_dir() {
                fs::create_dir_all(&target).map_err(failed)?;
                continue;
            }
            if let Some(above) = target.parent() {
                fs::create_dir_all(above).map_err(failed)?;
            }
            let mut file = File::create(&target).map_err(failed)?;
            io::copy(&mut entry, &mut file).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        Ok(())
    }
}
