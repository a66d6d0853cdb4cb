//! Captions in lines and tables, packed with gzip or not, for each purpose.
#![no_main]

use std::sync::LazyLock;

use caption_data::{read_by_position, read_captions, read_predictions, read_references};
use decap_fuzz::{Scratch, choice};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, text)) = choice(input, 4) else {
        return;
    };
    let name = [
        "captions",
        "captions.csv",
        "captions.tsv",
        "captions.csv.gz",
    ][usize::from(kind)];
    let path = SCRATCH.write(name, text);
    if let Ok(captions) = read_captions(&path) {
        for (index, caption) in captions.texts().iter().enumerate() {
            assert!(!caption.trim().is_empty() && !caption.contains('\n'));
            let _image = captions.image_of(index);
        }
        assert_eq!(captions.pairs().count(), captions.len());
        let _kept = captions.in_splits(&captions.splits());
    }
    let _positions = read_by_position(&path);
    let _references = read_references(&path).map(|it| it.by_image().len());
    let _predictions = read_predictions(&path).map(|it| it.pairs().count());
});
