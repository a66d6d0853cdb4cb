//! Frames of videos that ffmpeg makes here and now; skipped where it is not installed.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use decap_media::video::{VideoOptions, is_video, sample};
use decap_media::{Limits, RgbImage};

/// The frames alone.
fn sample_frames(
    path: impl AsRef<Path>,
    options: &VideoOptions,
) -> decap_media::Result<Vec<RgbImage>> {
    Ok(sample(path, options)?.images)
}

/// Makes a clip. Without ffmpeg the test is skipped; a clip that ffmpeg cannot make is a failure.
#[track_caller]
fn ffmpeg(arguments: &[&str], out: &Path) -> bool {
    if !has_ffmpeg() {
        return false;
    }
    let made = ffmpeg_can(arguments, out);
    assert!(made, "ffmpeg {arguments:?} {}", out.display());
    made
}

/// Whether this version of ffmpeg makes a clip from these arguments.
fn ffmpeg_can(arguments: &[&str], out: &Path) -> bool {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments)
        .arg(out)
        .status();
    made.is_ok_and(|status| status.success())
}

/// As `ffmpeg`, through a pipe: the muxer cannot go back and write the length.
fn ffmpeg_through_pipe(arguments: &[&str], out: &Path) -> bool {
    let status = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments)
        .arg("pipe:1")
        .stdout(Stdio::from(fs::File::create(out).unwrap()))
        .status();
    status.is_ok_and(|status| status.success())
}

/// Whether ffmpeg is there at all; a clip that it cannot make is then a failure.
#[track_caller]
fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        skipped::skip("ffmpeg");
    }
    found
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

fn colours(frames: &[RgbImage]) -> Vec<&'static str> {
    frames.iter().map(middle).collect()
}

/// Frames whose grey tells their number, 0 to 42: a source of `rate` frames a second.
fn numbered(size: &str, rate: u32, seconds: u32) -> String {
    format!(
        "color=black:size={size}:rate={rate}:duration={seconds},format=yuv420p,\
         geq=lum='20+5*mod(N,43)':cb=128:cr=128"
    )
}

/// The number of a frame of `numbered`.
fn number(frame: &RgbImage) -> usize {
    let grey = f64::from(frame.pixels()[frame.pixels().len() / 2]);
    let luma = grey * 219.0 / 255.0 + 16.0;
    ((luma - 20.0) / 5.0).round() as usize
}

fn numbers(path: &Path, frames: usize) -> Vec<usize> {
    let mut options = VideoOptions::default();
    options.frames = frames;
    let frames = sample_frames(path, &options).unwrap();
    frames.iter().map(number).collect()
}

/// Four seconds of numbered frames, 10 a second, with one key frame at the beginning.
fn numbered_clip(folder: &Path, name: &str, extra: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let source = numbered("64x48", 10, 4);
    let mut arguments = vec!["-f", "lavfi", "-i", &source, "-g", "250"];
    arguments.extend(extra);
    assert!(ffmpeg(&arguments, &path), "{name}");
    path
}

#[test]
fn frames_are_spread_evenly() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.mkv", "-i a;b.avi"] {
        let Some(path) = red_then_blue(folder.path(), name, &[]) else {
            return;
        };
        for (count, expected) in [
            (1, vec!["blue"]),
            (2, vec!["red", "blue"]),
            (5, vec!["red", "red", "blue", "blue", "blue"]),
        ] {
            let mut options = VideoOptions::default();
            options.frames = count;
            let frames = sample_frames(&path, &options).unwrap();
            let found: Vec<_> = frames.iter().map(middle).collect();
            assert_eq!(found, expected, "{name}");
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
        assert_eq!(colours(&frames), ["red"; 8]);
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
    let small = {
        let mut options = VideoOptions::default();
        options.limits = {
            let mut options = Limits::default();
            options.pixels = 64 * 48 - 1;
            options
        };
        options
    };
    assert_eq!(
        sample_frames(&path, &small).unwrap_err().kind(),
        "too_large"
    );
    let fast = {
        let mut options = VideoOptions::default();
        options.timeout = Duration::ZERO;
        options
    };
    assert_eq!(sample_frames(&path, &fast).unwrap_err().kind(), "too_large");
}

#[test]
fn moments_depend_on_neither_container_nor_length() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let h264: &[&str] = &[
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-qp",
        "0",
        "-bf",
        "2",
    ];
    let mut clips = Vec::new();
    for name in [
        "a.mp4", "a.mkv", "a.mov", "a.flv", "a.ts", "a.avi", "a.h264",
    ] {
        clips.push(numbered_clip(folder.path(), name, h264));
    }
    let keys: &[&str] = &["-force_key_frames", "3", "-x264-params", "open-gop=1"];
    clips.push(numbered_clip(folder.path(), "b.ts", &[h264, keys].concat()));
    clips.push(numbered_clip(
        folder.path(),
        "a.mts",
        &["-mpegts_m2ts_mode", "1"],
    ));
    clips.push(numbered_clip(
        folder.path(),
        "a.asf",
        &["-c:v", "mpeg4", "-q:v", "1"],
    ));
    for (name, codec) in [
        ("c.mkv", "ffv1"),
        ("c.webm", "libvpx"),
        ("d.mkv", "libx264"),
    ] {
        let format = if name.ends_with("webm") {
            "webm"
        } else {
            "matroska"
        };
        let path = folder.path().join(name);
        let source = numbered("64x48", 10, 4);
        let arguments = [
            "-f", "lavfi", "-i", &source, "-g", "250", "-c:v", codec, "-f", format,
        ];
        assert!(ffmpeg_through_pipe(&arguments, &path), "{name}");
        clips.push(path);
    }
    for path in clips {
        assert!(is_video(&path), "{}", path.display());
        let name = path.display();
        assert_eq!(numbers(&path, 8), [2, 7, 12, 17, 22, 27, 32, 37], "{name}");
        assert_eq!(numbers(&path, 2), [10, 30], "{name}");
    }
    // MPEG-2 has no 10 frames a second.
    let path = folder.path().join("a.vob");
    let source = numbered("64x48", 25, 1);
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        &source,
        "-c:v",
        "mpeg2video",
        "-q:v",
        "1",
        "-bf",
        "2",
    ];
    assert!(ffmpeg(&arguments, &path));
    assert!(is_video(&path));
    assert_eq!(numbers(&path, 5), [2, 7, 12, 17, 22]);
}

#[test]
fn a_held_frame_counts_for_all_the_time_it_is_shown() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Frame 1 is shown from 0.1 to 3.9 seconds.
    let source = format!(
        "{},select='lt(n,4)',setpts='(gt(N,0)*0.1+gt(N,1)*3.8+gt(N,2)*0.1)/TB'",
        numbered("64x48", 10, 1)
    );
    for name in ["a.mp4", "a.mkv"] {
        let path = folder.path().join(name);
        let arguments = ["-f", "lavfi", "-i", &source, "-vsync", "vfr", "-qp", "0"];
        assert!(ffmpeg(&arguments, &path));
        assert_eq!(numbers(&path, 8), [1; 8], "{name}");
        assert_eq!(numbers(&path, 1), [1], "{name}");
    }
}

#[test]
fn sound_that_goes_on_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.mkv", "a.ts"] {
        let sound = [
            "-f",
            "lavfi",
            "-i",
            "sine=duration=16",
            "-c:a",
            "aac",
            "-map",
            "[v]",
        ];
        let path = folder.path().join(name);
        let mut arguments = vec![
            "-f",
            "lavfi",
            "-i",
            "color=red:size=64x48:rate=10:duration=2",
        ];
        arguments.extend([
            "-f",
            "lavfi",
            "-i",
            "color=blue:size=64x48:rate=10:duration=2",
        ]);
        arguments.extend(&sound[..4]);
        arguments.extend(["-filter_complex", "[0][1]concat=n=2:v=1:a=0[v]"]);
        arguments.extend(["-map", "[v]", "-map", "2:a", "-c:a", "aac"]);
        if !ffmpeg(&arguments, &path) {
            return;
        }
        let mut options = VideoOptions::default();
        options.frames = 4;
        let sampled = sample(&path, &options).unwrap();
        assert_eq!(
            colours(&sampled.images),
            ["red", "red", "blue", "blue"],
            "{name}"
        );
        assert_eq!(sampled.warnings, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_cover_does_not_stand_for_the_video() {
    let folder = tempfile::tempdir().unwrap();
    for (name, disposition) in [("a.mp4", "0"), ("b.mp4", "attached_pic"), ("a.mkv", "0")] {
        let path = folder.path().join(name);
        let mut arguments = vec![
            "-f",
            "lavfi",
            "-i",
            "color=red:size=640x480:rate=10:duration=0.1",
        ];
        arguments.extend([
            "-f",
            "lavfi",
            "-i",
            "color=blue:size=64x48:rate=10:duration=2",
        ]);
        arguments.extend(["-map", "0", "-map", "1", "-c:v:0", "mjpeg"]);
        arguments.extend(["-pix_fmt:0", "yuvj420p", "-disposition:v:0", disposition]);
        if !ffmpeg(&arguments, &path) {
            return;
        }
        let frames = sample_frames(&path, &VideoOptions::default()).unwrap();
        assert_eq!(colours(&frames), ["blue"; 8], "{name}");
    }
}

#[test]
fn recordings_put_together_are_one_video() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, colour: &str| {
        let source = format!("color={colour}:size=64x48:rate=10:duration=2");
        let path = folder.path().join(name);
        ffmpeg(&["-f", "lavfi", "-i", &source], &path).then(|| fs::read(path).unwrap())
    };
    let (Some(red), Some(blue)) = (part("red.ts", "red"), part("blue.ts", "blue")) else {
        return;
    };
    let path = folder.path().join("both.ts");
    fs::write(&path, [red, blue].concat()).unwrap();
    let frames = sample_frames(&path, &VideoOptions::default()).unwrap();
    let (first, second) = frames.split_at(4);
    assert_eq!(colours(first), ["red"; 4]);
    assert_eq!(colours(second), ["blue"; 4]);
}

#[test]
fn a_recording_that_begins_between_key_frames_is_taken_from_the_first_one() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        "-c:v",
        "mpeg2video",
        "-q:v",
        "1",
        "-g",
        "10",
        "-bf",
        "0",
        "-r",
        "25",
    ];
    let whole = folder.path().join("whole.ts");
    let source = numbered("320x240", 25, 1);
    let arguments = [&["-f", "lavfi", "-i", source.as_str()], keys.as_slice()].concat();
    assert!(ffmpeg(&arguments, &whole));
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join("cut.ts");
    // Within the first ten frames, and within a packet.
    fs::write(&path, &bytes[bytes.len() / 6 + 50..]).unwrap();
    assert!(is_video(&path));
    // Frames 10 to 24 are left: three shares of five.
    assert_eq!(numbers(&path, 3), [12, 17, 22]);
}

#[test]
fn playlists_are_refused_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_) = red_then_blue(folder.path(), "secret.mp4", &[]) else {
        return;
    };
    assert!(red_then_blue(folder.path(), "secret.ts", &[]).is_some());
    let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n";
    let remote = "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n";
    let concat = "ffconcat version 1.0\nfile secret.mp4\n";
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT4S\" profiles=\"urn:mpeg:dash:profile:isoff-main:2011\">\
         <Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" \
         bandwidth=\"1000\" width=\"64\" height=\"48\"><BaseURL>{}</BaseURL>\
         </Representation></AdaptationSet></Period></MPD>",
        folder.path().join("secret.mp4").display()
    );
    for (name, text) in [
        ("a.m3u8", hls),
        ("a.mp4", hls),
        ("b.m3u8", remote),
        ("c.mp4", concat),
        ("c.txt", concat),
        ("d.mpd", &dash),
        ("d.mp4", &dash),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = sample(&path, &VideoOptions::default()).unwrap_err();
        assert_eq!(error.kind(), "unsupported", "{error}");
        assert!(error.to_string().contains("a playlist"), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_clip_that_is_cut_short_gives_what_it_has_and_a_warning() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let busy = "testsrc=size=160x120:rate=10:duration=4";
    for (name, extra) in [
        ("a.mkv", [].as_slice()),
        ("a.mp4", &["-movflags", "+faststart"]),
        ("a.mov", &["-movflags", "+frag_keyframe+empty_moov"]),
        ("a.avi", &[]),
        ("a.webm", &[]),
    ] {
        let whole = folder.path().join(name);
        let arguments = [
            &["-f", "lavfi", "-i", busy, "-pix_fmt", "yuv420p", "-g", "10"],
            extra,
        ];
        assert!(ffmpeg(&arguments.concat(), &whole), "{name}");
        let sampled = sample(&whole, &VideoOptions::default()).unwrap();
        assert_eq!(sampled.warnings, Vec::<String>::new(), "{name}");

        let bytes = fs::read(&whole).unwrap();
        let cut = folder.path().join(format!("cut-{name}"));
        fs::write(&cut, &bytes[..bytes.len() * 9 / 10]).unwrap();
        let sampled = sample(&cut, &VideoOptions::default()).unwrap();
        assert_eq!(sampled.images.len(), 8, "{name}");
        assert!(!sampled.warnings.is_empty(), "{name}");
    }
    // Its index was at the end.
    let whole = folder.path().join("b.mp4");
    let arguments = ["-f", "lavfi", "-i", busy, "-pix_fmt", "yuv420p", "-g", "10"];
    assert!(ffmpeg(&arguments, &whole));
    let bytes = fs::read(&whole).unwrap();
    fs::write(&whole, &bytes[..bytes.len() * 9 / 10]).unwrap();
    let error = sample(&whole, &VideoOptions::default()).unwrap_err();
    assert_eq!(error.kind(), "damaged");
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn large_frames_come_scaled_and_upright() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.mp4");
    let source = numbered("2560x1440", 10, 1);
    let fast = ["-c:v", "libx264", "-preset", "ultrafast"];
    let arguments = [&["-f", "lavfi", "-i", &source], fast.as_slice()].concat();
    assert!(ffmpeg(&arguments, &large));
    let turned = folder.path().join("turned.mov");
    let turn = [
        vec![
            "-display_rotation",
            "90",
            "-i",
            large.to_str().unwrap(),
            "-c",
            "copy",
        ],
        vec![
            "-i",
            large.to_str().unwrap(),
            "-c",
            "copy",
            "-metadata:s:v",
            "rotate=90",
        ],
    ];
    // Each version of ffmpeg has one way of turning.
    assert!(turn.iter().any(|arguments| ffmpeg_can(arguments, &turned)));
    for (path, side, size) in [
        (&large, 512, (910, 512)),
        (&turned, 512, (512, 910)),
        (&large, 448, (796, 448)),
        (&large, 5000, (2560, 1440)),
    ] {
        let mut options = VideoOptions::default();
        options.frames = 2;
        options.shortest_side = side;
        let frames = sample_frames(path, &options).unwrap();
        let found: Vec<_> = frames
            .iter()
            .map(|frame| (frame.width(), frame.height()))
            .collect();
        assert_eq!(found, [size; 2], "{}", path.display());
        assert_eq!(frames.iter().map(number).collect::<Vec<_>>(), [2, 7]);
    }
}

#[cfg(unix)]
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn one_start_decodes_a_clip_and_a_film_is_entered_where_frames_are_wanted() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let counting = {
        let mut options = VideoOptions::default();
        options.frames = 4;
        options.ffmpeg = script(
            folder.path(),
            "counting",
            &format!("echo \"$*\" >> '{}'\nexec ffmpeg \"$@\"", log.display()),
        );
        options
    };
    let starts = |path: &Path| {
        let _ = fs::remove_file(&log);
        let frames = sample_frames(path, &counting).unwrap();
        let log = fs::read_to_string(&log).unwrap();
        let seeks = log.lines().filter(|line| line.contains(" -ss ")).count();
        let found: Vec<_> = frames.iter().map(number).collect();
        (found, log.lines().count(), seeks)
    };
    let clip = folder.path().join("clip.mp4");
    let source = numbered("800x600", 10, 4);
    let fast = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-qp",
        "0",
        "-g",
        "10",
        "-bf",
        "2",
    ];
    let arguments = [&["-f", "lavfi", "-i", &source], fast.as_slice()].concat();
    assert!(ffmpeg(&arguments, &clip));
    assert_eq!(starts(&clip), (vec![5, 15, 25, 35], 1, 0));

    // 9 minutes and 20 seconds, 5,600 frames: the clip over and over.
    for name in ["film.mp4", "film.mkv", "film.ts"] {
        let film = folder.path().join(name);
        let looped = [
            "-stream_loop",
            "139",
            "-i",
            clip.to_str().unwrap(),
            "-c",
            "copy",
        ];
        assert!(ffmpeg(&looped, &film));
        let (found, starts, seeks) = starts(&film);
        assert_eq!(found, [20, 20, 20, 20], "{name}");
        assert_eq!((starts, seeks), (4, 4), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn an_ffmpeg_of_before_5_1_is_spoken_to_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = red_then_blue(folder.path(), "a.mp4", &[]) else {
        return;
    };
    let old = "case \"$*\" in *fps_mode*)\n\
        echo \"[error] Unrecognized option 'fps_mode'.\" >&2; exit 1;;\n\
        esac\nexec ffmpeg \"$@\"";
    let mut options = VideoOptions::default();
    options.frames = 2;
    options.ffmpeg = script(folder.path(), "old", old);
    let sampled = sample(&path, &options).unwrap();
    assert_eq!(colours(&sampled.images), ["red", "blue"]);
    assert_eq!(sampled.warnings, Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_hangs_is_killed_with_all_it_started() {
    use std::time::Instant;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    fs::write(&path, b"anything").unwrap();
    let pid_file = folder.path().join("pid");
    let mut options = VideoOptions::default();
    options.timeout = Duration::from_secs(1);
    options.ffprobe = script(
        folder.path(),
        "hanging",
        &format!("sleep 600 & echo $! > '{}'; wait", pid_file.display()),
    );
    let error = sample(&path, &options).unwrap_err();
    assert_eq!(error.kind(), "too_large");
    assert!(
        error
            .to_string()
            .contains("hanging did not finish within 1 s"),
        "{error}"
    );
    let pid = fs::read_to_string(&pid_file).unwrap();
    // Killed children of others are zombies until somebody collects them.
    let is_running = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    let patience = Instant::now() + Duration::from_secs(10);
    while is_running() {
        assert!(Instant::now() < patience, "{pid} outlives its wrapper");
        std::thread::yield_now();
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_named_like_a_video_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    assert!(is_video(&path)); // by its name: nobody opens it
    let error = sample(&path, &VideoOptions::default()).unwrap_err();
    assert_eq!(error.kind(), "unsupported");
    assert!(error.to_string().contains("got a pipe"), "{error}");
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
