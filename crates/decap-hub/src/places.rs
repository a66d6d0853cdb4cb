//! Names of models and encoders: paths of this machine, and ids of the Hub.

use std::path::{Path, PathBuf};

use decap::weights::Folder;
use decap::{Disk, Error, Places, Result};

use crate::{Hub, HubOptions, HubReference};

/// What stands before a Hub id that must not be taken for a path.
const PREFIX: &str = "hf:";

/// Paths and ids of the Hub, which are downloaded into its cache without a word.
///
/// ```no_run
/// use decap::{Captioner, OpenOptions};
/// use decap_hub::HubPlaces;
///
/// let options = OpenOptions::default().places(HubPlaces);
/// let captioner = Captioner::open_with("somebody/my-captioner", &options)?;
/// # Ok::<(), decap::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubPlaces;

impl Places for HubPlaces {
    fn find(&self, reference: &str) -> Result<Folder> {
        find_with(reference, |id| {
            Hub::new(HubOptions::from_environment()?).pull(id, &mut |_| ())
        })
    }
}

/// The folder that `reference` names, where `pull` downloads an id of the Hub.
///
/// A path that exists wins. `OWNER/NAME` is an id, unless a folder `OWNER` is here: then it is taken
/// for a mistyped path and refused. `hf:OWNER/NAME` is an id whatever is here.
///
/// # Errors
/// [`Error::Io`] where there is no such path, [`Error::Usage`] for what may be a mistyped path, and
/// what `pull` says.
pub fn find_with(
    reference: &str,
    pull: impl FnOnce(&HubReference) -> Result<PathBuf>,
) -> Result<Folder> {
    if let Some(id) = reference.strip_prefix(PREFIX) {
        let id = HubReference::parse(id).ok_or_else(|| {
            Error::Usage(format!(
                "{reference}: expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION"
            ))
        })?;
        return pull(&id).map(Folder::disk);
    }
    let path = Path::new(reference);
    let id = match HubReference::parse(reference) {
        Some(id) if !path.exists() => id,
        _ => return Disk.find(reference),
    };
    let owner = path
        .components()
        .next()
        .map(|part| Path::new(part.as_os_str()));
    if owner.is_some_and(Path::is_dir) {
        return Err(Error::Usage(format!(
            "{reference}: there is no such file or folder; {PREFIX}{reference} names the repository of \
             the Hugging Face Hub"
        )));
    }
    pull(&id).map(Folder::disk).map_err(|error| match error {
        // What was written may have been meant as a path.
        Error::Unavailable(message) => Error::Unavailable(format!(
            "{message}; and there is no folder or file `{reference}`"
        )),
        error => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `find_with` asks the Hub for, or the kind of its error.
    fn asked(reference: &str) -> String {
        let mut wanted = None;
        let found = find_with(reference, |id| {
            wanted = Some(format!("{}@{}", id.repository, id.revision));
            Ok(PathBuf::from("downloaded"))
        });
        wanted.unwrap_or_else(|| match found {
            Ok(folder) => folder.path("").display().to_string(),
            Err(error) => error.kind().to_owned(),
        })
    }

    #[test]
    fn a_path_wins_and_a_mistyped_one_is_not_downloaded() {
        // Tests run in the crate's own folder, which holds `src`.
        let cases = [
            ("src", "src/"),
            ("nobody/nothing", "nobody/nothing@main"),
            ("nobody/nothing@v1", "nobody/nothing@v1"),
            ("src/no-such-file", "usage"),
            ("hf:src/no-such-file", "src/no-such-file@main"),
            ("hf:nothing", "usage"),
            ("nothing", "not_found"),
            ("./src/nothing", "not_found"),
            ("src/lib.rs", "io"),
        ];
        for (reference, expected) in cases {
            assert_eq!(asked(reference), expected, "{reference}");
        }
        let error = find_with("src/mine", |_| Ok(PathBuf::new())).unwrap_err();
        assert!(error.to_string().contains("hf:src/mine"), "{error}");
    }
}
