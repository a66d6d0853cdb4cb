//! A NumPy array file.
#![no_main]

use std::sync::LazyLock;

use decap::read_npy;
use decap_fuzz::Scratch;
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let path = SCRATCH.write("embeddings.npy", input);
    if let Ok(array) = read_npy(&path) {
        assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
    }
});
