//! The bundled model, compiled into the program: `models/tiny` of the repository.

use decap::weights::Folder;

/// The bundled model within the program.
pub fn model() -> Folder {
    Folder::Compiled {
        name: "tiny (bundled)",
        prefix: String::new(),
        files: FILES,
    }
}

/// Bytes at an address that suits every tensor type.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, {
            static FILE: &Aligned<[u8]> =
                &Aligned(*include_bytes!(concat!("../../../../models/tiny/", $name)));
            &FILE.0
        })),*]
    };
}

static FILES: &[(&str, &[u8])] = files![
    "model.json",
    "decoder.json",
    "decoder.safetensors",
    "memory.safetensors",
    "captions.txt",
    "encoder/encoder.json",
    "encoder/heads.safetensors",
    "encoder/image_tower.onnx",
    "encoder/text_tower.onnx",
    "encoder/tokenizer.json",
];
