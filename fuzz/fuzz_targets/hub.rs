//! The Hub's answers: listings, headers, descriptions that name files, and models in archives.
#![no_main]

use std::sync::LazyLock;

use decap_fuzz::{Scratch, choice, parts};
use decap_hub::fuzzing;
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 3) else {
        return;
    };
    match kind {
        0 => {
            let mut parts = parts(bytes).into_iter();
            let listing = parts.next().unwrap_or_default();
            let rest: Vec<&[u8]> = parts.collect();
            let snapshot = SCRATCH.folder().join("snapshot");
            let names = [
                "snapshot/encoder.json",
                "snapshot/config.json",
                "snapshot/model.safetensors.index.json",
            ];
            SCRATCH.write_parts(&names, &rest);
            fuzzing::read_listing(listing, &snapshot);
        }
        1 => fuzzing::read_headers(bytes),
        _ => {
            let archive = SCRATCH.write("model.tar", bytes);
            fuzzing::unpack(&archive, &SCRATCH.folder().join("unpacked"));
        }
    }
});
