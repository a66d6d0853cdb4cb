//! When each picture of a stream is shown, and which ones to take.

use std::borrow::Cow;

use super::probe::{Packet, Probed, Stream};

/// The pictures of a stream in the order in which they are shown.
#[derive(Debug)]
pub(super) struct Timeline {
    pictures: Vec<Picture>,
    /// When the last picture ends, in ticks.
    end: i64,
    clock: Clock,
    /// Whether ticks are time, and not just the numbers of pictures.
    is_timed: bool,
}

/// A picture that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    /// When it is shown, in ticks.
    pub(super) shown: i64,
    duration: i64,
    is_key: bool,
    /// Its place in decode order.
    pub(super) decode_index: usize,
}

/// How a frame that comes out of the decoder is known to be a certain picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// By its timestamp.
    Timestamps,
    /// By its number, since packets carry no presentation times, or times that start anew.
    Numbers,
}

/// A picture to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) picture: Picture,
    /// Its place among all pictures, in the order in which they are shown.
    pub(super) number: usize,
    /// When the picture before it is shown, in ticks.
    pub(super) previous: Option<i64>,
    /// The last picture at or before it where decoding can begin.
    pub(super) key: Picture,
    /// How many of the wanted frames are this picture: several if it is held.
    pub(super) count: usize,
}

/// The stream to look at: one that moves before a still, then the larger, then the first. A cover
/// need not be marked as such.
pub(super) fn main_stream(probed: &Probed) -> Option<&Stream> {
    let streams = probed.streams.iter().filter(|stream| !stream.is_cover);
    let rank = |stream: &&Stream| {
        let pixels = u64::from(stream.width) * u64::from(stream.height);
        (
            stream.packets.len().min(2),
            pixels,
            std::cmp::Reverse(stream.index),
        )
    };
    streams.max_by_key(rank)
}

impl Timeline {
    /// The pictures of `packets`, which are in decode order; `None` if there are none.
    ///
    /// What lies before the first key picture cannot be decoded, and what is shown before it
    /// belongs to what was cut off, so the timeline begins there.
    pub(super) fn new(packets: &[Packet], format: &str, time_base: (u32, u32)) -> Option<Self> {
        let first_key = packets.iter().position(|packet| packet.is_key).unwrap_or(0);
        let packets = without_second_fields(packets.get(first_key..)?);
        let first = packets.first()?;
        let streams_of_broadcast = ["mpegts", "mpeg"].contains(&format);
        let jumps = jumps(&packets, streams_of_broadcast, time_base);
        let is_presented = packets.iter().all(|packet| packet.presented.is_some());
        let is_decoded = packets.iter().all(|packet| packet.decoded.is_some());
        let clock = match is_presented && jumps.iter().all(|jump| *jump == 0) {
            true => Clock::Timestamps,
            false => Clock::Numbers,
        };
        let time_of = |index: usize, packet: &Packet| -> i64 {
            let time = match (is_presented, is_decoded) {
                (true, _) => packet.presented,
                (false, true) => packet.decoded,
                (false, false) => None,
            };
            let jump = jumps.get(index).copied().unwrap_or(0);
            time.map_or(index as i64, |time| time.saturating_sub(jump))
        };
        let begin = match first.is_key {
            true => time_of(0, first),
            false => i64::MIN,
        };
        let is_timed = is_presented || is_decoded;
        let mut pictures: Vec<Picture> = packets
            .iter()
            .enumerate()
            .filter(|(_, packet)| !packet.is_hidden)
            .map(|(index, packet)| Picture {
                shown: time_of(index, packet),
                duration: if is_timed { packet.duration } else { 1 },
                is_key: packet.is_key,
                decode_index: index,
            })
            .filter(|picture| picture.shown >= begin)
            .collect();
        pictures.sort_by_key(|picture| (picture.shown, picture.decode_index));
        let end = end_of(&pictures)?;
        Some(Self {
            pictures,
            end,
            clock,
            is_timed,
        })
    }

    /// For how long pictures are shown, where the file says so.
    pub(super) fn seconds(&self, time_base: (u32, u32)) -> Option<f64> {
        let first = self.pictures.first().filter(|_| self.is_timed)?;
        let ticks = self.end.checked_sub(first.shown)?;
        Some(ticks as f64 * f64::from(time_base.0) / f64::from(time_base.1))
    }

    /// How the decoder's frames are told apart.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// The pictures shown at the middles of `frames` equal shares of the time from the first picture
    /// to the end of the last, in order, each once.
    pub(super) fn targets(&self, frames: usize) -> Vec<Target> {
        let (Some(first), shares) = (self.pictures.first(), 2 * frames as i128) else {
            return Vec::new();
        };
        let begin = i128::from(first.shown);
        let length = i128::from(self.end) - begin;
        let mut targets: Vec<Target> = Vec::new();
        let (mut number, mut key) = (0, *first);
        for frame in 0..frames as i128 {
            // Whole numbers throughout: a picture that begins at the very moment is the one.
            let moment = begin * shares + length * (2 * frame + 1);
            while let Some(next) = self.pictures.get(number + 1)
                && i128::from(next.shown) * shares <= moment
            {
                number += 1;
                if next.is_key {
                    key = *next;
                }
            }
            match targets.last_mut().filter(|last| last.number == number) {
                Some(last) => last.count += 1,
                None => targets.push(Target {
                    picture: self.pictures.get(number).copied().unwrap_or(*first),
                    number,
                    previous: number
                        .checked_sub(1)
                        .and_then(|before| self.pictures.get(before))
                        .map(|before| before.shown),
                    key,
                    count: 1,
                }),
            }
        }
        targets
    }
}

/// The packets without the second fields of interlaced H.264, which come as packets of their own.
/// They are known by having no presentation time, every other one.
fn without_second_fields(packets: &[Packet]) -> Cow<'_, [Packet]> {
    let is_presented = |packet: &&Packet| packet.presented.is_some();
    let alternate = packets
        .windows(2)
        .filter(|pair| pair[0].presented.is_some() != pair[1].presented.is_some())
        .count();
    // Nearly all: a field may be lost.
    match packets.len() > 2 && alternate * 10 >= packets.len() * 9 {
        true => packets.iter().filter(is_presented).copied().collect(),
        false => Cow::Borrowed(packets),
    }
}

/// What to take off each packet's times so that they go on where the clock starts anew or leaps,
/// as in recordings of broadcasts that were put together.
fn jumps(packets: &[Packet], streams_of_broadcast: bool, (ticks, base): (u32, u32)) -> Vec<i64> {
    /// ffmpeg's own bound for such containers. Elsewhere a picture may be held for longer.
    const MOST_GAP_SECONDS: i64 = 10;
    /// Decode times only grow, apart from a recorder's sloppiness.
    const MOST_STEP_BACK_SECONDS: i64 = 1;

    let in_ticks = |seconds: i64| seconds * i64::from(base) / i64::from(ticks);
    let mut jump: i64 = 0;
    let mut last: Option<&Packet> = None;
    let mut jumps = Vec::with_capacity(packets.len());
    for packet in packets {
        if let Some(decoded) = packet.decoded {
            let expected = last.and_then(|last| Some((last.decoded?, last.duration)));
            if let Some((before, duration)) = expected {
                let step = decoded.saturating_sub(before);
                let leaps = streams_of_broadcast && step > in_ticks(MOST_GAP_SECONDS);
                if leaps || step < -in_ticks(MOST_STEP_BACK_SECONDS) {
                    jump = jump.saturating_add(step.saturating_sub(duration));
                }
            }
            last = Some(packet);
        }
        jumps.push(jump);
    }
    jumps
}

/// When the last picture ends. If the container does not say, it is shown as long as a picture is on
/// average.
fn end_of(pictures: &[Picture]) -> Option<i64> {
    let (first, last) = (pictures.first()?, pictures.last()?);
    let gaps = i64::try_from(pictures.len() - 1).unwrap_or(i64::MAX).max(1);
    let average = last.shown.saturating_sub(first.shown) / gaps;
    let duration = match last.duration {
        0 => average.max(1),
        duration => duration,
    };
    Some(last.shown.saturating_add(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECONDS: (u32, u32) = (1, 1000);

    fn packet(presented: i64, duration: i64, is_key: bool) -> Packet {
        Packet {
            presented: Some(presented),
            decoded: None,
            duration,
            is_key,
            is_hidden: false,
        }
    }

    fn taken(timeline: &Timeline, frames: usize) -> Vec<(i64, usize)> {
        let targets = timeline.targets(frames).into_iter();
        targets
            .map(|target| (target.picture.shown, target.count))
            .collect()
    }

    #[test]
    fn a_held_picture_counts_for_all_the_time_it_is_shown() {
        let packets = [
            packet(0, 100, true),
            packet(100, 3800, false),
            packet(3900, 100, false),
        ];
        let timeline = Timeline::new(&packets, "matroska,webm", MILLISECONDS).unwrap();
        assert_eq!(taken(&timeline, 8), [(100, 8)]);
        assert_eq!(taken(&timeline, 1), [(100, 1)]);
        assert_eq!(taken(&timeline, 40), [(0, 1), (100, 38), (3900, 1)]);
    }

    #[test]
    fn a_picture_that_begins_at_the_moment_is_taken() {
        // Thirds of a second are no decimals.
        let packets: Vec<Packet> = (0..10).map(|index| packet(index, 1, index == 0)).collect();
        let timeline = Timeline::new(&packets, "mov,mp4", (1, 30)).unwrap();
        assert_eq!(taken(&timeline, 1), [(5, 1)]);
        assert_eq!(
            taken(&timeline, 5),
            [(1, 1), (3, 1), (5, 1), (7, 1), (9, 1)]
        );
    }

    #[test]
    fn pictures_are_sorted_and_edits_left_out() {
        let mut packets: Vec<Packet> = [0, 400, 200, 100, 300]
            .iter()
            .map(|at| packet(*at, 100, *at == 0))
            .collect();
        packets[1].is_hidden = true;
        let timeline = Timeline::new(&packets, "mov,mp4", MILLISECONDS).unwrap();
        assert_eq!(taken(&timeline, 4), [(0, 1), (100, 1), (200, 1), (300, 1)]);
    }

    #[test]
    fn a_recording_begins_at_its_first_key_picture() {
        let mut packets: Vec<Packet> = (0..20).map(|at| packet(at * 100, 100, at == 10)).collect();
        packets.push(packet(950, 100, false)); // shown before the key picture, decoded after it
        let timeline = Timeline::new(&packets, "mpegts", MILLISECONDS).unwrap();
        assert_eq!(taken(&timeline, 2), [(1200, 1), (1700, 1)]);
        let without_keys: Vec<Packet> = (0..4).map(|at| packet(at * 100, 0, false)).collect();
        let timeline = Timeline::new(&without_keys, "mpegts", MILLISECONDS).unwrap();
        assert_eq!(taken(&timeline, 2), [(100, 1), (300, 1)]);
    }

    #[test]
    fn a_clock_that_starts_anew_goes_on() {
        let part = |begin: i64, at: i64| Packet {
            decoded: Some(begin + at * 100),
            ..packet(begin + at * 100, 100, at == 0)
        };
        for second in [0, 90_000_000] {
            let packets: Vec<Packet> = (0..20)
                .map(|at| part(5_000, at))
                .chain((0..20).map(|at| part(second, at)))
                .collect();
            let timeline = Timeline::new(&packets, "mpegts", MILLISECONDS).unwrap();
            assert_eq!(timeline.clock, Clock::Numbers);
            let numbers: Vec<usize> = timeline
                .targets(4)
                .iter()
                .map(|target| target.number)
                .collect();
            assert_eq!(numbers, [5, 15, 25, 35]);
        }
        // Elsewhere a picture that is held for a day is no leap.
        let held = [part(0, 0), part(90_000_000, 0)];
        let timeline = Timeline::new(&held, "matroska,webm", MILLISECONDS).unwrap();
        assert_eq!(timeline.clock, Clock::Timestamps);
    }

    #[test]
    fn pictures_without_times_are_counted() {
        let packets = [Packet {
            presented: None,
            ..packet(0, 1_200_000, true)
        }; 8];
        let timeline = Timeline::new(&packets, "h264", (1, 1_200_000)).unwrap();
        assert_eq!(timeline.clock, Clock::Numbers);
        assert_eq!(taken(&timeline, 2), [(2, 1), (6, 1)]);
        assert!(Timeline::new(&[], "h264", MILLISECONDS).is_none());
    }

    #[test]
    fn second_fields_are_no_pictures() {
        let packets: Vec<Packet> = (0..40)
            .map(|at| Packet {
                presented: (at % 2 == 0).then_some(at * 20),
                decoded: Some(at * 20),
                ..packet(0, 20, at == 0)
            })
            .collect();
        let timeline = Timeline::new(&packets, "mpegts", MILLISECONDS).unwrap();
        assert_eq!(timeline.clock, Clock::Timestamps);
        assert_eq!(taken(&timeline, 2), [(160, 1), (560, 1)]);
        // Some packets of a program stream have no time, which makes them pictures all the same.
        let packets: Vec<Packet> = (0..40)
            .map(|at| Packet {
                presented: (at % 5 != 0).then_some(at * 20),
                decoded: Some(at * 20),
                ..packet(0, 20, at == 0)
            })
            .collect();
        let timeline = Timeline::new(&packets, "mpeg", MILLISECONDS).unwrap();
        assert_eq!(timeline.clock, Clock::Numbers);
        assert_eq!(taken(&timeline, 2), [(200, 1), (600, 1)]);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let packets = [packet(i64::MIN, 1, true), packet(i64::MAX, i64::MAX, true)];
        let timeline = Timeline::new(&packets, "mov,mp4", MILLISECONDS).unwrap();
        assert_eq!(
            timeline
                .targets(1000)
                .iter()
                .map(|target| target.count)
                .sum::<usize>(),
            1000
        );
    }

    #[test]
    fn a_still_does_not_stand_for_the_video() {
        let stream = |index, pixels, packets, is_cover| Stream {
            index,
            width: pixels,
            height: 100,
            packets: vec![packet(0, 1, true); packets],
            is_cover,
            ..Stream::default()
        };
        let choice = |streams: Vec<Stream>| {
            let probed = Probed {
                streams,
                ..Probed::default()
            };
            main_stream(&probed).map(|stream| stream.index)
        };
        let (video, still) = (stream(1, 200, 40, false), stream(0, 900, 1, false));
        assert_eq!(choice(vec![still.clone(), video.clone()]), Some(1));
        assert_eq!(
            choice(vec![stream(0, 900, 40, true), video.clone()]),
            Some(1)
        );
        assert_eq!(choice(vec![video, stream(2, 200, 40, false)]), Some(1));
        assert_eq!(choice(vec![still]), Some(0));
        assert_eq!(choice(vec![stream(0, 900, 1, true)]), None);
    }
}
