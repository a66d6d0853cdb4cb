//! How the Hub is reached: what the environment says, as `huggingface_hub` reads it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use decap::{Error, Result};

/// How the Hub is reached and where its files are kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// The cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// `HF_ENDPOINT`, or <https://huggingface.co>.
    pub endpoint: String,
    /// `HF_TOKEN`, or what `HF_TOKEN_PATH` or `token` in `HF_HOME` holds: sent to the endpoint alone.
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

impl HubOptions {
    /// What the environment says, as `huggingface_hub` reads it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where there is no home folder to keep the cache in.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| env::home_dir().map(|home| home.join(".cache")));
            Some(cache?.join("huggingface"))
        });
        let cache = variable("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or_else(|| {
                let message = "expected a home folder for the cache; set HF_HOME to a folder";
                Error::Unavailable(message.to_owned())
            })?;
        // Where `hf auth login` keeps the token.
        let token_file = variable("HF_TOKEN_PATH")
            .map(PathBuf::from)
            .or_else(|| Some(home?.join("token")));
        let token = variable("HF_TOKEN")
            .or_else(|| fs::read_to_string(token_file?).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let is_true = |value: String| {
            matches!(
                value.to_ascii_uppercase().as_str(),
                "1" | "ON" | "YES" | "TRUE"
            )
        };
        let endpoint =
            variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
            network: if variable("HF_HUB_OFFLINE").is_some_and(is_true) {
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
