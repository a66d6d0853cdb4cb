//! Tokenizer files that are damaged: an error each, and never a panic.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use decap_encoder::tokenizer::Tokenizer;

/// Reads `json` and, where it is a tokenizer, uses it.
fn read_and_use(json: &[u8]) -> Result<(), String> {
    let tokenizer =
        Tokenizer::read(Path::new("tokenizer.json"), json).map_err(|error| error.to_string())?;
    let ids = tokenizer
        .encode("a dog's 2 bones, naïve \u{1F415}")
        .map_err(|error| error.to_string())?;
    tokenizer.decode(&ids).map_err(|error| error.to_string())?;
    tokenizer.decode(&[0, 1, u32::MAX]).ok();
    Ok(())
}

/// `json` cut, with bits changed and with bytes taken out, `step` bytes apart.
fn damaged(json: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> {
    (1..json.len()).step_by(step).flat_map(move |at| {
        let flipped = |bit: usize| {
            let mut flipped = json.to_vec();
            flipped[at] ^= 1 << bit;
            flipped
        };
        let removed = [&json[..at], json.get(at + 5..).unwrap_or_default()].concat();
        [
            json[..at].to_vec(),
            flipped(at % 7),
            flipped((at + 3) % 7),
            removed,
        ]
    })
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut errors = 0;
    for (file, step) in [
        ("onnx/tokenizer.json", 1),
        ("clip_onnx/mobileclip/tokenizer.json", 41),
        ("clip_onnx/siglip2/tokenizer.json", 67),
    ] {
        let whole = fs::read(data.join(file)).unwrap();
        assert_eq!(read_and_use(&whole), Ok(()), "{file}");
        for (number, damaged) in damaged(&whole, step).enumerate() {
            let read = catch_unwind(|| read_and_use(&damaged));
            let read = read.unwrap_or_else(|_| panic!("{file}: a panic for damage {number}"));
            errors += usize::from(read.is_err_and(|it| it.contains("tokenizer.json")));
        }
    }
    assert!(errors > 1_000, "{errors}");
}
