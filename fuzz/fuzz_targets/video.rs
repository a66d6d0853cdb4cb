//! The first bytes of videos and photos, and what ffprobe and ffmpeg print about a video.
#![no_main]

use std::sync::LazyLock;

use decap_fuzz::{Scratch, choice};
use decap_media::video::{VideoOptions, fuzzing, sample};
use decap_media::{is_video, is_video_head, kind_of_head};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 4) else {
        return;
    };
    match kind {
        0 => {
            let _is_video = is_video_head(bytes);
            let _photo = kind_of_head(bytes).map(|kind| (kind.name(), kind.is_readable()));
        }
        1 => {
            let path = SCRATCH.write("clip.ts", bytes);
            let _is_video = is_video(&path);
            let mut options = VideoOptions::default();
            options.ffprobe = "/no/such/program".into();
            assert!(sample(&path, &options).is_err());
        }
        2 => fuzzing::read_ffprobe(bytes, 8),
        _ => fuzzing::read_ffmpeg(bytes, 8, 64),
    }
});
