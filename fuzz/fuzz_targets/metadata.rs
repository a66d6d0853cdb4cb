//! Captions in photos' metadata: read, written, written once more, taken back.
#![no_main]

use decap_fuzz::choice;
use decap_sources::Existing;
use decap_sources::metadata::{
    CaptionToWrite, Field, read_caption, undo, undo_beside, write_caption, write_caption_beside,
};
use libfuzzer_sys::fuzz_target;

const WAYS: [Existing; 5] = [
    Existing::Skip,
    Existing::Ours,
    Existing::Append,
    Existing::Prepend,
    Existing::Overwrite,
];

fuzz_target!(|input: &[u8]| {
    let Some((way, bytes)) = choice(input, 10) else {
        return;
    };
    let caption = CaptionToWrite {
        text: "a dog & größe",
        alt_text: "a dog",
        fields: &Field::ALL,
        existing: WAYS[usize::from(way) % WAYS.len()],
        model: "tiny",
        run: "run",
    };
    if way >= WAYS.len() as u8 {
        // The content of an .xmp file.
        let _undone = undo_beside(bytes);
        if let Ok(edited) = write_caption_beside(bytes, &caption)
            && let Some(after) = edited.bytes
        {
            let again = write_caption_beside(&after, &caption);
            assert!(again.is_ok_and(|again| again.bytes.is_none()));
            assert!(undo_beside(&after).is_ok());
        }
        return;
    }
    let _read = read_caption(bytes);
    let _undone = undo(bytes);
    if let Ok(edited) = write_caption(bytes, &caption)
        && let Some(after) = edited.bytes
    {
        let found = read_caption(&after);
        assert!(found.is_ok_and(|found| !found.by_decap.is_empty()));
        let again = write_caption(&after, &caption);
        assert!(again.is_ok_and(|again| again.bytes.is_none()));
        assert!(undo(&after).is_ok());
    }
});
