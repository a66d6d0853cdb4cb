//! Ctrl-C: asked once, the work stops at its next safe point; asked twice, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::print;

/// Whether the person at the keyboard wants the work to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
}

impl Stop {
    /// Listens for Ctrl-C from now on. Where it cannot, Ctrl-C keeps its usual meaning.
    pub fn on_ctrl_c() -> Self {
        let stop = Self::default();
        let flag = Arc::clone(&stop.flag);
        let listening = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            print::warn("\nstopping at the next safe point; Ctrl-C again to stop at once");
        });
        if let Err(error) = listening {
            print::warn(format!("decap: Ctrl-C will stop at once: {error}"));
        }
        stop
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The flag itself, for the library.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }
}
