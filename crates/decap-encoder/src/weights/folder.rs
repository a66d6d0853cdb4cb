//! A folder of named files, on disk or compiled into the program.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Bytes;
use crate::error::{Error, Result};

/// A file compiled into the program: its name, and what gives its content, always the same.
pub type CompiledFile = (&'static str, fn() -> &'static [u8]);

/// A folder of named files: a model, an encoder or a memory.
#[derive(Debug, Clone)]
pub enum Folder {
    /// A folder on disk.
    Disk(PathBuf),
    /// Files compiled into the program: name and content, names with `/` between folders.
    Compiled {
        /// What to call the folder in messages.
        name: &'static str,
        /// What the names of this folder's own files begin with: empty, or it ends in `/`.
        prefix: String,
        /// The files.
        files: &'static [CompiledFile],
    },
}

impl Folder {
    /// The folder at `path`.
    pub fn disk(path: impl Into<PathBuf>) -> Self {
        Self::Disk(path.into())
    }

    /// The path of the file `name`, for reading where on disk and for messages always.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(path) => path.join(name),
            Self::Compiled {
                name: folder,
                prefix,
                ..
            } => Path::new(folder).join(format!("{prefix}{name}")),
        }
    }

    /// A name for people: that of the folder, or of the repository where it is one in a Hub cache
    /// (`models--OWNER--NAME/snapshots/COMMIT`).
    pub fn title(&self) -> String {
        let path = match self {
            Self::Disk(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            Self::Compiled { name, .. } => return (*name).to_owned(),
        };
        let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
        let repository = || {
            let snapshots = path.parent()?;
            let cached = name(snapshots.parent()?)?;
            let repository = cached.strip_prefix("models--")?.replacen("--", "/", 1);
            (name(snapshots)? == "snapshots").then_some(repository)
        };
        repository()
            .or_else(|| name(&path))
            .unwrap_or_else(|| path.to_string_lossy().into_owned())
    }

    /// Whether the file `name` is there.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Disk(path) => path.join(name).is_file(),
            Self::Compiled { prefix, files, .. } => {
                files.iter().any(|(file, _)| is_file(file, prefix, name))
            }
        }
    }

    /// The folder `name` within this one.
    pub fn folder(&self, name: &str) -> Self {
        match self {
            Self::Disk(path) => Self::Disk(path.join(name)),
            Self::Compiled {
                name: whole,
                prefix,
                files,
            } => Self::Compiled {
                name: whole,
                prefix: format!("{prefix}{name}/"),
                files,
            },
        }
    }

    /// The bytes of the file `name`: mapped where on disk.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened.
    pub fn bytes(&self, name: &str) -> Result<Bytes> {
        match self {
            Self::Disk(path) => Bytes::map(&path.join(name)),
            Self::Compiled { prefix, files, .. } => files
                .iter()
                .find(|(file, _)| is_file(file, prefix, name))
                .map(|(_, content)| Bytes::from_static(content()))
                .ok_or_else(|| Error::io(self.path(name), std::io::ErrorKind::NotFound.into())),
        }
    }

    /// The JSON file `name`, read as `T`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened, [`Error::Model`] where it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        // As editors of Windows save it.
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let bytes = self.bytes(name)?;
        let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        serde_json::from_slice(json)
            .map_err(|error| Error::model(self.path(name), format!("not valid: {error}")))
    }

    /// Refuses the JSON file `name` where it is of another format or version. It looks at nothing
    /// else: a newer format may well have other fields.
    pub fn check_format(&self, name: &str, format: &str, version: u32) -> Result<()> {
        #[derive(Deserialize)]
        struct Header {
            format: String,
            format_version: u32,
        }
        let header: Header = self.json(name)?;
        let refuse = |message: String| Err(Error::model(self.path(name), message));
        if header.format != format {
            return refuse(format!(
                "expected format `{format}`, got `{}`",
                header.format
            ));
        }
        if header.format_version != version {
            return refuse(format!(
                "expected {format} version {version}, got {}: made by a newer decap?",
                header.format_version
            ));
        }
        Ok(())
    }
}

fn is_file(file: &str, prefix: &str, name: &str) -> bool {
    file.strip_prefix(prefix) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_begin_with_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), b"\xef\xbb\xbf[1, 2]").unwrap();
        let read: Vec<u32> = Folder::disk(folder.path()).json("config.json").unwrap();
        assert_eq!(read, [1, 2]);
    }

    #[test]
    fn folders_are_called_by_their_last_part_or_their_repository() {
        let cases = [
            ("/models/clip", "clip"),
            (
                "/a/models--openai--clip-vit--x/snapshots/0123",
                "openai/clip-vit--x",
            ),
            ("/a/models--openai--clip/refs/0123", "0123"),
            ("/", "/"),
        ];
        for (path, title) in cases {
            assert_eq!(Folder::disk(path).title(), title);
        }
        let compiled = Folder::Compiled {
            name: "tiny",
            prefix: String::new(),
            files: &[],
        };
        assert_eq!(compiled.title(), "tiny");
    }
}
