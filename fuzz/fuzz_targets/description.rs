//! The descriptions in models' and encoders' folders, a decoder, a memory.
#![no_main]

use std::sync::LazyLock;

use decap::OpenOptions;
use decap::decoder::Decoder;
use decap::encoder::clip::ClipConfig;
use decap::encoder::{EncoderDescription, open_folder};
use decap::memory::Memory;
use decap::model::ModelDescription;
use decap::weights::Folder;
use decap_fuzz::{Scratch, choice, parts};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 6) else {
        return;
    };
    // Each kind has a folder of its own.
    let folder = Folder::disk(SCRATCH.folder().join(kind.to_string()));
    let write = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("{kind}/{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        SCRATCH.write_parts(&names, &parts(bytes));
    };
    match kind {
        0 => {
            write(&["model.json"]);
            let model = ModelDescription::read(&folder);
            let _options = model.map(|model| model.writing.generate_options());
        }
        1 => {
            write(&["encoder.json"]);
            let description = EncoderDescription::read(&folder);
            let _files = description.map(|description| description.files());
        }
        2 => {
            write(&["decoder.json", "decoder.safetensors"]);
            let _decoder = Decoder::open(&folder);
        }
        3 => {
            write(&["memory.safetensors", "captions.txt"]);
            if let Ok(memory) = Memory::open(&folder) {
                assert_eq!(memory.captions().iter().count(), memory.rows().len());
            }
        }
        4 => {
            write(&["config.json", "open_clip_config.json"]);
            let _config = ClipConfig::read_hugging_face(&folder);
            let _config = ClipConfig::read_open_clip(&folder);
        }
        _ => {
            write(&[
                "config.json",
                "tokenizer_config.json",
                "preprocessor_config.json",
                "tokenizer.json",
                // It loads no network, so the descriptions are all that is read.
                "onnx/vision_model.onnx",
                "onnx/text_model.onnx",
            ]);
            let _encoder = open_folder(&folder, &OpenOptions::default());
        }
    }
});
