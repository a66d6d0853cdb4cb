//! The bundled model: compiled into the program, or fetched once from the release of this version.

#[cfg(all(feature = "bundled", tiny_is_here))]
mod compiled;

use std::env;
use std::path::PathBuf;

use decap::Error;
use decap::weights::Folder;
use decap_hub::{HubOptions, ModelArchive};

use crate::cache;
use crate::print;
use crate::progress;

/// The name of the bundled model and of its encoder.
pub const BUNDLED: &str = "tiny";

/// What `tools/pack-model.sh models/tiny` makes, which each release holds. A test compares them.
const ARCHIVE_SHA256: &str = "b0fc2983c0590968a9966b8b3882f29946875e9c18a4c75291738678a0c917cc";
const ARCHIVE_BYTES: u64 = 40_929_280;

/// Names another place for the files of the release of this version, such as a mirror.
const RELEASE_VARIABLE: &str = "DECAP_RELEASE";

/// The folder of the bundled model.
///
/// # Errors
/// None where it is compiled in; else as [`pull`].
#[cfg(all(feature = "bundled", tiny_is_here))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "builds without the model fetch it"
)]
pub fn folder() -> decap::Result<Folder> {
    Ok(compiled::model())
}

/// The folder of the bundled model.
///
/// # Errors
/// None where it is compiled in; else as [`pull`].
#[cfg(not(all(feature = "bundled", tiny_is_here)))]
pub fn folder() -> decap::Result<Folder> {
    pull().map(Folder::disk)
}

/// Fetches the bundled model from the release of this version, once; returns its folder.
///
/// # Errors
/// [`Error::Unavailable`] where it is not in the cache and cannot be had, and as
/// [`ModelArchive::pull`].
pub fn pull() -> decap::Result<PathBuf> {
    let models = cache::models_folder()?;
    let address = env::var(RELEASE_VARIABLE).ok().filter(|it| !it.is_empty());
    let repository = env!("CARGO_PKG_REPOSITORY");
    let published = (!repository.is_empty()).then(|| {
        format!(
            "{repository}/releases/download/v{}",
            env!("CARGO_PKG_VERSION")
        )
    });
    let archive = ModelArchive {
        name: BUNDLED.to_owned(),
        url: match address.or(published) {
            Some(address) => format!("{}/{BUNDLED}.tar", address.trim_end_matches('/')),
            None => String::new(),
        },
        sha256: ARCHIVE_SHA256.to_owned(),
        bytes: ARCHIVE_BYTES,
    };
    if !archive.folder(&models).is_dir() {
        if archive.url.is_empty() {
            return Err(Error::Unavailable(format!(
                "`{BUNDLED}` is not compiled into this build, which knows no release to fetch it from: set \
                 {RELEASE_VARIABLE} to the address of the release's files, or name a model folder"
            )));
        }
        print::tell(format!(
            "{BUNDLED}: fetching {} MB once from {} into {}",
            ARCHIVE_BYTES / 1_000_000,
            archive.url,
            models.display()
        ));
    }
    let bar = progress::bytes();
    let folder = archive.pull(&models, HubOptions::from_environment()?, &mut |progress| {
        bar.set_length(progress.total.unwrap_or(progress.bytes));
        bar.set_position(progress.bytes);
    });
    bar.finish_and_clear();
    folder
}
