//! A `tokenizer.json`, and a few texts through it.
#![no_main]

use std::path::Path;

use decap::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(tokenizer) = Tokenizer::read(Path::new("tokenizer.json"), input) else {
        return;
    };
    for text in ["", "a dog runs", "Zwei Hunde, 1.5 m &amp; 🐕\n"] {
        if let Ok(ids) = tokenizer.encode(text) {
            let _text = tokenizer.decode(&ids);
            let _shapes: Vec<_> = ids.iter().map(|&id| tokenizer.shape(id)).collect();
        }
    }
    let _text = tokenizer.decode(&[0, 1, tokenizer.start(), tokenizer.end(), u32::MAX]);
    let _unwritable = tokenizer.unwritable(&["a dog runs", "ß"]);
    let _size = (tokenizer.vocabulary_size(), tokenizer.unknown());
    let _json = tokenizer.to_json();
});
