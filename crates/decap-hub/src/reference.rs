//! What a repository is called.

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
    /// use decap_hub::HubReference;
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
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}
