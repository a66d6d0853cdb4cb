//! Progress bars on a terminal, silence elsewhere.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{
    HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar,
};

use crate::print;

/// A bar on standard error over `total` things called `unit`, where a person is watching and
/// there is more than one thing to watch.
pub fn bar(total: u64, unit: &str) -> ProgressBar {
    if total < 2 || !print::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{rate}}  {{msg}}  {{left}}");
    // The template is constant but for the unit; should it not parse, the plain bar will do.
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", rate).with_key("left", left));
    // Before it is seen: whoever sees it may press Ctrl-C.
    remember(&bar);
    // Shown before the first thing is done, which may take a while.
    bar.tick();
    bar
}

/// A bar over the bytes of a download, where a person is watching.
pub fn bytes() -> ProgressBar {
    if !print::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}  {eta} left";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    remember(&bar);
    bar
}

/// The bar that was shown last.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

fn remember(bar: &ProgressBar) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

fn shown() -> Option<ProgressBar> {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    shown.as_ref().and_then(WeakProgressBar::upgrade)
}

/// Takes the bar off the screen for good.
pub fn clear() {
    if let Some(bar) = shown() {
        bar.finish_and_clear();
    }
}

/// Does `work`, which prints, while the bar is off the screen.
pub fn suspended(work: impl FnOnce()) {
    match shown() {
        Some(bar) => bar.suspend(work),
        None => work(),
    }
}

/// How many a second; nothing before there is something to tell.
fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    let per_second = state.per_sec();
    if state.pos() == 0 || !per_second.is_finite() || per_second <= 0.0 {
        return;
    }
    // Where there is nobody to write to, nothing is lost.
    let _written = match per_second < 10.0 {
        true => write!(text, "{per_second:.1}/s"),
        false => write!(text, "{per_second:.0}/s"),
    };
}

/// The time that is left; nothing before it can be known.
fn left(state: &ProgressState, text: &mut dyn fmt::Write) {
    /// An estimate from less is a guess.
    const LEAST_ELAPSED: Duration = Duration::from_secs(1);
    if state.pos() > 0 && state.elapsed() >= LEAST_ELAPSED {
        let _written = write!(text, "{:#} left", HumanDuration(state.eta()));
    }
}
