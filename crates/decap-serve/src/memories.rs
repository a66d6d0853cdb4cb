//! Memories that were taught while the service runs; they end with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use decap::memory::Memory;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::names::check_name;

/// The name of the memory that the model came with.
pub const OWN: &str = "model";

/// A memory and its number.
pub type Numbered = (u64, Arc<Memory>);

/// Memories by name.
pub struct Memories {
    own_sentences: usize,
    most: usize,
    next: AtomicU64,
    taught: Mutex<BTreeMap<String, Numbered>>,
    /// One memory is built at a time: the text tower uses all cores.
    pub building: Semaphore,
}

/// What is told of a memory.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemoryFacts {
    /// `model` for the model's own.
    name: String,
    /// How many it holds.
    sentences: usize,
}

impl Memories {
    /// None taught yet, at most `most` later.
    pub fn new(own_sentences: usize, most: usize) -> Self {
        Self {
            own_sentences,
            most,
            next: AtomicU64::new(1),
            taught: Mutex::default(),
            building: Semaphore::new(1),
        }
    }

    /// Refuses a name that cannot be given.
    ///
    /// # Errors
    /// [`ApiError::Unusable`] for such a name, or where there are too many memories.
    pub fn check(&self, name: &str) -> Result<(), ApiError> {
        check_name(name)?;
        if name == OWN {
            let message = format!("`name`: `{OWN}` is the model's own memory; take another name");
            return Err(ApiError::Unusable(message));
        }
        let taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        if taught.len() >= self.most && !taught.contains_key(name) {
            let most = self.most;
            return Err(ApiError::Unusable(format!(
                "expected at most {most} memories; delete one first"
            )));
        }
        Ok(())
    }

    /// Keeps a memory under a name; one of that name is replaced.
    ///
    /// # Errors
    /// As [`Memories::check`].
    pub fn keep(&self, name: &str, memory: Memory) -> Result<MemoryFacts, ApiError> {
        self.check(name)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sentences = memory.len();
        let mut taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        taught.insert(name.to_owned(), (number, Arc::new(memory)));
        Ok(MemoryFacts {
            name: name.to_owned(),
            sentences,
        })
    }

    /// The memory of this name; nothing for the model's own.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn named(&self, name: &str) -> Result<Option<Numbered>, ApiError> {
        if name == OWN {
            return Ok(None);
        }
        let taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        taught
            .get(name)
            .cloned()
            .map(Some)
            .ok_or_else(|| no_such(name))
    }

    /// Forgets a memory.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn forget(&self, name: &str) -> Result<(), ApiError> {
        let mut taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        taught.remove(name).map(|_| ()).ok_or_else(|| no_such(name))
    }

    /// All of them, the model's own first.
    pub fn list(&self) -> Vec<MemoryFacts> {
        let own = MemoryFacts {
            name: OWN.to_owned(),
            sentences: self.own_sentences,
        };
        let taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = taught.iter().map(|(name, (_, memory))| MemoryFacts {
            name: name.clone(),
            sentences: memory.len(),
        });
        std::iter::once(own).chain(facts).collect()
    }
}

fn no_such(name: &str) -> ApiError {
    ApiError::NotFound(format!(
        "there is no memory `{name}`; GET /v1/memories lists them"
    ))
}
