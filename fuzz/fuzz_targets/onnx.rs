//! ONNX towers: the lengths within the file, loading it, and a run where it does not tell its width.
#![no_main]

use std::sync::LazyLock;

use decap::encoder::{
    ImageTower, OnnxImageOptions, OnnxImageTower, OnnxTextOptions, OnnxTextTower, Preprocess,
    TextTower,
};
use decap::weights::Folder;
use decap_fuzz::{Scratch, choice};
use libfuzzer_sys::fuzz_target;

/// The tokenizer that the seed of the text tower was made with.
const TOKENIZER: &[u8] =
    include_bytes!("../../crates/decap-encoder/tests/data/onnx/tokenizer.json");

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| {
    let scratch = Scratch::new();
    scratch.write("tokenizer.json", TOKENIZER);
    scratch
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 2) else {
        return;
    };
    SCRATCH.write("tower.onnx", bytes);
    let folder = Folder::disk(SCRATCH.folder());
    if kind == 0 {
        let options = OnnxImageOptions {
            preprocess: Preprocess {
                size: 32,
                ..Preprocess::default()
            },
            ..OnnxImageOptions::default()
        };
        let tower = OnnxImageTower::open(&folder, "tower.onnx", options);
        let _width = tower.map(|tower| tower.width());
    } else {
        let options = OnnxTextOptions {
            max_tokens: 16,
            ..OnnxTextOptions::default()
        };
        let tower = OnnxTextTower::open(&folder, "tower.onnx", "tokenizer.json", options);
        let _width = tower.map(|tower| tower.width());
    }
});
