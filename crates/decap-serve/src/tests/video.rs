//! Videos, made here by ffmpeg; skipped where it is not installed.

use std::process::Command;

use super::*;
use crate::skipped::skip;

/// The first bytes of a video, and nothing else.
const HEAD: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42";

#[tokio::test]
async fn a_video_has_its_scenes() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        return skip("ffmpeg");
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let still = |name: &str| format!("../../examples/photos/{name}.webp");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-loop", "1", "-t", "2", "-i", &still("cat")])
        .args(["-loop", "1", "-t", "4", "-i", &still("tram")])
        .args([
            "-filter_complex",
            "[0]scale=320:240,setsar=1[a];[1]scale=320:240,setsar=1[b];[a][b]concat,fps=10",
        ])
        .args(["-pix_fmt", "yuv420p"])
        .arg(&clip)
        .status();
    assert!(made.unwrap().success());
    let video = std::fs::read(clip).unwrap();
    let service = service();
    let (status, text) = raw(
        &service,
        "/v1/caption",
        "application/octet-stream",
        "*/*",
        &video,
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let segments = answer["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2, "{text}");
    assert_eq!(
        (&segments[0]["start"], &segments[0]["end"]),
        (&json!(0.0), &json!(2.0))
    );
    assert_eq!(
        (&segments[1]["start"], &segments[1]["end"]),
        (&json!(2.0), &json!(6.0))
    );
    assert!(
        segments[0]["caption"].as_str().unwrap().contains("cat"),
        "{text}"
    );
    assert!(answer["caption"].is_string() && answer.get("warnings").is_none());
}

#[tokio::test]
async fn what_is_no_video_and_a_service_without_ffmpeg_say_so() {
    let kind = "video/mp4";
    let service = service_with(|options| options.video.ffprobe = "no-such-program".into());
    let (status, text) = raw(&service, "/v1/caption", kind, "*/*", HEAD).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert!(
        text.contains("no-such-program") && !text.contains("decap-video-"),
        "{text}"
    );
    if Command::new("ffprobe").arg("-version").output().is_err() {
        return skip("ffmpeg");
    }
    let (status, text) = raw(&super::service(), "/v1/caption", kind, "*/*", HEAD).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    assert!(!text.contains("decap-video-"), "{text}");
}
