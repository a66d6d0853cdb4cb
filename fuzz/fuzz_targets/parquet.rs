//! Captions in a Parquet file.
#![no_main]

use std::sync::LazyLock;

use caption_data::read_captions;
use decap_fuzz::Scratch;
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    // Both ends are fixed, so that no run is spent on finding them.
    let file = [b"PAR1", input, b"PAR1"].concat();
    let path = SCRATCH.write("captions.parquet", &file);
    if let Ok(captions) = read_captions(&path) {
        assert!(captions.texts().iter().all(|text| !text.is_empty()));
    }
});
