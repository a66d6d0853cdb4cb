//! Ctrl-C: asked once, work with a safe point stops there, all other work at once; asked twice, at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::print;
use crate::progress;

/// Whether the person at the keyboard wants the work to stop.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the work has safe points, and looks at [`REQUESTED`].
static HAS_SAFE_POINTS: AtomicBool = AtomicBool::new(false);

/// Nobody asks.
static NEVER: AtomicBool = AtomicBool::new(false);

/// Exit code of a run that Ctrl-C ended.
const STOPPED: i32 = 130;

/// Listens for Ctrl-C from now on. Where it cannot, Ctrl-C keeps its usual meaning.
pub fn listen() {
    let listening = ctrlc::set_handler(|| {
        let is_second = REQUESTED.swap(true, Ordering::SeqCst);
        if is_second || !HAS_SAFE_POINTS.load(Ordering::SeqCst) {
            progress::clear();
            std::process::exit(STOPPED);
        }
        progress::suspended(|| {
            print::warn("stopping at the next safe point; Ctrl-C again to stop at once");
        });
    });
    if let Err(error) = listening {
        print::warn(format!("decap: Ctrl-C will stop at once: {error}"));
    }
}

/// What work with safe points asks whether it is to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    flag: &'static AtomicBool,
}

impl Default for Stop {
    /// For work without a safe point, which is stopped from outside.
    fn default() -> Self {
        Self { flag: &NEVER }
    }
}

impl Stop {
    /// For work that looks at this from now on.
    pub fn on_ctrl_c() -> Self {
        HAS_SAFE_POINTS.store(true, Ordering::SeqCst);
        Self { flag: &REQUESTED }
    }

    /// Whether it was asked.
    pub fn requested(self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The flag itself, for the library.
    pub fn flag(self) -> &'static AtomicBool {
        self.flag
    }
}
