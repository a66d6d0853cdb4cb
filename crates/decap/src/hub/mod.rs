//! Encoders from the Hugging Face Hub, downloaded once into its usual cache.
//!
//! Files lie where every other Hub client looks for them
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>): `blobs/ETAG`,
//! `snapshots/COMMIT/FILE` and `refs/REVISION`. A file has its place only when all of it has arrived
//! and its length, and for large files its SHA-256, are right.

mod download;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// Files of a CLIP or of an encoder of ours that are always wanted, where they are there.
const SMALL_FILES: &[&str] = &[
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
];

/// Weights in the order of preference; the first that is there is taken.
const WEIGHTS: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
];

/// Most bytes of a listing, and most files in it.
const MAX_LISTING_BYTES: u64 = 16 << 20;

/// How the Hub is reached and where its files are kept.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// `HF_ENDPOINT`, or <https://huggingface.co>.
    pub endpoint: String,
    /// `HF_TOKEN`: sent to the endpoint alone.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE`: whether only the cache is used.
    pub network: Network,
    /// `HTTPS_PROXY` and its kin are followed, or nothing.
    pub proxy: ProxyChoice,
    /// How often a download that breaks off is taken up again.
    pub retries: u32,
    /// The wait before the first retry; each further one is twice as long.
    pub retry_wait: Duration,
    /// How long to wait for a connection, and for the next bytes.
    pub timeout: Duration,
}

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Yes.
    Online,
    /// No: what is not in the cache is not there.
    Offline,
}

/// Which proxy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyChoice {
    /// The one that the environment names (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    Environment,
    /// None.
    None,
}

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

/// A repository and the revision of it that is wanted: `openai/clip-vit-base-patch32@main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubReference {
    /// `owner/name`.
    pub repository: String,
    /// A branch, a tag or a commit; `main` unless given.
    pub revision: String,
}

impl HubReference {
    /// Reads `owner/name` or `owner/name@revision`; `None` where `text` is neither.
    ///
    /// ```
    /// use decap::hub::HubReference;
    /// let reference = HubReference::parse("laion/CLIP-ViT-B-32@refs/pr/3").unwrap();
    /// assert_eq!(reference.repository, "laion/CLIP-ViT-B-32");
    /// assert_eq!(reference.revision, "refs/pr/3");
    /// assert!(HubReference::parse("./folder/name").is_none());
    /// assert!(HubReference::parse("just-a-name").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (owner, name) = repository.split_once('/')?;
        let is_name = |part: &str| {
            !part.is_empty()
                && part.len() <= 96
                && !part.starts_with(['.', '-'])
                && !part.contains("..")
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let is_revision = !revision.is_empty() && revision.split('/').all(is_name);
        (is_name(owner) && is_name(name) && is_revision).then(|| Self {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// The repository's folder within the cache.
    fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}

impl HubOptions {
    /// What the environment says, as `huggingface_hub` reads it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where there is no home folder to keep the cache in.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let cache = match (variable("HF_HUB_CACHE"), variable("HF_HOME")) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => Path::new(&home).join("hub"),
            (None, None) => {
                let home = variable("XDG_CACHE_HOME")
                    .map(PathBuf::from)
                    .or_else(|| env::home_dir().map(|home| home.join(".cache")));
                let home = home.ok_or_else(|| {
                    let message = "expected a home folder for the cache; set HF_HOME to a folder";
                    Error::Unavailable(message.to_owned())
                })?;
                home.join("huggingface/hub")
            }
        };
        let is_true = |value: String| {
            matches!(
                value.to_ascii_uppercase().as_str(),
                "1" | "ON" | "YES" | "TRUE"
            )
        };
        let offline = variable("HF_HUB_OFFLINE").is_some_and(is_true);
        let endpoint =
            variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: variable("HF_TOKEN").map(|token| token.trim().to_owned()),
            network: if offline {
                Network::Offline
            } else {
                Network::Online
            },
            proxy: ProxyChoice::Environment,
            retries: 5,
            retry_wait: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
        })
    }
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

    /// The folder of the encoder that `reference` names, downloaded where the cache lacks it.
    ///
    /// Only what an encoder needs is fetched: configuration, tokenizer and one file of weights (or
    /// its shards). Without a network, and where the cache holds all of it, the cache is used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the Hub cannot be reached or refuses, and the cache lacks it;
    /// [`Error::Model`] where the repository holds no encoder, or a file arrives damaged.
    pub fn encoder(
        &self,
        reference: &HubReference,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<PathBuf> {
        if self.options.network == Network::Offline {
            return self.cached(reference).ok_or_else(|| {
                Error::Unavailable(format!(
                    "`{}` (revision {}) is not in the cache {}, and HF_HUB_OFFLINE forbids to fetch it",
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
        let name = |sibling: Sibling| sibling.rfilename;
        let mut names: Vec<String> = listing.siblings.into_iter().map(name).collect();
        names.retain(|name| is_plain_path(name));
        let wanted = wanted_files(&names).ok_or_else(|| {
            Error::model(
                &reference.repository,
                format!(
                    "expected weights of a CLIP ({}) or encoder.json, got none",
                    WEIGHTS.join(", ")
                ),
            )
        })?;
        let repository = self.options.cache.join(reference.folder());
        let snapshot = repository.join("snapshots").join(&listing.sha);
        let mut queue = wanted;
        while let Some(file) = queue.pop() {
            let path = snapshot.join(&file);
            if !path.is_file() {
                self.download(reference, &listing.sha, &file, &repository, progress)?;
            }
            // What a file names comes after it: the shards of an index, the towers of an encoder.
            queue.extend(named_files(&path, &file)?);
        }
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
        let all: Vec<String> = SMALL_FILES
            .iter()
            .chain(WEIGHTS)
            .map(|&name| name.to_owned())
            .collect();
        let present = |name: &String| snapshot.join(name).is_file();
        let mut queue = wanted_files(&all.into_iter().filter(present).collect::<Vec<_>>())?;
        while let Some(file) = queue.pop() {
            let path = snapshot.join(&file);
            if !path.is_file() {
                return None;
            }
            queue.extend(named_files(&path, &file).ok()?);
        }
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
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_LISTING_BYTES)
            .read_to_vec();
        let body = body.map_err(|error| unreadable(&error))?;
        let listing: Listing = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
        if !is_commit(&listing.sha) {
            return Err(unreadable(&format!("commit {:?}", listing.sha)));
        }
        Ok(listing)
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

/// What an encoder needs of a repository's files, or `None` where it holds none.
fn wanted_files(names: &[String]) -> Option<Vec<String>> {
    let has = |name: &str| names.iter().any(|other| other == name);
    let mut wanted: Vec<String> = SMALL_FILES
        .iter()
        .filter(|name| has(name))
        .map(|&name| name.to_owned())
        .collect();
    if !has("encoder.json") {
        let weights = WEIGHTS.iter().find(|name| has(name))?;
        wanted.push((*weights).to_owned());
    }
    Some(wanted)
}

/// The files that `file` at `path` names: the shards of an index, the towers of an encoder.
fn named_files(path: &Path, file: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let broken = |error: serde_json::Error| Error::model(path, format!("not valid: {error}"));
    let read = || fs::read(path).map_err(|source| Error::io(path, source));
    let mut names = if file.ends_with(".index.json") {
        let index: Index = serde_json::from_slice(&read()?).map_err(broken)?;
        index.weight_map.into_values().collect()
    } else if file == "encoder.json" {
        let description: crate::encoder::EncoderDescription =
            serde_json::from_slice(&read()?).map_err(broken)?;
        description.files()
    } else {
        Vec::new()
    };
    names.sort_unstable();
    names.dedup();
    match names.iter().find(|name| !is_plain_path(name)) {
        Some(name) => Err(Error::model(
            path,
            format!("expected files beside it, got {name:?}"),
        )),
        None => Ok(names),
    }
}

/// Whether a name stays below the folder it is joined to.
fn is_plain_path(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty()
        && !name.contains(['\\', '\0'])
        && components.all(|part| matches!(part, Component::Normal(_)))
}

/// A full commit hash: 40 hexadecimal digits.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
