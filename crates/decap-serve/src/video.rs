//! Videos: frames by ffmpeg, scenes by how alike the frames are, a caption for each scene and for the whole.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use decap::media::video::{SampledFrames, sample};
use decap::media::{VideoOptions, is_video_head};
use decap::{Caption, Embedding, Error, Timings};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::api::record::Segment;
use crate::api::rounded;
use crate::error::ApiError;
use crate::state::State;
use crate::worker::{CaptionPlan, Pending, Picture, Work};

/// Two frames in a row whose embeddings have a lower cosine are of different scenes. Frames of a still have 1.
const SAME_SCENE: f32 = 0.75;

/// What is told of a video.
pub struct Described {
    /// Of the mean of all frames, as `decap caption` has it.
    pub caption: Caption,
    /// Where the time went.
    pub timings: Timings,
    /// None where the video does not tell its length.
    pub segments: Vec<Segment>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Captions the video in `bytes`.
///
/// # Errors
/// What is wrong with the video; [`Error::Unavailable`] without ffmpeg; [`ApiError::OutOfTime`].
pub async fn describe(
    state: &Arc<State>,
    name: &str,
    bytes: Bytes,
    plan: &Arc<CaptionPlan>,
    deadline: Instant,
) -> Result<Described, ApiError> {
    let turn = timeout_at(deadline.into(), state.decoding.acquire()).await;
    let turn = turn.map_err(|_| ApiError::OutOfTime)?;
    let _turn = turn.map_err(|_| ApiError::Stopping)?;
    let started = Instant::now();
    let mut options = state.options.video.clone();
    // ffmpeg leaves out what no tower would see.
    let least_side = state.encoder.least_side().unwrap_or(0);
    options.shortest_side = options.shortest_side.max(least_side);
    let left = deadline.saturating_duration_since(started);
    options.timeout = options.timeout.min(left);
    let called = name.to_owned();
    let frames = spawn_blocking(move || frames_of(&called, &bytes, &options)).await;
    let frames = frames.map_err(|_| ApiError::Broken)??;
    let mut timings = Timings {
        decode_ms: started.elapsed().as_secs_f64() * 1e3,
        ..Timings::default()
    };
    let began = Instant::now();
    let submit = |picture: Picture, work: Work| {
        state
            .worker
            .submit(picture, name.to_owned(), work, deadline)
    };
    let pictures = frames.images.into_iter().map(Picture::Frame);
    let pending: Result<Vec<Pending>, _> = pictures.map(|it| submit(it, Work::Embed)).collect();
    let mut embeddings = Vec::new();
    for pending in pending? {
        embeddings.push(pending.embedding().await?);
    }
    timings.encode_ms = began.elapsed().as_secs_f64() * 1e3;
    let scenes = scenes(&embeddings);
    let seen = std::iter::once(0..embeddings.len()).chain(scenes.iter().cloned());
    let caption = |range: Range<usize>| {
        let picture = Picture::Seen(mean_of(&embeddings[range])?);
        submit(picture, Work::Caption(Arc::clone(plan)))
    };
    let pending: Result<Vec<Pending>, ApiError> = seen.map(caption).collect();
    let mut captions = Vec::new();
    for pending in pending? {
        let (caption, of_batch) = pending.caption().await?;
        timings.project_ms = timings.project_ms.max(of_batch.project_ms);
        timings.generate_ms = timings.generate_ms.max(of_batch.generate_ms);
        timings.choose_ms = timings.choose_ms.max(of_batch.choose_ms);
        captions.push(caption);
    }
    let mut captions = captions.into_iter();
    let whole = captions.next().ok_or(ApiError::Broken)?;
    let length = frames.seconds.unwrap_or(0.0);
    let time = |frame: usize| {
        let seconds = length * frame as f64 / embeddings.len().max(1) as f64;
        (seconds * 1e3).round() / 1e3
    };
    let segments = scenes.iter().zip(captions).map(|(range, caption)| Segment {
        start: time(range.start),
        end: time(range.end),
        caption: caption.text,
        score: rounded(caption.score, 6),
    });
    Ok(Described {
        caption: whole,
        timings,
        segments: match length > 0.0 {
            true => segments.collect(),
            false => Vec::new(),
        },
        warnings: frames.warnings,
    })
}

/// The frames of a video, which lies in a file of its own meanwhile: ffmpeg reads no other.
fn frames_of(name: &str, bytes: &[u8], options: &VideoOptions) -> Result<SampledFrames, Error> {
    debug_assert!(is_video_head(bytes));
    let place = std::env::temp_dir();
    let in_file = || {
        let mut file = tempfile::Builder::new().prefix("decap-video-").tempfile()?;
        file.write_all(bytes)?;
        file.flush()?;
        Ok(file)
    };
    let file = in_file().map_err(|source| Error::io(place, source))?;
    // The client knows the video by its own name.
    let path = file.path().to_string_lossy().into_owned();
    sample(file.path(), options).map_err(|error| match Error::from(error) {
        Error::Input { fault, .. } => Error::input(name, fault),
        Error::Unavailable(message) => Error::Unavailable(message.replace(&path, name)),
        other => other,
    })
}

/// Runs of frames that show one scene each, in order.
fn scenes(frames: &[Embedding]) -> Vec<Range<usize>> {
    let mut scenes = Vec::new();
    let mut start = 0;
    for end in 1..=frames.len() {
        let is_cut = match frames.get(end) {
            Some(next) => frames[end - 1].cosine(next) < SAME_SCENE,
            None => true,
        };
        if is_cut {
            scenes.push(start..end);
            start = end;
        }
    }
    scenes
}

/// The mean of unit vectors, as a unit vector.
fn mean_of(embeddings: &[Embedding]) -> Result<Embedding, Error> {
    let width = embeddings.first().map_or(0, Embedding::width);
    let mut sum = vec![0.0; width];
    for embedding in embeddings {
        for (sum, value) in sum.iter_mut().zip(embedding.as_slice()) {
            *sum += value;
        }
    }
    Embedding::new(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_end_where_frames_differ() {
        let cat = Embedding::new(vec![1.0, 0.0]).unwrap();
        let sea = Embedding::new(vec![0.1, 1.0]).unwrap();
        let frames = [&cat, &cat, &sea, &cat].map(Clone::clone);
        assert_eq!(scenes(&frames), [0..2, 2..3, 3..4]);
        assert_eq!(scenes(&[]), Vec::<Range<usize>>::new());
    }
}
