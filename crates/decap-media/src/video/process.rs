//! A program that works on one clip: bounded in time, killed with all that it started.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, InputFault, Limit, Result};

/// The file that the programs read, and how long they may take together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clip<'a> {
    pub(super) path: &'a Path,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
}

/// What a program left behind.
pub(super) struct Finished<Output, Talk> {
    pub(super) output: Output,
    pub(super) talk: Talk,
    pub(super) status: ExitStatus,
}

/// Runs `command` to its end. Two plain threads read its outputs as they come, so it never waits
/// for this process' compute pool.
///
/// # Errors
/// [`Error::Unavailable`] if the program is not installed, [`Error::Input`] if it does not finish
/// before the clip's deadline, [`Error::Io`] if it cannot be started or read.
pub(super) fn run<Output, Talk>(
    mut command: Command,
    clip: Clip,
    read_output: impl FnOnce(ChildStdout) -> io::Result<Output> + Send + 'static,
    read_talk: impl FnOnce(ChildStderr) -> io::Result<Talk> + Send + 'static,
) -> Result<Finished<Output, Talk>>
where
    Output: Send + 'static,
    Talk: Send + 'static,
{
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| Error::io(&program, source);
    let too_long = || {
        let seconds = clip.timeout.as_secs_f64();
        let message = format!("{program} did not finish within {seconds} s");
        let limit = Limit::Time;
        Error::input(clip.path, InputFault::OverLimit { limit, message })
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    lead_a_group(&mut command);
    let mut running = Running(command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Unavailable(format!(
            "{}: videos need the program `{program}`, which is not found; it comes with ffmpeg",
            clip.path.display()
        )),
        _ => failed(source),
    })?);
    let missing = || failed(io::ErrorKind::BrokenPipe.into());
    let stdout = running.0.stdout.take().ok_or_else(missing)?;
    let stderr = running.0.stderr.take().ok_or_else(missing)?;
    let output = in_thread(move || read_output(stdout)).map_err(failed)?;
    let talk = in_thread(move || read_talk(stderr)).map_err(failed)?;

    let output = receive(&output, clip.deadline).ok_or_else(too_long)?;
    let output = output.map_err(failed)?;
    let talk = receive(&talk, clip.deadline).ok_or_else(too_long)?;
    let talk = talk.map_err(failed)?;
    // Both outputs are closed, so it is about to end; a wrapper script may still dawdle.
    let status = running.wait_until(clip.deadline).map_err(failed)?;
    Ok(Finished {
        output,
        talk,
        status: status.ok_or_else(too_long)?,
    })
}

/// The lines of a program's stderr, each without its line feed and cut at 4 KiB.
pub(super) fn for_each_line(pipe: impl Read, mut each: impl FnMut(&str)) -> io::Result<()> {
    const MOST_LINE: u64 = 4096;

    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader
            .by_ref()
            .take(MOST_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        each(String::from_utf8_lossy(&line).trim_end());
    }
}

/// What a program complains of: the first few lines, without the name and the address of the part
/// of it that speaks (`[mov,mp4 @ 0x55d0c8] `), which differ from run to run.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<String>);

impl Complaints {
    pub(super) fn push(&mut self, line: &str) {
        const MOST_LINES: usize = 16;

        let reason = without_speaker(line.trim());
        if !reason.is_empty() && self.0.len() < MOST_LINES {
            self.0.push(reason.to_owned());
        }
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// The first line that contains `words`.
    pub(super) fn mentioning(&self, words: &str) -> Option<&str> {
        let mut lines = self.0.iter().map(String::as_str);
        lines.find(|line| line.contains(words))
    }
}

/// The part of a log line that follows its `[name @ 0xaddress]` marks.
fn without_speaker(line: &str) -> &str {
    let mut rest = line;
    while let Some((speaker, reason)) = rest.split_once("] ") {
        if !speaker.starts_with('[') || !speaker.contains(" @ 0x") {
            break;
        }
        rest = reason.trim_start();
    }
    rest
}

/// The name in a log line's first `[name @ 0xaddress]` mark.
pub(super) fn speaker_in(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().strip_prefix('[')?.split_once(" @ 0x")?;
    Some(name)
}

/// A child process that does not outlive its use, nor does anything that it started.
struct Running(Child);

impl Running {
    /// Its exit status, or `None` at the deadline.
    fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        const PAUSE: Duration = Duration::from_millis(1);

        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&self.0);
        // Both fail only for a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the child the leader of a process group of its own: the program may be a wrapper script.
#[cfg(unix)]
fn lead_a_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn lead_a_group(_: &mut Command) {}

/// Kills what is left of the child's process group. The system gives a group's number to nobody
/// else as long as the group has a member; if it has none, there is nothing to kill.
#[cfg(unix)]
fn kill_group(child: &Child) {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;

    // Group 0 would be our own, and 1 everything.
    if let Some(group) = i32::try_from(child.id()).ok().filter(|group| *group > 1) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_: &Child) {}

fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<Receiver<io::Result<T>>> {
    let (sender, receiver) = channel();
    thread::Builder::new().name("video".into()).spawn(move || {
        // Nobody listens any more if the time was up.
        let _ = sender.send(work());
    })?;
    Ok(receiver)
}

/// What the thread delivers, or `None` at the deadline.
fn receive<T>(receiver: &Receiver<io::Result<T>>, deadline: Instant) -> Option<io::Result<T>> {
    let left = deadline.saturating_duration_since(Instant::now());
    match receiver.recv_timeout(left) {
        Ok(result) => Some(result),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_have_no_addresses() {
        let cases = [
            (
                "[mov,mp4 @ 0x5610279bb840] moov atom not found",
                "moov atom not found",
            ),
            (
                "[h264 @ 0x55f9] [IMGUTILS @ 0x7ffc] Picture size",
                "Picture size",
            ),
            ("[a] b", "[a] b"),
            ("x.mp4: Invalid data", "x.mp4: Invalid data"),
        ];
        for (line, reason) in cases {
            let mut complaints = Complaints::default();
            complaints.push("  ");
            complaints.push(line);
            assert_eq!(complaints.first(), Some(reason));
        }
        assert_eq!(speaker_in("[hls @ 0x55] no"), Some("hls"));
        assert_eq!(speaker_in("[hls] no"), None);
    }

    #[test]
    fn lines_are_bounded() {
        let long = [vec![b'a'; 5000], b"\nb\r\n".to_vec()].concat();
        let mut lengths = Vec::new();
        for_each_line(long.as_slice(), |line| lengths.push(line.len())).unwrap();
        assert_eq!(lengths, [4096, 904, 1]);
    }
}
