//! Captions to scores, document frequencies, METEOR's data.
#![no_main]

use std::sync::LazyLock;

use caption_metrics::{
    DocumentFrequencies, Meteor, MissingIds, Options, Predictions, PtbTokenizer, References,
    Tokenization, score,
};
use decap_fuzz::{Scratch, choice, parts};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
/// Made once: with sanitizers it takes a second.
static TOKENIZER: LazyLock<PtbTokenizer> = LazyLock::new(PtbTokenizer::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 4) else {
        return;
    };
    let mut options = Options::default();
    options.missing_ids = MissingIds::LeaveOut;
    options.tokenization = Tokenization::Tokenized;
    let parts = parts(bytes);
    let captions = parts[0];
    match kind {
        0 => {}
        1 | 2 => {
            let name = ["frequencies", "frequencies.gz"][usize::from(kind - 1)];
            let path = SCRATCH.write(name, parts.get(1).copied().unwrap_or_default());
            options.document_frequencies = DocumentFrequencies::read(&path).ok();
        }
        _ => {
            let path = SCRATCH.write("meteor", parts.get(1).copied().unwrap_or_default());
            options.meteor = Meteor::open(&path).ok();
        }
    }
    // Lines of `id<TAB>prediction<TAB>reference<TAB>...`.
    let text = String::from_utf8_lossy(captions);
    let (mut all_references, mut all_predictions) = (Vec::new(), Vec::new());
    for line in text.split('\n').take(16) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, captions @ ..] = &fields[..] else {
            continue;
        };
        let mut captions = TOKENIZER.tokenize_all(captions).into_iter();
        let Some(prediction) = captions.next() else {
            continue;
        };
        all_predictions.push((id.to_string(), prediction));
        all_references.push((id.to_string(), captions.collect()));
    }
    let (Ok(references), Ok(predictions)) = (
        References::new(all_references),
        Predictions::new(all_predictions),
    ) else {
        return;
    };
    if let Ok(scores) = score(&references, &predictions, &options) {
        let bleu = scores.corpus.bleu;
        assert!(
            bleu.iter().all(|bleu| (0.0..=1.0).contains(bleu)),
            "{bleu:?}"
        );
        assert!(scores.corpus.cider.is_finite());
    }
});
