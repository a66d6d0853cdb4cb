//! Encoders and models from the Hugging Face Hub, downloaded once into its usual cache.
//!
//! Files lie where every other Hub client looks for them
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>): `blobs/ETAG`,
//! `snapshots/COMMIT/FILE` and `refs/REVISION`. A file has its place only when all of it has arrived
//! and its length, and for large files its SHA-256, are right.
//!
//! The HTTP client is `ureq`; what the Hub needs beside it is here and not taken from `hf-hub`, whose
//! 1.0 takes up no download that broke off, compares no SHA-256 of what it downloads, does not know
//! `HF_HUB_OFFLINE`, and brings an asynchronous runtime (tokio, reqwest, hf-xet).
//!
//! Connections are made by rustls with the roots of Mozilla compiled in (`webpki-roots`): the same
//! everywhere, without the system's store. Behind a proxy that signs with a root of its own, point
//! `HF_ENDPOINT` at a mirror or fetch the folder with another tool: the cache is shared.

mod archive;
mod download;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod options;
mod places;
mod reference;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

pub use archive::ModelArchive;
pub use options::{HubOptions, Network, ProxyChoice};
pub use places::{HubPlaces, find_with};
pub use reference::HubReference;

use decap::output::write_atomically;
use decap::{Error, Result};

/// Most bytes of a listing, and most files in it.
const MAX_LISTING_BYTES: u64 = 16 << 20;

/// A listing may take so many times the wait for its next bytes.
const LISTING_TIMEOUTS: u32 = 6;

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file, relative to its repository.
    pub file: String,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes of the whole file, where the server says so.
    pub total: Option<u64>,
}

/// A client of the Hub.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    agent: ureq::Agent,
}

impl Hub {
    /// A client with these options.
    pub fn new(options: HubOptions) -> Self {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .timeout_per_read(Some(options.timeout))
            .user_agent(concat!("decap/", env!("CARGO_PKG_VERSION")));
        if options.proxy == ProxyChoice::None {
            config = config.proxy(None);
        }
        Self {
            options,
            agent: config.build().into(),
        }
    }

    /// The folder of the encoder or model that `reference` names, downloaded where the cache lacks it.
    ///
    /// Only what is needed is fetched: descriptions, tokenizer and one file of weights (or its
    /// shards, or two ONNX towers). Without a network, and where the cache holds all of it, the cache
    /// is used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the Hub cannot be reached or refuses, and the cache lacks it;
    /// [`Error::Model`] where the repository holds neither, or a file arrives damaged.
    pub fn pull(
        &self,
        reference: &HubReference,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<PathBuf> {
        if self.options.network == Network::Offline {
            return self.cached(reference).ok_or_else(|| {
                Error::Unavailable(format!(
                    "`{}` (revision {}) is not in the cache {}, and HF_HUB_OFFLINE forbids fetching it",
                    reference.repository,
                    reference.revision,
                    self.options.cache.display()
                ))
            });
        }
        match self.fetch(reference, progress) {
            // The cache is as good as the network for what it holds.
            Err(Error::Unavailable(message)) => self.cached(reference).ok_or_else(|| {
                Error::Unavailable(format!(
                    "{message}; `{}` is not in the cache {} either",
                    reference.repository,
                    self.options.cache.display()
                ))
            }),
            result => result,
        }
    }

    fn fetch(
        &self,
        reference: &HubReference,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<PathBuf> {
        let listing = self.listing(reference)?;
        let names = listing.names();
        let repository = self.options.cache.join(reference.folder());
        let snapshot = repository.join("snapshots").join(&listing.sha);
        let wanted = files::for_each_wanted(&names, &snapshot, |file| {
            if snapshot.join(file).is_file() {
                return Ok(());
            }
            self.download(reference, &listing.sha, file, &repository, progress)
        });
        wanted.map_err(|error| match error {
            // What is wrong is the repository, not the place it is kept at.
            Error::Model { path, message } if path.starts_with(&snapshot) => {
                let file = path.strip_prefix(&snapshot).unwrap_or(&path);
                Error::model(Path::new(&reference.repository).join(file), message)
            }
            Error::Unsupported { path, message } if path.starts_with(&snapshot) => {
                let file = path.strip_prefix(&snapshot).unwrap_or(&path);
                Error::unsupported(Path::new(&reference.repository).join(file), message)
            }
            error => error,
        })?;
        write_atomically(&repository.join("refs").join(&reference.revision), |file| {
            file.write_all(listing.sha.as_bytes())
        })?;
        Ok(snapshot)
    }

    /// The snapshot in the cache, where it holds an encoder.
    fn cached(&self, reference: &HubReference) -> Option<PathBuf> {
        let repository = self.options.cache.join(reference.folder());
        let commit = if is_commit(&reference.revision) {
            reference.revision.clone()
        } else {
            let written = repository.join("refs").join(&reference.revision);
            fs::read_to_string(written).ok()?.trim().to_owned()
        };
        if !is_commit(&commit) {
            return None;
        }
        let snapshot = repository.join("snapshots").join(commit);
        let names = files::files_below(&snapshot);
        let present = |file: &str| match snapshot.join(file).is_file() {
            true => Ok(()),
            false => Err(Error::Unavailable(format!("`{file}` is not in the cache"))),
        };
        files::for_each_wanted(&names, &snapshot, present).ok()?;
        Some(snapshot)
    }

    fn listing(&self, reference: &HubReference) -> Result<Listing> {
        let HubOptions { endpoint, .. } = &self.options;
        let revision = reference.revision.replace('/', "%2F");
        let url = format!(
            "{endpoint}/api/models/{}/revision/{revision}",
            reference.repository
        );
        let mut response = self.get(&url, None)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(self.refused(reference, status));
        }
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::Unavailable(format!("{url}: expected a list of files, got {error}"))
        };
        let mut reader = response
            .body_mut()
            .with_config()
            .limit(MAX_LISTING_BYTES)
            .reader();
        let (began, mut body) = (Instant::now(), Vec::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|error| unreadable(&error))?;
            if count == 0 {
                break;
            }
            body.extend_from_slice(&buffer[..count]);
            if began.elapsed() > self.options.timeout * LISTING_TIMEOUTS {
                return Err(unreadable(&"it too slowly"));
            }
        }
        Listing::read(&body).map_err(|error| unreadable(&error))
    }

    fn refused(&self, reference: &HubReference, status: u16) -> Error {
        let HubReference {
            repository,
            revision,
        } = reference;
        Error::Unavailable(match status {
            401 | 403 => format!(
                "`{repository}`: access refused ({status}); it is private, gated or does not exist, \
                 and HF_TOKEN {}",
                if self.options.token.is_some() {
                    "does not open it"
                } else {
                    "is not set"
                }
            ),
            404 => format!("`{repository}` (revision {revision}) does not exist"),
            _ => format!("`{repository}`: the server answered {status}"),
        })
    }

    fn get(&self, url: &str, from: Option<u64>) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        // Every URL here is the endpoint's, and the client drops the header on redirection.
        if let Some(token) = &self.options.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| {
            Error::Unavailable(format!(
                "{} cannot be reached: {error}",
                self.options.endpoint
            ))
        })
    }
}

#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Listing {
    /// Reads the Hub's answer; the error says what it is instead of a listing.
    fn read(body: &[u8]) -> Result<Self, String> {
        let listing: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match is_commit(&listing.sha) {
            true => Ok(listing),
            false => Err(format!("commit {:?}", listing.sha)),
        }
    }

    /// The files of the repository, but for those that would lie outside of it.
    fn names(&self) -> Vec<String> {
        let names = self.siblings.iter().map(|sibling| &sibling.rfilename);
        names
            .filter(|name| files::is_plain_path(name))
            .cloned()
            .collect()
    }
}

/// A full commit hash: 40 hexadecimal digits.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
