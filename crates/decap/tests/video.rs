//! Frames of videos that ffmpeg makes here and now; skipped where it is not installed.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../src/skipped.rs"]
mod skipped;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use decap::media::video::{VideoOptions, sample_frames};
use decap::media::{Limits, RgbImage};

fn ffmpeg(arguments: &[&str], out: &Path) -> bool {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments)
        .arg(out)
        .status();
    let made = made.is_ok_and(|status| status.success());
    if !made {
        skipped::skip(&format!("ffmpeg, which makes {}", out.display()));
    }
    made
}

/// Two seconds of red, then two of blue; 64 x 48 pixels, 10 frames a second.
fn red_then_blue(folder: &Path, name: &str, extra: &[&str]) -> Option<PathBuf> {
    let path = folder.join(name);
    let mut arguments = vec![
        "-f",
        "lavfi",
        "-i",
        "color=red:size=64x48:rate=10:duration=2",
        "-f",
        "lavfi",
        "-i",
        "color=blue:size=64x48:rate=10:duration=2",
        "-filter_complex",
        "[0][1]concat=n=2:v=1:a=0",
    ];
    arguments.extend(extra);
    ffmpeg(&arguments, &path).then_some(path)
}

fn middle(frame: &RgbImage) -> &'static str {
    let at = (frame.pixels().len() / 6) * 3;
    match frame.pixels()[at..at + 3] {
        [200..=255, 0..60, 0..60] => "red",
        [0..60, 0..60, 200..=255] => "blue",
        _ => "neither",
    }
}

#[test]
fn frames_are_spread_evenly() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.mkv", "-i a;b.avi"] {
        let Some(path) = red_then_blue(folder.path(), name, &[]) else {
            return;
        };
        for (count, colours) in [
            (1, vec!["blue"]),
            (2, vec!["red", "blue"]),
            (5, vec!["red", "red", "blue", "blue", "blue"]),
        ] {
            let options = VideoOptions {
                frames: count,
                ..VideoOptions::default()
            };
            let frames = sample_frames(&path, &options).unwrap();
            let found: Vec<_> = frames.iter().map(middle).collect();
            assert_eq!(found, colours, "{name}");
            assert!(
                frames
                    .iter()
                    .all(|frame| (frame.width(), frame.height()) == (64, 48))
            );
        }
    }
}

#[test]
fn a_still_is_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("still.mp4");
    let one = [
        "-f",
        "lavfi",
        "-i",
        "color=red:size=64x48:rate=10",
        "-frames:v",
        "1",
    ];
    if ffmpeg(&one, &path) {
        let frames = sample_frames(&path, &VideoOptions::default()).unwrap();
        assert!(!frames.is_empty() && frames.iter().all(|frame| middle(frame) == "red"));
    }
}

#[test]
fn what_is_no_video_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = red_then_blue(folder.path(), "a.mp4", &[]) else {
        return;
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let bytes = fs::read(&whole).unwrap();
    let sound = folder.path().join("sound.wav");
    assert!(ffmpeg(&["-f", "lavfi", "-i", "sine=duration=1"], &sound));
    let cases = [
        (write("empty.mp4", b""), "damaged"),
        (write("text.mp4", b"a man rides a horse"), "damaged"),
        (write("cut.mp4", &bytes[..bytes.len() / 2]), "damaged"),
        (sound, "unsupported"),
        // A playlist must not make the program open what it names.
        (
            write(
                "list.m3u8",
                b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
            ),
            "damaged",
        ),
        (
            write(
                "list.txt",
                b"ffconcat version 1.0\nfile 'http://127.0.0.1:9/a'\n",
            ),
            "damaged",
        ),
    ];
    for (path, kind) in cases {
        let error = sample_frames(&path, &VideoOptions::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn limits_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = red_then_blue(folder.path(), "a.mp4", &[]) else {
        return;
    };
    let small = VideoOptions {
        limits: Limits {
            pixels: 64 * 48 - 1,
            ..Limits::default()
        },
        ..VideoOptions::default()
    };
    assert_eq!(
        sample_frames(&path, &small).unwrap_err().kind(),
        "too_large"
    );
    let fast = VideoOptions {
        timeout: Duration::ZERO,
        ..VideoOptions::default()
    };
    assert_eq!(sample_frames(&path, &fast).unwrap_err().kind(), "too_large");
}

#[test]
fn real_videos_give_their_frames() {
    let Some(folder) = skipped::shared("videos") else {
        return;
    };
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        skipped::skip("ffmpeg");
        return;
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mp4") {
            let frames = sample_frames(&path, &VideoOptions::default()).unwrap();
            assert_eq!(frames.len(), 8, "{}", path.display());
            assert!(
                frames.windows(2).all(|pair| pair[0] != pair[1]),
                "{}",
                path.display()
            );
        }
    }
}
