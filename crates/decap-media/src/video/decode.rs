//! The wanted pictures of a clip, decoded in order and scaled by ffmpeg.

use std::io::{self, BufReader, Read};
use std::process::Command;
use std::thread;

use super::probe::{CONTAINERS, Stream, TOO_MANY_PIXELS, most_pixels};
use super::process::{Clip, Complaints, Finished, for_each_line, run};
use super::timeline::{Clock, Target};
use super::{VideoOptions, local};
use crate::RgbImage;
use crate::error::{Error, InputFault, Result};

/// The frames for a clip's targets.
pub(super) struct Decoded {
    /// One for each wanted frame, in order; empty if nothing can be decoded.
    pub(super) images: Vec<RgbImage>,
    /// How many different pictures were wanted and could not be decoded.
    pub(super) missing: usize,
    /// The first thing that ffmpeg complained of.
    pub(super) complaint: Option<String>,
}

/// A stream of a clip, and how to read it.
pub(super) struct Source<'a> {
    pub(super) clip: Clip<'a>,
    pub(super) options: &'a VideoOptions,
    pub(super) stream: &'a Stream,
    pub(super) clock: Clock,
}

/// Decodes `targets` in one go from the beginning. Where that means to decode a lot that nobody
/// wants, as in films of hours, ffmpeg is started again at the last key picture before the next
/// target; if the timestamps tell that a start missed its target, everything is decoded after all.
///
/// # Errors
/// As [`run`]; [`Error::Input`] if a picture is over the limit.
pub(super) fn decode(source: &Source, targets: &[Target]) -> Result<Decoded> {
    let starts = starts(source, targets);
    if starts.iter().any(|start| start.key.is_some())
        && let Some(decoded) = decode_from(source, &starts)?
    {
        return Ok(decoded);
    }
    let taken = take(source, None, targets)?;
    if taken.images.is_empty() && source.clock == Clock::Timestamps {
        // Some decoders pass no timestamps on.
        let by_number = Source {
            clock: Clock::Numbers,
            ..*source
        };
        let taken = take(&by_number, None, targets)?;
        return Ok(taken.assigned(&by_number, targets));
    }
    Ok(taken.assigned(source, targets))
}

/// One start of ffmpeg, and what to take in it.
struct Start<'a> {
    /// The key picture to begin at, in ticks; `None` for the beginning.
    key: Option<i64>,
    targets: &'a [Target],
}

fn starts<'a>(source: &Source, targets: &'a [Target]) -> Vec<Start<'a>> {
    /// A start costs as much as decoding 40,000,000 pixels of H.264.
    const LEAST_SAVED_PIXELS: u64 = 100_000_000;

    let pixels = u64::from(source.stream.width) * u64::from(source.stream.height);
    let mut starts = Vec::new();
    let (mut begin, mut key, mut decoded) = (0, None, 0);
    for (index, target) in targets.iter().enumerate() {
        let skipped = target.key.decode_index.saturating_sub(decoded) as u64;
        let saved = skipped.saturating_mul(pixels);
        if source.clock == Clock::Timestamps && saved > LEAST_SAVED_PIXELS {
            if index > begin {
                starts.push(Start {
                    key,
                    targets: &targets[begin..index],
                });
            }
            (begin, key) = (index, Some(target.key.shown));
        }
        decoded = target.picture.decode_index;
    }
    starts.push(Start {
        key,
        targets: &targets[begin..],
    });
    starts
}

/// The frames of all `starts`, or `None` if one of them does not deliver exactly its targets.
fn decode_from(source: &Source, starts: &[Start]) -> Result<Option<Decoded>> {
    let mut all = Decoded {
        images: Vec::new(),
        missing: 0,
        complaint: None,
    };
    for start in starts {
        let taken = take(source, start.key, start.targets)?;
        if !taken.is_exactly(source, start.targets) {
            return Ok(None);
        }
        let decoded = taken.assigned(source, start.targets);
        all.images.extend(decoded.images);
        all.complaint = all.complaint.or(decoded.complaint);
    }
    Ok(Some(all))
}

/// What one run of ffmpeg delivers.
struct Taken {
    images: Vec<RgbImage>,
    /// When each is shown, in seconds; as many as images unless ffmpeg speaks another dialect.
    seconds: Vec<f64>,
    complaint: Option<String>,
}

impl Taken {
    fn is_exactly(&self, source: &Source, targets: &[Target]) -> bool {
        let tick = seconds(source.stream, 1.0);
        self.images.len() == targets.len()
            && self.seconds.len() == targets.len()
            && targets.iter().zip(&self.seconds).all(|(target, got)| {
                (seconds(source.stream, target.picture.shown as f64) - got).abs() < tick / 2.0
            })
    }

    /// The frame for each target: the first that is not before it, or else the last.
    fn assigned(self, source: &Source, targets: &[Target]) -> Decoded {
        let is_timed = source.clock == Clock::Timestamps && self.seconds.len() == self.images.len();
        let mut decoded = Decoded {
            images: Vec::new(),
            missing: targets.len().saturating_sub(self.images.len()),
            complaint: self.complaint,
        };
        for (order, target) in targets.iter().enumerate() {
            let at = match is_timed {
                true => {
                    let threshold = threshold(source.stream, target);
                    self.seconds.partition_point(|seconds| *seconds < threshold)
                }
                false => order,
            };
            if let Some(image) = self.images.get(at).or(self.images.last()) {
                let copies = std::iter::repeat_n(image, target.count).cloned();
                decoded.images.extend(copies);
            }
        }
        decoded
    }
}

/// Runs ffmpeg from the key picture at `key`, or from the beginning.
fn take(source: &Source, key: Option<i64>, targets: &[Target]) -> Result<Taken> {
    let mut finished = run_ffmpeg(source, key, targets, &["-fps_mode", "passthrough"])?;
    // Before ffmpeg 5.1 the option had another name.
    if finished.talk.complaints.mentioning("fps_mode").is_some() {
        finished = run_ffmpeg(source, key, targets, &["-vsync", "passthrough"])?;
    }
    let Finished {
        output: images,
        talk,
        status,
    } = finished;
    if let Some(line) = talk.complaints.mentioning(TOO_MANY_PIXELS) {
        let fault = InputFault::TooLarge(line.to_owned());
        return Err(Error::input(source.clip.path, fault));
    }
    // If it delivers frames, a failure is no more than a complaint.
    let complaint = talk.complaints.first().map(str::to_owned);
    let mut seconds = talk.seconds;
    seconds.truncate(images.len());
    Ok(Taken {
        images,
        seconds,
        complaint: complaint.or_else(|| (!status.success()).then(|| status.to_string())),
    })
}

fn run_ffmpeg(
    source: &Source,
    key: Option<i64>,
    targets: &[Target],
    every_frame: &[&str],
) -> Result<Finished<Vec<RgbImage>, Talk>> {
    let (stream, options) = (source.stream, source.options);
    let (long, short) = scaled_size(stream, options.shortest_side);
    let threads = threads(stream);
    let mut command = Command::new(&options.ffmpeg);
    command.args([
        "-hide_banner",
        "-nostats",
        "-nostdin",
        "-loglevel",
        "level+info",
    ]);
    // Should this process be killed, nobody stops ffmpeg at the deadline. The limit is on the
    // processors' time, all threads together.
    let seconds_of_work = source.clip.timeout.as_secs().saturating_add(1);
    let limit = seconds_of_work.saturating_mul(threads).min(i32::MAX as u64);
    command.args(["-timelimit", &limit.to_string()]);
    command.args([
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        CONTAINERS,
    ]);
    command.args(["-max_pixels", &most_pixels(options)]);
    command.args(["-threads", &threads.to_string(), "-copyts"]);
    if let Some(key) = key {
        command.args(["-seek_timestamp", "1", "-noaccurate_seek"]);
        command.args(["-ss", &format!("{:.6}", seek_seconds(stream, key))]);
    }
    command.arg("-i").arg(local(source.clip.path));
    command.args(["-map", &format!("0:{}", stream.index)]);
    command.args(["-vf", &filters(source, targets, long, short)]);
    command.args(every_frame);
    command.args(["-frames:v", &targets.len().to_string()]);
    // A PPM tells its size, which rotation may have exchanged.
    command.args(["-threads", "1", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"]);
    let most = targets.len();
    let pixels = u64::from(long) * u64::from(short);
    run(
        command,
        source.clip,
        move |stdout| read_frames(stdout, most, pixels),
        read_talk,
    )
}

/// Takes the targets, scales them, tells their times, and turns them to RGB.
fn filters(source: &Source, targets: &[Target], long: u32, short: u32) -> String {
    let wanted: Vec<String> = targets
        .iter()
        .map(|target| match source.clock {
            Clock::Timestamps => {
                // The first frame that is not before the threshold: the picture itself, or the next
                // one that can be decoded.
                let threshold = threshold(source.stream, target);
                format!("gte(t,{threshold:.9})*not(gte(prev_t,{threshold:.9}))")
            }
            Clock::Numbers => format!("eq(n,{})", target.number),
        })
        .collect();
    // The sides are fixed numbers, since a stream may change its size on the way; which one is the
    // longer is decided after rotation. The last filter keeps the muxer from complaints of times.
    format!(
        "select='{}',scale=w='if(gt(iw,ih),{long},{short})':h='if(gt(iw,ih),{short},{long})'\
         :flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24,showinfo,setpts=N*1000/TB",
        wanted.join("+")
    )
}

/// Halfway between the target and the picture before it, in seconds.
fn threshold(stream: &Stream, target: &Target) -> f64 {
    let shown = target.picture.shown as f64;
    let previous = target
        .previous
        .map_or(shown - 1.0, |previous| previous as f64);
    seconds(stream, (shown + previous) / 2.0)
}

fn seconds(stream: &Stream, ticks: f64) -> f64 {
    let (numerator, denominator) = stream.time_base;
    ticks * f64::from(numerator) / f64::from(denominator)
}

/// Where to seek for the key picture at `key`: a little after it, for the argument is rounded.
fn seek_seconds(stream: &Stream, key: i64) -> f64 {
    const ROUNDING: f64 = 2e-6;
    seconds(stream, key as f64) + ROUNDING
}

/// The longer and the shorter side of the frames that ffmpeg is to deliver.
pub(super) fn scaled_size(stream: &Stream, shortest_side: u32) -> (u32, u32) {
    let (width, height) = (stream.width.max(1), stream.height.max(1));
    let (long, short) = (width.max(height), width.min(height));
    if short <= shortest_side {
        return (long, short);
    }
    let [long, short, wanted] = [long, short, shortest_side].map(u64::from);
    let scaled = (long * wanted + short / 2) / short; // less than `long`
    (u32::try_from(scaled).unwrap_or(u32::MAX), shortest_side)
}

/// Threads of the decoder: each keeps frames of its own at full size.
fn threads(stream: &Stream) -> u64 {
    const MOST: u64 = 4;
    const PIXELS: u64 = 64_000_000;

    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let pixels = u64::from(stream.width) * u64::from(stream.height);
    (PIXELS / pixels.max(1)).min(MOST).min(cores).max(1)
}

/// What ffmpeg says on stderr.
#[derive(Default)]
pub(super) struct Talk {
    seconds: Vec<f64>,
    complaints: Complaints,
}

/// Reads the frames' times, which the filter `showinfo` logs, and the errors.
pub(super) fn read_talk(stderr: impl Read) -> io::Result<Talk> {
    let mut talk = Talk::default();
    let mut tick = None;
    for_each_line(stderr, |line| {
        if line.starts_with("[Parsed_showinfo") {
            if let Some(base) = word_after(line, "config in time_base:") {
                tick = fraction(base.trim_end_matches(','));
            }
            let ticks = word_after(line, " pts:").and_then(|word| word.parse::<f64>().ok());
            if let (Some(ticks), Some(tick)) = (ticks, tick) {
                talk.seconds.push(ticks * tick);
            }
        }
        for level in ["[error] ", "[fatal] ", "[panic] "] {
            if let Some((_, reason)) = line.split_once(level) {
                talk.complaints.push(reason);
            }
        }
    })?;
    Ok(talk)
}

fn word_after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark)?.1.split_whitespace().next()
}

fn fraction(text: &str) -> Option<f64> {
    let (numerator, denominator) = text.split_once('/')?;
    let value = numerator.parse::<f64>().ok()? / denominator.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// At most `most` frames of `pixels` pixels each, one binary 8-bit PPM after the other. A frame that
/// is cut off is left out.
pub(super) fn read_frames(
    stdout: impl Read,
    most: usize,
    pixels: u64,
) -> io::Result<Vec<RgbImage>> {
    let mut reader = BufReader::new(stdout);
    let mut frames = Vec::new();
    while frames.len() < most {
        match read_ppm(&mut reader, pixels) {
            Ok(frame) => frames.push(frame),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(frames)
}

fn read_ppm(reader: &mut impl Read, pixels: u64) -> io::Result<RgbImage> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "expected a PPM of a known size");
    let mut kind = [0; 2];
    reader.read_exact(&mut kind)?;
    let mut number = || -> io::Result<u32> {
        let mut byte = [0];
        let mut value: Option<u32> = None;
        loop {
            reader.read_exact(&mut byte)?;
            match (byte[0], value) {
                (digit @ b'0'..=b'9', _) => {
                    let tens = value.unwrap_or(0).checked_mul(10);
                    let next = tens.and_then(|tens| tens.checked_add(u32::from(digit - b'0')));
                    value = Some(next.ok_or_else(invalid)?);
                }
                (space, Some(value)) if space.is_ascii_whitespace() => return Ok(value),
                (b'\n', None) => {}
                _ => return Err(invalid()),
            }
        }
    };
    let (width, height, maximum) = (number()?, number()?, number()?);
    if &kind != b"P6" || maximum != 255 || u64::from(width) * u64::from(height) != pixels {
        return Err(invalid());
    }
    let bytes = pixels
        .checked_mul(3)
        .and_then(|bytes| usize::try_from(bytes).ok());
    let mut values = vec![0; bytes.ok_or_else(invalid)?];
    reader.read_exact(&mut values)?;
    RgbImage::new(width, height, values).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::probe::Packet;
    use crate::video::timeline::Timeline;
    use std::path::Path;
    use std::time::{Duration, Instant};

    fn source<'a>(stream: &'a Stream, options: &'a VideoOptions) -> Source<'a> {
        Source {
            clip: Clip {
                path: Path::new("a.mp4"),
                deadline: Instant::now(),
                timeout: Duration::from_secs(1),
            },
            options,
            stream,
            clock: Clock::Timestamps,
        }
    }

    /// A frame a tick, ten ticks a second, with a key picture every ten seconds.
    fn film(minutes: i64, width: u32, height: u32) -> (Stream, Timeline) {
        let packets = (0..minutes * 600).map(|at| Packet {
            presented: Some(at),
            decoded: Some(at),
            duration: 1,
            is_key: at % 100 == 0,
            is_hidden: false,
        });
        let stream = Stream {
            width,
            height,
            time_base: (1, 10),
            packets: packets.collect(),
            ..Stream::default()
        };
        let timeline = Timeline::new(&stream.packets, "mov,mp4", (1, 10)).unwrap();
        (stream, timeline)
    }

    #[test]
    fn films_are_entered_at_key_pictures() {
        let options = VideoOptions::default();
        let keys = |minutes, width, height, clock| -> Vec<(Option<i64>, usize)> {
            let (stream, timeline) = film(minutes, width, height);
            let source = Source {
                clock,
                ..source(&stream, &options)
            };
            let targets = timeline.targets(4);
            let starts = starts(&source, &targets);
            starts
                .iter()
                .map(|start| (start.key, start.targets.len()))
                .collect()
        };
        assert_eq!(keys(1, 640, 360, Clock::Timestamps), [(None, 4)]);
        let long = [
            (Some(700), 1),
            (Some(2200), 1),
            (Some(3700), 1),
            (Some(5200), 1),
        ];
        assert_eq!(keys(10, 1280, 720, Clock::Timestamps), long);
        assert_eq!(keys(10, 1280, 720, Clock::Numbers), [(None, 4)]);
        assert_eq!(keys(10, 320, 180, Clock::Timestamps), [(None, 4)]);
    }

    #[test]
    fn frames_go_to_the_targets_whose_times_they_have() {
        let options = VideoOptions::default();
        let (stream, timeline) = film(1, 64, 48);
        let source = source(&stream, &options);
        let targets = timeline.targets(3); // ticks 100, 300, 500
        let grey = |value: u8| RgbImage::new(1, 1, vec![value; 3]).unwrap();
        let taken = |seconds: &[f64]| Taken {
            images: (0..seconds.len()).map(|value| grey(value as u8)).collect(),
            seconds: seconds.to_vec(),
            complaint: None,
        };
        let assigned = |seconds: &[f64]| -> (Vec<u8>, usize) {
            let decoded = taken(seconds).assigned(&source, &targets);
            let values = decoded.images.iter().map(|image| image.pixels()[0]);
            (values.collect(), decoded.missing)
        };
        assert_eq!(assigned(&[10.0, 30.0, 50.0]), (vec![0, 1, 2], 0));
        assert_eq!(assigned(&[10.0, 50.0]), (vec![0, 1, 1], 1));
        assert_eq!(assigned(&[10.0, 30.0]), (vec![0, 1, 1], 1));
        assert_eq!(assigned(&[33.0]), (vec![0, 0, 0], 2));
        assert_eq!(assigned(&[]), (vec![], 3));
        assert!(taken(&[10.0, 30.0, 50.0]).is_exactly(&source, &targets));
        assert!(!taken(&[10.0, 30.1, 50.0]).is_exactly(&source, &targets));
        assert!(!taken(&[10.0, 30.0]).is_exactly(&source, &targets));
    }

    #[test]
    fn sizes_are_scaled_down_only() {
        let size = |width, height, side| {
            let stream = Stream {
                width,
                height,
                ..Stream::default()
            };
            scaled_size(&stream, side)
        };
        assert_eq!(size(1920, 1080, 512), (910, 512));
        assert_eq!(size(1080, 1920, 512), (910, 512));
        assert_eq!(size(640, 360, 512), (640, 360));
        assert_eq!(size(7680, 4320, u32::MAX), (7680, 4320));
        assert_eq!(size(1 << 20, 600, 512), (894_785, 512));
    }

    #[test]
    fn the_log_tells_times_and_errors() {
        let log = "[info] Input #0, matroska, from 'pts: 5 [Parsed_showinfo':\n\
            [Parsed_showinfo_3 @ 0x564d] [info] config in time_base: 1/1000, frame_rate: 10/1\n\
            [Parsed_showinfo_3 @ 0x564d] [info] n:   0 pts:    300 pts_time:0.3     pos: 3919\n\
            [Parsed_showinfo_3 @ 0x564d] [info] color_range:pc\n\
            [h264 @ 0x55f9] [error] Invalid NAL unit size (736 > 188).\n\
            [Parsed_showinfo_3 @ 0x564d] [info] n:   1 pts:1234567 pts_time:1234.57\n\
            [Parsed_showinfo_3 @ 0x564d] [info] n:   2 pts:NOPTS pts_time:NOPTS\n";
        let talk = read_talk(log.as_bytes()).unwrap();
        assert_eq!(talk.seconds, [0.3, 1234.567]);
        assert_eq!(
            talk.complaints.first(),
            Some("Invalid NAL unit size (736 > 188).")
        );
    }

    #[test]
    fn frames_are_read_one_after_the_other() {
        let two = b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06P6\n1 2\n255\n\x0a\x20\x09\x0d\x31\x32";
        let frames = read_frames(two.as_slice(), 8, 2).unwrap();
        let [wide, high] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(
            (wide.width(), wide.pixels()),
            (2, [1, 2, 3, 4, 5, 6].as_slice())
        );
        assert_eq!((high.height(), high.pixels()[0]), (2, 10));
        assert_eq!(read_frames(two.as_slice(), 1, 2).unwrap().len(), 1);
        assert_eq!(read_frames(&two[..two.len() - 1], 8, 2).unwrap().len(), 1);
        assert!(read_frames(b"".as_slice(), 8, 2).unwrap().is_empty());
        let bad: [&[u8]; 5] = [
            b"P5\n2 1\n255\n\x01\x01",
            b"P6\n2 2\n255\n\x01\x02\x03",
            b"P6\n2 1\n65535\n\x01\x02\x03",
            b"P6\n99999999999 1\n255\n\x01",
            b"P6\n4294967295 4294967295\n255\n",
        ];
        for bytes in bad {
            assert!(read_frames(bytes, 8, 2).is_err(), "{bytes:?}");
        }
    }
}
