//! The bundled model, compiled into the program: `models/tiny` of the repository.

use std::io::Read;
use std::sync::LazyLock;

use decap::weights::{CompiledFile, Folder};
use flate2::read::ZlibDecoder;

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

/// Files of the model by name.
macro_rules! plain {
    ($name:literal) => {
        ($name, || {
            static FILE: &Aligned<[u8]> =
                &Aligned(*include_bytes!(concat!("../../../../models/tiny/", $name)));
            &FILE.0
        })
    };
}

/// Files that `build.rs` has compressed; each is inflated once, when it is first asked for.
macro_rules! compressed {
    ($name:literal, $packed:literal) => {
        ($name, || {
            static FILE: LazyLock<Vec<u8>> =
                LazyLock::new(|| inflated(include_bytes!(concat!(env!("OUT_DIR"), "/", $packed))));
            &FILE
        })
    };
}

static FILES: &[CompiledFile] = &[
    plain!("model.json"),
    plain!("decoder.json"),
    plain!("decoder.safetensors"),
    plain!("memory.safetensors"),
    compressed!("captions.txt", "captions.txt.z"),
    plain!("encoder/encoder.json"),
    plain!("encoder/heads.safetensors"),
    plain!("encoder/image_tower.onnx"),
    compressed!("encoder/text_tower.onnx", "encoder-text_tower.onnx.z"),
    plain!("encoder/tokenizer.json"),
];

fn inflated(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What the build compressed is whole; were it not, its reader would say so.
    if ZlibDecoder::new(packed).read_to_end(&mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}
