//! Memory that photos share while they are loaded.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use decap::pipeline::{ReadOptions, embed_each_seen};
use decap::{Captioner, Input};

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

/// Most photos that were in memory at once, of twelve, and their embeddings' first values.
fn most_at_once(captioner: &Captioner, options: &ReadOptions) -> (usize, Vec<f32>) {
    let names = ["bench", "boat", "bear", "cat", "taxis", "tram"];
    let inputs = (0..12).map(|place| {
        let name = names[place % names.len()];
        Input::from(format!("../../examples/photos/{name}.webp"))
    });
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let see = |_: &[decap::media::RgbImage]| {
        let held = now.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(held, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    };
    let mut firsts = Vec::new();
    embed_each_seen(
        captioner.encoder(),
        inputs,
        options,
        &AtomicBool::new(false),
        see,
        |embedded| {
            let (embedding, ()) = embedded.result?;
            firsts.extend(embedding.as_slice().first());
            Ok::<_, decap::Error>(())
        },
    )
    .unwrap();
    (most.into_inner(), firsts)
}

#[test]
fn photos_that_do_not_fit_together_are_loaded_one_by_one() {
    let captioner = Captioner::open("../../models/tiny").unwrap();
    let mut options = ReadOptions::default();
    let (at_once, expected) = most_at_once(&captioner, &options);
    // Less than any photo takes.
    options.memory_bytes = 1;
    assert_eq!(most_at_once(&captioner, &options), (1, expected));
    if thread::available_parallelism().map_or(1, usize::from) == 1 {
        skipped::skip("two cores to load on");
        return;
    }
    assert!(at_once > 1, "{at_once}");
}

#[test]
fn a_model_that_is_gone_has_no_run_key() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let encoder = std::path::absolute("../../models/tiny").unwrap();
    std::fs::create_dir_all(&model).unwrap();
    for name in [
        "decoder.json",
        "decoder.safetensors",
        "memory.safetensors",
        "captions.txt",
    ] {
        std::fs::copy(encoder.join(name), model.join(name)).unwrap();
    }
    let description = std::fs::read_to_string(encoder.join("model.json")).unwrap();
    let reference = format!("\"reference\": {:?}", encoder.to_str().unwrap());
    let description = description.replace("\"reference\": \"tiny\"", &reference);
    std::fs::write(model.join("model.json"), description).unwrap();
    let tokenizer = "encoder/tokenizer.json";
    std::fs::copy(encoder.join(tokenizer), model.join("tokenizer.json")).unwrap();
    let captioner = Captioner::open(model.to_str().unwrap()).unwrap();
    let options = captioner.options();
    assert!(captioner.run_key(&options).is_ok());
    // What was opened may be mapped: the folder is given another name, not emptied.
    std::fs::rename(&model, folder.path().join("elsewhere")).unwrap();
    let told = captioner.run_key(&options).unwrap_err().to_string();
    assert!(told.contains("model.json"), "{told}");
}
