//! A PyTorch file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use torch_state_dict::StateDict;

/// Values that a view may repeat.
const MOST_VALUES: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let _is_torch = StateDict::is_torch(input);
    let Ok(state) = StateDict::parse(input) else {
        return;
    };
    for tensor in state.tensors.values() {
        let values = tensor.shape.iter().try_fold(1usize, |count, &extent| {
            count
                .checked_mul(extent)
                .filter(|&count| count <= MOST_VALUES)
        });
        if let Some(values) = values {
            let read = tensor.to_f32(input);
            assert!(read.is_none_or(|read| read.len() == values));
        }
    }
});
