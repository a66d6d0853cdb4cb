//! Safetensors and PyTorch checkpoints by name and shape, and a DeCap decoder in one.
#![no_main]

use std::sync::LazyLock;

use decap::decoder::{DecoderWeights, ImportOptions};
use decap::weights::{Bytes, Checkpoint, Tensors};
use decap_fuzz::{Scratch, choice};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 3) else {
        return;
    };
    match kind {
        0 => {
            let Ok(tensors) = Tensors::read("weights", Bytes::from(bytes.to_vec())) else {
                return;
            };
            for name in tensors.names() {
                if let Ok(tensor) = tensors.get(name) {
                    let _values = tensors.f32(name, tensor.shape);
                    let _values = tensor.to_f32();
                }
            }
        }
        1 => {
            let path = SCRATCH.write("model.safetensors", bytes);
            let Ok(checkpoint) = Checkpoint::open(&path) else {
                return;
            };
            let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
            for name in names {
                let shape = checkpoint.shape(&name).unwrap_or_default().to_vec();
                let _values = checkpoint.f32(&name, &shape);
            }
        }
        _ => {
            let path = SCRATCH.write("decap.pt", bytes);
            let _weights = DecoderWeights::import(&path, &ImportOptions::default());
        }
    }
});
