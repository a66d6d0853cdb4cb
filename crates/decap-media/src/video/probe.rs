//! What is in a clip: its video streams and when each of their pictures is shown, by ffprobe.
//!
//! Only the containers' packets are read, so this costs a small part of decoding. No length that a
//! container claims is used: it may be missing, that of the audio, or wrong.

use std::io::{self, BufRead, BufReader, Read};
use std::process::Command;

use super::process::{Clip, Complaints, Finished, for_each_line, run, speaker_in};
use super::{VideoOptions, local, playlist};
use crate::error::{Error, InputFault, Result};

/// Containers that hold pictures themselves. Everything else that ffmpeg reads stays shut: playlists
/// (HLS, DASH, concat, image sequences) open other files, devices and filters are no files at all.
pub(super) const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,\
    mpegvideo,flv,live_flv,asf,ogg,mxf,gxf,lxf,dv,rm,wtv,nut,nsv,ivf,obu,h264,hevc,vvc,m4v,vc1,\
    yuv4mpegpipe,dhav,gif,apng";

/// What ffmpeg logs when a picture is larger than `-max_pixels`.
pub(super) const TOO_MANY_PIXELS: &str = "exceeds specified max pixel count";

/// A clip as its container describes it.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// The container, in ffmpeg's words.
    pub(super) format: String,
    pub(super) streams: Vec<Stream>,
    /// The first thing that ffprobe complained of, though it could read on.
    pub(super) complaint: Option<String>,
}

/// A video stream.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Stream {
    /// Its index among all streams of the file.
    pub(super) index: usize,
    /// Stored size in pixels, before any rotation.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Seconds a tick, as a fraction.
    pub(super) time_base: (u32, u32),
    /// The number of frames that the container promises.
    pub(super) promised_frames: Option<u64>,
    /// Whether it is marked as a cover or thumbnail.
    pub(super) is_cover: bool,
    /// In decode order.
    pub(super) packets: Vec<Packet>,
}

/// A compressed picture; times are in ticks of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    /// When it is shown.
    pub(super) presented: Option<i64>,
    /// When it is decoded.
    pub(super) decoded: Option<i64>,
    /// How long it is shown; 0 where the container does not say.
    pub(super) duration: i64,
    /// Whether decoding can begin here.
    pub(super) is_key: bool,
    /// Whether it is decoded but not shown, by an edit list.
    pub(super) is_hidden: bool,
}

/// Reads the packets of the clip.
///
/// # Errors
/// As [`run`]; [`Error::Input`] if it is not a video, or over a limit.
pub(super) fn probe(clip: Clip, options: &VideoOptions) -> Result<Probed> {
    let mut command = Command::new(&options.ffprobe);
    command.args(["-v", "error"]);
    command.args([
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        CONTAINERS,
    ]);
    command.args(["-max_pixels", &most_pixels(options)]);
    // One thread: it decodes a frame or two.
    command.args(["-threads", "1", "-select_streams", "v"]);
    command.args([
        "-show_entries",
        "packet=stream_index,pts,dts,duration,flags:\
         stream=index,width,height,time_base,nb_frames:stream_disposition=attached_pic:\
         format=format_name",
    ]);
    command.args(["-of", "compact", "-i"]).arg(local(clip.path));
    let Finished {
        output,
        talk: (complaints, refused),
        status,
    } = run(command, clip, read_probed, read_complaints)?;
    let fault = |fault| Error::input(clip.path, fault);
    let mut probed = output.map_err(fault)?;

    if let Some(container) = refused {
        return Err(fault(not_a_container(&container)));
    }
    if let Some(line) = complaints.mentioning(TOO_MANY_PIXELS) {
        return Err(fault(InputFault::TooLarge(line.to_owned())));
    }
    if !status.success() {
        return Err(fault(InputFault::Damaged(unreadable(&complaints))));
    }
    probed.complaint = complaints.first().map(str::to_owned);
    Ok(probed)
}

/// The limit on pixels, within the range of the programs' option.
pub(super) fn most_pixels(options: &VideoOptions) -> String {
    let most = options.limits.pixels.min(i32::MAX as u64);
    most.to_string()
}

/// Why a file is refused that ffmpeg takes for a `kind` outside of [`CONTAINERS`].
fn not_a_container(kind: &str) -> InputFault {
    const PLAYLISTS: &[&str] = &[
        "applehttp",
        "concat",
        "dash",
        "hls",
        "imf",
        "rtsp",
        "sdp",
        "webm_dash_manifest",
    ];
    let is_playlist = kind.split(',').any(|name| PLAYLISTS.contains(&name));
    match is_playlist {
        true => playlist(kind),
        false => InputFault::Unsupported(format!(
            "expected a video, got a file of another kind ({kind})"
        )),
    }
}

fn unreadable(complaints: &Complaints) -> String {
    const NO_INDEX: &str = "moov atom not found";
    match complaints.first() {
        Some(NO_INDEX) => format!(
            "the file is cut short, or its recording was not finished: its index is missing \
             ({NO_INDEX})"
        ),
        reason => format!("ffprobe cannot read it: {}", reason.unwrap_or("no reason")),
    }
}

/// The complaints, and the kind of file that was refused because it is not in [`CONTAINERS`].
pub(super) fn read_complaints(stderr: impl Read) -> io::Result<(Complaints, Option<String>)> {
    let mut complaints = Complaints::default();
    let mut refused = None;
    for_each_line(stderr, |line| {
        if line.contains("Format not on whitelist") {
            refused = refused
                .take()
                .or_else(|| speaker_in(line).map(str::to_owned));
        }
        complaints.push(line);
    })?;
    Ok((complaints, refused))
}

/// What ffprobe prints: one line a packet, then one a stream and one for the file, each of
/// `section|name=value|...`.
pub(super) fn read_probed(stdout: impl Read) -> io::Result<Result<Probed, InputFault>> {
    /// No line that is of use is longer.
    const MOST_LINE: u64 = 4096;
    /// Over 38 hours at 30 frames a second; 56 bytes each are kept.
    const MOST_PACKETS: usize = 1 << 22;

    let mut probed = Probed::default();
    let mut packets: Vec<(usize, Vec<Packet>)> = Vec::new();
    let mut count = 0;
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while {
        line.clear();
        let mut bounded = reader.by_ref().take(MOST_LINE);
        bounded.read_until(b'\n', &mut line)? > 0
    } {
        let text = String::from_utf8_lossy(&line);
        let mut fields = text.trim_end().split('|');
        let section = fields.next().unwrap_or_default();
        let values = Values(fields);
        match section {
            "packet" => {
                count += 1;
                if count > MOST_PACKETS {
                    let message = format!("expected at most {MOST_PACKETS} frames, got more");
                    return Ok(Err(InputFault::TooLarge(message)));
                }
                if let Some((stream, packet)) = packet_of(&values) {
                    match packets.iter_mut().find(|(index, _)| *index == stream) {
                        Some((_, of_stream)) => of_stream.push(packet),
                        None => packets.push((stream, vec![packet])),
                    }
                }
            }
            "stream" => probed.streams.extend(stream_of(&values)),
            "format" => probed.format = values.text("format_name").unwrap_or_default().to_owned(),
            _ => {}
        }
    }
    for (index, of_stream) in packets {
        let mut streams = probed.streams.iter_mut();
        if let Some(stream) = streams.find(|stream| stream.index == index) {
            stream.packets = of_stream;
        }
    }
    Ok(Ok(probed))
}

/// The `name=value` fields of a line.
struct Values<'a>(std::str::Split<'a, char>);

impl<'a> Values<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.0.clone();
        fields
            .find_map(|field| field.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}

fn packet_of(values: &Values) -> Option<(usize, Packet)> {
    let flags = values.text("flags").unwrap_or_default();
    let packet = Packet {
        presented: values.number("pts"),
        decoded: values.number("dts"),
        duration: values.number("duration").unwrap_or(0).max(0),
        is_key: flags.contains('K'),
        is_hidden: flags.contains('D'),
    };
    Some((values.number("stream_index")?, packet))
}

fn stream_of(values: &Values) -> Option<Stream> {
    let (ticks, base) = values.text("time_base")?.split_once('/')?;
    let time_base = (ticks.parse().ok()?, base.parse().ok()?);
    if time_base.0 == 0 || time_base.1 == 0 {
        return None;
    }
    Some(Stream {
        index: values.number("index")?,
        width: values.number("width").unwrap_or(0),
        height: values.number("height").unwrap_or(0),
        time_base,
        promised_frames: values.number("nb_frames"),
        is_cover: values.text("disposition:attached_pic") == Some("1"),
        packets: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffprobe_prints_is_read() {
        let printed = "packet|stream_index=1|pts=0|dts=N/A|duration=512|flags=K_|side_data|\n\n\
            packet|stream_index=1|pts=-512|dts=-1024|duration=N/A|flags=_D_\n\
            packet|stream_index=7|pts=0|flags=K__\n\
            packet|pts=0\n\
            program|stream|index=1|width=9\n\
            stream|index=1|width=640|height=360|time_base=1/15360|nb_frames=N/A|\
            disposition:attached_pic=0|side_data|\n\
            stream|index=2|width=100|height=100|time_base=1/90000|nb_frames=1|\
            disposition:attached_pic=1\n\
            stream|index=3|time_base=0/0\n\
            format|format_name=mov,mp4\n";
        let probed = read_probed(printed.as_bytes()).unwrap().unwrap();
        assert_eq!(probed.format, "mov,mp4");
        let [video, cover] = &probed.streams[..] else {
            panic!("{probed:?}");
        };
        assert_eq!((video.index, video.width, video.height), (1, 640, 360));
        assert_eq!((video.time_base, video.promised_frames), ((1, 15360), None));
        assert!(!video.is_cover && cover.is_cover);
        assert_eq!(cover.promised_frames, Some(1));
        let expected = [
            Packet {
                presented: Some(0),
                decoded: None,
                duration: 512,
                is_key: true,
                is_hidden: false,
            },
            Packet {
                presented: Some(-512),
                decoded: Some(-1024),
                duration: 0,
                is_key: false,
                is_hidden: true,
            },
        ];
        assert_eq!(video.packets, expected);
    }

    #[test]
    fn refused_kinds_are_named() {
        let log = "[hls @ 0x55d0] Format not on whitelist 'mov,mp4'\nx.mp4: Invalid argument\n";
        let (complaints, refused) = read_complaints(log.as_bytes()).unwrap();
        assert_eq!(refused.as_deref(), Some("hls"));
        assert!(complaints.mentioning("Invalid argument").is_some());
        let playlist = not_a_container("hls").to_string();
        assert_eq!(
            playlist,
            "expected a video, got a playlist (hls), which names other files"
        );
        assert!(
            not_a_container("wav")
                .to_string()
                .contains("another kind (wav)")
        );
    }
}
