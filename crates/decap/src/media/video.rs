//! Frames of a video, through the programs ffmpeg and ffprobe.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::RgbImage;
use super::image::{Limits, check_pixels};
use crate::error::{Error, InputFault, Result};

/// How a video is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoOptions {
    /// Frames taken, spread evenly: each from the middle of its share of the video. Default 8.
    pub frames: usize,
    /// Time that all the work on one video may take. Default one minute.
    pub timeout: Duration,
    /// Limits of a frame; the size of the video's file is not limited, for only parts are read.
    pub limits: Limits,
    /// The program that decodes. Default: `ffmpeg`, looked for in the usual places.
    pub ffmpeg: PathBuf,
    /// The program that tells a video's length. Default: `ffprobe`.
    pub ffprobe: PathBuf,
}

impl Default for VideoOptions {
    fn default() -> Self {
        Self {
            frames: 8,
            timeout: Duration::from_secs(60),
            limits: Limits::default(),
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
        }
    }
}

/// Endings of files that are taken for videos.
const EXTENSIONS: &[&str] = &[
    "mp4", "m4v", "mkv", "webm", "mov", "avi", "mpg", "mpeg", "wmv", "flv", "ts", "ogv", "3gp",
];

/// Whether `path` names a video, by its extension.
pub fn is_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// Frames of the video at `path`, upright and in order; fewer than asked where it has fewer.
///
/// The programs read local files alone, whatever the file tells them to open, and no shell is
/// involved.
///
/// # Errors
/// [`Error::Unavailable`] where ffmpeg is not installed; [`Error::Io`] where there is no such
/// file; [`Error::Input`] where it is no video, damaged, or takes too long; [`Error::Usage`] for
/// no frames.
pub fn sample_frames(path: impl AsRef<Path>, options: &VideoOptions) -> Result<Vec<RgbImage>> {
    let path = path.as_ref();
    if options.frames == 0 {
        return Err(Error::Usage(
            "expected at least one frame a video, got 0".into(),
        ));
    }
    // The programs' own message for a missing file names no kind.
    std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
    let deadline = Instant::now() + options.timeout;
    let seconds = length(path, options, deadline)?;

    let mut frames: Vec<RgbImage> = Vec::with_capacity(options.frames);
    for frame in 0..options.frames {
        let middle = seconds * (frame as f64 + 0.5) / options.frames as f64;
        frames.extend(frame_at(path, middle, options, deadline)?);
    }
    if frames.is_empty() {
        // A still, or a length that is wrong: the beginning is there if anything is.
        frames.extend(frame_at(path, 0.0, options, deadline)?);
    }
    if frames.is_empty() {
        return Err(Error::input(
            path,
            InputFault::Damaged("no frame can be decoded".into()),
        ));
    }
    Ok(frames)
}

/// What ffprobe prints of the first video stream and of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Probed {
    streams: Vec<ProbedStream>,
    format: ProbedFormat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProbedStream {
    width: u32,
    height: u32,
    duration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProbedFormat {
    duration: Option<String>,
}

/// The length in seconds; 0 where the file does not tell.
fn length(path: &Path, options: &VideoOptions, deadline: Instant) -> Result<f64> {
    /// Far more than ffprobe prints of one stream.
    const MOST_OUTPUT: u64 = 1 << 20;

    let mut command = Command::new(&options.ffprobe);
    command.args([
        "-v",
        "error",
        "-protocol_whitelist",
        "file",
        "-select_streams",
        "V:0",
    ]);
    command.args([
        "-show_entries",
        "stream=width,height,duration:format=duration",
    ]);
    command.args(["-of", "json", "-i"]).arg(local(path));
    let json = output_of(command, MOST_OUTPUT, path, deadline)?;
    let probed: Probed = serde_json::from_slice(&json).map_err(|error| {
        let message = format!("ffprobe answers what is not understood: {error}");
        Error::input(path, InputFault::Damaged(message))
    })?;
    let Some(stream) = probed.streams.first() else {
        let message = "expected a video, got no video stream".to_owned();
        return Err(Error::input(path, InputFault::Unsupported(message)));
    };
    check_pixels(stream.width, stream.height, &options.limits)
        .map_err(|fault| Error::input(path, fault))?;
    let durations = [&stream.duration, &probed.format.duration];
    let known = durations
        .into_iter()
        .flatten()
        .find_map(|text| text.parse::<f64>().ok());
    Ok(known
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .unwrap_or(0.0))
}

/// The frame shown at `seconds`, if there is one.
fn frame_at(
    path: &Path,
    seconds: f64,
    options: &VideoOptions,
    deadline: Instant,
) -> Result<Option<RgbImage>> {
    /// `P6`, two numbers and 255, with generous room.
    const MOST_HEADER: u64 = 64;

    let mut command = Command::new(&options.ffmpeg);
    command.args([
        "-v",
        "error",
        "-nostdin",
        "-protocol_whitelist",
        "file,pipe",
    ]);
    // Seeking before the input is exact as well: what lies before is decoded and dropped.
    command
        .args(["-ss", &format!("{seconds:.6}"), "-i"])
        .arg(local(path));
    command.args([
        "-map",
        "0:V:0",
        "-frames:v",
        "1",
        "-f",
        "image2pipe",
        "-c:v",
        "ppm",
    ]);
    // A PPM tells its size, which rotation may have exchanged.
    command.args(["-pix_fmt", "rgb24", "pipe:1"]);
    let most = options
        .limits
        .pixels
        .saturating_mul(3)
        .saturating_add(MOST_HEADER);
    let ppm = output_of(command, most, path, deadline)?;
    if ppm.is_empty() {
        return Ok(None); // past the last frame
    }
    read_ppm(&ppm).map(Some).ok_or_else(|| {
        let message = "ffmpeg delivers a frame that is not whole".to_owned();
        Error::input(path, InputFault::Damaged(message))
    })
}

/// `file:PATH`, so that no path is taken for an option or an address.
fn local(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}

/// A binary 8-bit PPM without comments, as ffmpeg writes it.
fn read_ppm(bytes: &[u8]) -> Option<RgbImage> {
    let mut rest = bytes.strip_prefix(b"P6")?;
    let mut number = || -> Option<u32> {
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let digits = rest[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let text = std::str::from_utf8(&rest[start..start + digits]).ok()?;
        rest = &rest[start + digits..];
        text.parse().ok()
    };
    let (width, height, maximum) = (number()?, number()?, number()?);
    let pixels = rest.get(1..)?.to_vec();
    if maximum != 255 {
        return None;
    }
    RgbImage::new(width, height, pixels).ok()
}

/// What `command` prints, if it ends well before `deadline` and prints at most `most` bytes.
fn output_of(mut command: Command, most: u64, path: &Path, deadline: Instant) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Unavailable(format!(
            "{}: videos need the program `{program}`, which is not found; it comes with ffmpeg",
            path.display()
        )),
        _ => Error::io(&program, source),
    })?);
    let output = read_in_thread(child.0.stdout.take(), most.saturating_add(1));
    let complaint = read_in_thread(child.0.stderr.take(), 1 << 16);
    let left = || deadline.saturating_duration_since(Instant::now());
    let too_long = || {
        let message = format!("expected {program} to be done in time, it is not");
        Error::input(path, InputFault::TooLarge(message))
    };

    let output = output.recv_timeout(left());
    let output = match output {
        Ok(output) => output.map_err(|source| Error::io(path, source))?,
        Err(RecvTimeoutError::Timeout) => return Err(too_long()),
        Err(RecvTimeoutError::Disconnected) => Vec::new(),
    };
    if output.len() as u64 > most {
        let message = format!("expected at most {most} bytes from {program}, got more");
        return Err(Error::input(path, InputFault::TooLarge(message)));
    }
    let complaint = match complaint.recv_timeout(left()) {
        Err(RecvTimeoutError::Timeout) => return Err(too_long()),
        complaint => complaint.ok().and_then(io::Result::ok).unwrap_or_default(),
    };
    // Both of its outputs are closed, so it is at its end.
    let status = child.0.wait().map_err(|source| Error::io(path, source))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let message = format!("{program} cannot read it: {}", reason_in(&complaint));
        return Err(Error::input(path, InputFault::Damaged(message)));
    }
    Ok(output)
}

/// The first line of what ffmpeg complains of, without the name and the address of the part of it
/// that does (`[mov,mp4 @ 0x55d0c8] `), which differ from run to run.
fn reason_in(complaint: &str) -> &str {
    let mut lines = complaint.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty()).unwrap_or("no reason");
    match first.split_once("] ") {
        Some((part, reason)) if part.starts_with('[') && part.contains(" @ 0x") => reason,
        _ => first,
    }
}

/// A child process that does not outlive its use.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads at most `most` bytes of `pipe` on a thread of its own, which ends with the pipe.
fn read_in_thread(
    pipe: Option<impl Read + Send + 'static>,
    most: u64,
) -> std::sync::mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    if let Some(pipe) = pipe {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.take(most).read_to_end(&mut bytes).map(|_| bytes);
            // Nobody listens where the time was up.
            let _ = sender.send(read);
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ppm_is_read() {
        let image = read_ppm(b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06").unwrap();
        assert_eq!((image.width(), image.height()), (2, 1));
        assert_eq!(image.pixels(), [1, 2, 3, 4, 5, 6]);
        let bad: [&[u8]; 8] = [
            b"",
            b"P6",
            b"P5\n1 1\n255\n\x01",
            b"P6\n2 1\n255\n\x01\x02\x03",
            b"P6\n1 1\n65535\n\x01\x02\x03",
            b"P6\n99999999999 1\n255\n\x01",
            b"P6\n4294967295 4294967295\n255\n",
            b"P6\n1 1\n255",
        ];
        for bytes in bad {
            assert!(read_ppm(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_complaint_is_told_without_addresses() {
        let complaint = "\n[mov,mp4 @ 0x5610279bb840] moov atom not found\nx.mp4: Invalid data\n";
        assert_eq!(reason_in(complaint), "moov atom not found");
        assert_eq!(reason_in("[a] b"), "[a] b");
        assert_eq!(reason_in("  "), "no reason");
    }

    #[test]
    fn a_missing_program_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, b"anything").unwrap();
        let options = VideoOptions {
            ffprobe: "no-such-program-as-this".into(),
            ..VideoOptions::default()
        };
        let error = sample_frames(&path, &options).unwrap_err();
        assert_eq!(error.kind(), "unavailable");
        assert!(
            error.to_string().contains("no-such-program-as-this"),
            "{error}"
        );
        let none = VideoOptions {
            frames: 0,
            ..VideoOptions::default()
        };
        assert_eq!(sample_frames(&path, &none).unwrap_err().kind(), "usage");
        let missing = sample_frames(folder.path().join("b.mp4"), &VideoOptions::default());
        assert_eq!(missing.unwrap_err().kind(), "not_found");
    }
}
