//! What ffprobe and ffmpeg print, read without them: for fuzz targets alone.

use super::decode::{read_frames, read_talk};
use super::probe::{read_complaints, read_probed};
use super::timeline::{Timeline, main_stream};

/// Reads `output` as ffprobe's, and chooses `frames` pictures of the video that it describes.
pub fn read_ffprobe(output: &[u8], frames: usize) {
    let _complaints = read_complaints(output);
    let Ok(Ok(probed)) = read_probed(output) else {
        return;
    };
    let Some(stream) = main_stream(&probed) else {
        return;
    };
    if let Some(timeline) = Timeline::new(&stream.packets, &probed.format, stream.time_base) {
        let targets = timeline.targets(frames);
        let taken: usize = targets.iter().map(|target| target.count).sum();
        assert_eq!(taken, frames);
    }
}

/// Reads `output` as ffmpeg's: its log, and at most `frames` frames of `pixels` pixels each.
pub fn read_ffmpeg(output: &[u8], frames: usize, pixels: u64) {
    let _talk = read_talk(output);
    let _frames = read_frames(output, frames, pixels);
}
