//! Standard output, which is data, and standard error, which is talk.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one place that writes to them: a closed or full one is no panic here"
)]

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// Whether `--quiet` was typed: then only errors are told.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on, tells errors alone.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether only errors are told.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line of data.
///
/// # Errors
/// [`Failure::ReaderGone`] where nobody reads it any more, [`Failure::Output`] where it cannot be
/// written.
pub fn line(text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    let mut output = io::stdout().lock();
    // Below the space JSON has none; what lies above matters to terminals alone.
    let is_harmful: fn(char) -> bool = match output.is_terminal() {
        true => is_control,
        false => |letter| is_control(letter) && letter < ' ',
    };
    Ok(writeln!(output, "{}", text.replace(is_harmful, " "))?)
}

/// Whether a terminal would obey a letter, line feeds and tabs aside.
fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
}

/// Prints data of many lines in one go.
///
/// # Errors
/// As [`line`].
pub fn lines(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    write(&mut output)?;
    Ok(output.flush()?)
}

/// Standard output as a sink of lines.
pub fn stdout() -> io::Stdout {
    io::stdout()
}

/// Whether a person watches standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal() && !is_quiet()
}

/// Tells an error, or what a person must know.
pub fn warn(text: impl Display) {
    // Where standard error is closed, there is nobody to tell.
    let text = text.to_string().replace(is_control, " ");
    let _told = writeln!(io::stderr().lock(), "{text}");
}

/// Tells what a person likes to know.
pub fn tell(text: impl Display) {
    if !is_quiet() {
        warn(text);
    }
}

/// Makes sure that there is a standard output: a closed one would swallow every caption.
///
/// # Errors
/// [`Failure::Output`] where it was closed when the program began.
#[cfg(target_os = "linux")]
pub fn check_stdout() -> Result<(), Failure> {
    // What is closed at the start is opened as `/dev/null` by the standard library, to read and to
    // write; a shell's `>/dev/null` is open to write alone.
    let is_null =
        std::fs::read_link("/proc/self/fd/1").is_ok_and(|it| it.as_os_str() == "/dev/null");
    let flags = std::fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let mode = flags.lines().find_map(|line| line.strip_prefix("flags:"));
    let mode = mode.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    if is_null && mode.is_some_and(|mode| mode & 0o3 == 0o2) {
        let message = "standard output is closed";
        return Err(Failure::Output(io::Error::new(
            io::ErrorKind::BrokenPipe,
            message,
        )));
    }
    Ok(())
}

/// Elsewhere a closed standard output is told when it is written to.
#[cfg(not(target_os = "linux"))]
pub fn check_stdout() -> Result<(), Failure> {
    Ok(())
}
