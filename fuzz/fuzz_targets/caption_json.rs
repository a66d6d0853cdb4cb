//! Captions in JSON documents and JSON lines, for each purpose.
#![no_main]

use std::sync::LazyLock;

use caption_data::{read_captions, read_predictions, read_references};
use decap_fuzz::{Scratch, choice};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, text)) = choice(input, 2) else {
        return;
    };
    let name = ["captions.json", "captions.jsonl"][usize::from(kind)];
    let path = SCRATCH.write(name, text);
    if let Ok(captions) = read_captions(&path) {
        for caption in captions.texts() {
            assert!(!caption.trim().is_empty() && !caption.contains('\n'));
        }
        let _kept = captions
            .in_splits(&captions.splits())
            .in_domain("in-domain");
    }
    let _references = read_references(&path).map(|it| it.by_image().len());
    let _predictions = read_predictions(&path).map(|it| it.pairs().count());
});
