//! An image tower that is read when the first photo comes: sentences need none.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ImageTower, Preprocess};
use crate::error::{Error, Result};

/// Reads the tower.
type Read = Box<dyn Fn() -> Result<Arc<dyn ImageTower>> + Send + Sync>;

/// A tower whose preprocessing and width are known before its weights are read.
pub(super) struct DeferredImageTower {
    preprocess: Preprocess,
    width: usize,
    read: Read,
    tower: Mutex<Option<Arc<dyn ImageTower>>>,
}

impl DeferredImageTower {
    /// A tower of this preprocessing and `width` that `read` gives.
    pub(super) fn new(
        preprocess: Preprocess,
        width: usize,
        read: impl Fn() -> Result<Arc<dyn ImageTower>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            preprocess,
            width,
            read: Box::new(read),
            tower: Mutex::new(None),
        }
    }

    fn tower(&self) -> Result<Arc<dyn ImageTower>> {
        let mut slot = self.tower.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tower) = &*slot {
            return Ok(Arc::clone(tower));
        }
        let tower = (self.read)()?;
        if tower.width() != self.width || *tower.preprocess() != self.preprocess {
            return Err(Error::Mismatch(format!(
                "expected an image tower of width {}, got {}",
                self.width,
                tower.width()
            )));
        }
        *slot = Some(Arc::clone(&tower));
        Ok(tower)
    }
}

impl ImageTower for DeferredImageTower {
    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>> {
        self.tower()?.forward(pixels, batch)
    }
}

impl fmt::Debug for DeferredImageTower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredImageTower")
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}
