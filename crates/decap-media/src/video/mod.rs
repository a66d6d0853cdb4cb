//! Frames of a video, through the programs ffmpeg and ffprobe.

mod container;
mod decode;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod probe;
mod process;
mod timeline;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::RgbImage;
use crate::error::{Error, InputFault, Result};
use crate::limits::{Limits, check_pixels};
pub use container::{HEAD_BYTES, is_video, is_video_head};
use container::{playlist_kind, read_head};
use decode::{Decoded, Source, decode, scaled_size};
use probe::{Probed, Stream, probe};
use process::Clip;
use timeline::{Timeline, main_stream};

/// How a video is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VideoOptions {
    /// Frames taken, spread evenly: each from the middle of its share of the video. 1 to 1,024.
    /// Default 8.
    pub frames: usize,
    /// The shorter side of a frame in pixels, at least 1; smaller videos keep their size. ffmpeg
    /// shrinks larger ones, so that nothing is kept at full size. Default 512: twice what most
    /// encoders see.
    pub shortest_side: u32,
    /// Time that all the work on one video may take. Default one minute.
    pub timeout: Duration,
    /// Limits of a frame before it is scaled; the size of the video's file is not limited.
    pub limits: Limits,
    /// The program that decodes. Default: `ffmpeg`, looked for in the usual places.
    pub ffmpeg: PathBuf,
    /// The program that reads what the container says. Default: `ffprobe`.
    pub ffprobe: PathBuf,
}

impl Default for VideoOptions {
    fn default() -> Self {
        Self {
            frames: 8,
            shortest_side: 512,
            timeout: Duration::from_secs(60),
            limits: Limits::default(),
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
        }
    }
}

/// Frames of a video, and what was wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledFrames {
    /// As many as asked for, upright and in order. A picture that is held is there several times.
    pub images: Vec<RgbImage>,
    /// What a user should know: the video is damaged or cut short, so these are frames of the part
    /// that can be decoded. Lower case; the path is not named.
    pub warnings: Vec<String>,
    /// For how long pictures are shown, where the file says so: of `n` images each stands for the `n`th part of it.
    pub seconds: Option<f64>,
}

/// Takes `options.frames` frames of the video at `path`.
///
/// Frame `k` of `n` is the picture shown at `(k + 1/2) / n` of the time that pictures are shown,
/// by their own timestamps: the last one that begins at or before that moment, for as long as it is
/// held. What the container or the audio claims as length has no say.
///
/// ffprobe reads the timestamps, then ffmpeg decodes the video once, in order, up to the last frame
/// taken, and delivers these frames alone, scaled. In a film of hours it skips what lies between.
/// The programs read this file alone, whatever the file tells them to open, and no shell is
/// involved. They and all that they start are killed when the time is up.
///
/// # Errors
/// [`Error::Unavailable`] if ffmpeg is not installed; [`Error::Io`] if there is no such file;
/// [`Error::Input`] if it is not a video, is damaged, or takes too long; [`Error::Usage`] for
/// options out of range.
///
/// ```no_run
/// use decap_media::video::{VideoOptions, sample};
///
/// let sampled = sample("clip.mp4", &VideoOptions::default())?;
/// assert_eq!(sampled.images.len(), 8);
/// # Ok::<(), decap_media::Error>(())
/// ```
pub fn sample(path: impl AsRef<Path>, options: &VideoOptions) -> Result<SampledFrames> {
    let path = path.as_ref();
    check_options(options)?;
    check_file(path)?;
    let clip = Clip {
        path,
        deadline: deadline_after(options.timeout),
        timeout: options.timeout,
    };
    let probed = probe(clip, options)?;
    let stream = main_stream(&probed).ok_or_else(|| {
        let message = "expected a video, got no video stream".to_owned();
        Error::input(path, InputFault::Unsupported(message))
    })?;
    check_size(stream, options).map_err(|fault| Error::input(path, fault))?;
    let undecodable = |reason: Option<&str>| {
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        let message = format!("no frame can be decoded{reason}");
        Error::input(path, InputFault::Damaged(message))
    };
    let timeline = Timeline::new(&stream.packets, &probed.format, stream.time_base)
        .ok_or_else(|| undecodable(probed.complaint.as_deref()))?;
    let source = Source {
        clip,
        options,
        stream,
        clock: timeline.clock(),
    };
    let decoded = decode(&source, &timeline.targets(options.frames))?;
    if decoded.images.is_empty() {
        return Err(undecodable(decoded.complaint.as_deref()));
    }
    let warnings = warnings(&probed, stream, &decoded);
    Ok(SampledFrames {
        images: decoded.images,
        warnings,
        seconds: timeline.seconds(stream.time_base),
    })
}

fn deadline_after(timeout: Duration) -> Instant {
    /// For a limit beyond what the clock can express.
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + YEAR)
}

fn check_options(options: &VideoOptions) -> Result<()> {
    /// Far more than a caption needs; each is named in ffmpeg's arguments.
    const MOST_FRAMES: usize = 1024;

    if !(1..=MOST_FRAMES).contains(&options.frames) {
        return Err(Error::Usage(format!(
            "expected 1 to {MOST_FRAMES} frames a video, got {}",
            options.frames
        )));
    }
    if options.shortest_side == 0 {
        return Err(Error::Usage(
            "expected a shortest side of at least 1 pixel, got 0".into(),
        ));
    }
    Ok(())
}

/// The programs' own message for a missing file names no kind, a pipe would keep them waiting, and
/// not every playlist is one to them.
fn check_file(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
    if !metadata.is_file() {
        let kind = match metadata.is_dir() {
            true => "a folder",
            false => "a pipe or device",
        };
        let message = format!("expected a video in a regular file, got {kind}");
        return Err(Error::input(path, InputFault::Unsupported(message)));
    }
    let head = read_head(path).map_err(|source| Error::io(path, source))?;
    match playlist_kind(&head) {
        Some(kind) => Err(Error::input(path, playlist(kind))),
        None => Ok(()),
    }
}

/// Refuses a frame that is too large to decode, and frames that are too large to keep together.
fn check_size(stream: &Stream, options: &VideoOptions) -> Result<(), InputFault> {
    check_pixels(stream.width, stream.height, &options.limits)?;
    let (long, short) = scaled_size(stream, options.shortest_side);
    let frame_bytes = u128::from(long) * u128::from(short) * 3;
    let bytes = frame_bytes * options.frames as u128;
    let most = options.limits.decoder_bytes;
    if bytes > u128::from(most) {
        return Err(InputFault::TooLarge(format!(
            "expected frames of at most {most} bytes together, got {} of {long} x {short} pixels",
            options.frames
        )));
    }
    Ok(())
}

fn playlist(kind: &str) -> InputFault {
    let message = format!("expected a video, got a playlist ({kind}), which names other files");
    InputFault::Unsupported(message)
}

fn warnings(probed: &Probed, stream: &Stream, decoded: &Decoded) -> Vec<String> {
    let mut warnings = Vec::new();
    // Only the index of MP4 and QuickTime counts frames; AVI counts ticks.
    let promised = stream
        .promised_frames
        .filter(|_| probed.format.starts_with("mov,"));
    let present = stream.packets.len() as u64;
    if let Some(promised) = promised.filter(|promised| *promised > present) {
        warnings.push(format!(
            "the file ends early: {present} of {promised} frames are in it"
        ));
    }
    if decoded.missing > 0 {
        let (missing, frames) = (
            decoded.missing,
            if decoded.missing == 1 {
                "frame"
            } else {
                "frames"
            },
        );
        warnings.push(format!(
            "{missing} {frames} cannot be decoded; the nearest ones are taken"
        ));
    }
    let complaint = probed.complaint.as_ref().or(decoded.complaint.as_ref());
    warnings.extend(complaint.map(|reason| format!("the video is damaged in part: {reason}")));
    warnings
}

/// `file:PATH`, so that no path is taken for an option or an address.
fn local(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, b"anything").unwrap();
        let options = VideoOptions {
            ffprobe: "no-such-program-as-this".into(),
            ..VideoOptions::default()
        };
        let error = sample(&path, &options).unwrap_err();
        assert_eq!(error.kind(), "unavailable");
        assert!(
            error.to_string().contains("no-such-program-as-this"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_a_video_is_refused_before_any_program_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, b"anything").unwrap();
        let options = VideoOptions::default();
        for frames in [0, 1025, usize::MAX] {
            let wrong = VideoOptions {
                frames,
                ..options.clone()
            };
            assert_eq!(sample(&path, &wrong).unwrap_err().kind(), "usage");
        }
        let flat = VideoOptions {
            shortest_side: 0,
            ..options.clone()
        };
        assert_eq!(sample(&path, &flat).unwrap_err().kind(), "usage");
        let missing = sample(folder.path().join("b.mp4"), &options);
        assert_eq!(missing.unwrap_err().kind(), "not_found");
        let directory = sample(folder.path(), &options).unwrap_err();
        assert_eq!(directory.kind(), "unsupported");
        assert!(
            directory.to_string().contains("got a folder"),
            "{directory}"
        );
    }

    #[test]
    fn frames_that_are_too_large_together_are_refused() {
        let stream = Stream {
            width: 1920,
            height: 1080,
            ..Stream::default()
        };
        let bytes = |decoder_bytes| VideoOptions {
            limits: Limits {
                decoder_bytes,
                ..Limits::default()
            },
            ..VideoOptions::default()
        };
        let needed = 910 * 512 * 3 * 8;
        assert_eq!(check_size(&stream, &bytes(needed)), Ok(()));
        let fault = check_size(&stream, &bytes(needed - 1)).unwrap_err();
        assert!(matches!(fault, InputFault::TooLarge(_)), "{fault}");
    }

    #[test]
    fn a_cut_video_is_told_in_numbers() {
        let decoded = |missing, complaint: Option<&str>| Decoded {
            images: Vec::new(),
            missing,
            complaint: complaint.map(str::to_owned),
        };
        let stream = Stream {
            promised_frames: Some(40),
            ..Stream::default()
        };
        let mut probed = Probed {
            format: "mov,mp4".into(),
            ..Probed::default()
        };
        let cut = ["the file ends early: 0 of 40 frames are in it"];
        assert_eq!(warnings(&probed, &stream, &decoded(0, None)), cut);
        probed.format = "avi".into();
        assert!(warnings(&probed, &stream, &decoded(0, None)).is_empty());
        assert_eq!(
            warnings(&probed, &stream, &decoded(1, Some("no frame!"))),
            [
                "1 frame cannot be decoded; the nearest ones are taken",
                "the video is damaged in part: no frame!"
            ]
        );
    }
}
