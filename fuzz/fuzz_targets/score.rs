//! Captions to scores, document frequencies, METEOR's data.
#![no_main]

use std::sync::LazyLock;

use caption_metrics::{
    DocumentFrequencies, Meteor, MissingIds, Options, Predictions, References, diversity, score,
    self_cider,
};
use decap_fuzz::{Scratch, choice, parts};
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = choice(input, 4) else {
        return;
    };
    let mut options = Options::default();
    options.missing_ids = MissingIds::LeaveOut;
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
        let mut fields = line.split('\t').map(str::to_owned);
        let (Some(id), Some(prediction)) = (fields.next(), fields.next()) else {
            continue;
        };
        all_predictions.push((id.clone(), prediction));
        all_references.push((id, fields.collect()));
    }
    let (Ok(references), Ok(predictions)) = (
        References::new(all_references),
        Predictions::new(all_predictions),
    ) else {
        return;
    };
    if let Ok(scores) = score(&references, &predictions, &options) {
        assert!(
            scores
                .corpus
                .bleu
                .iter()
                .all(|bleu| (0.0..=1.0).contains(bleu))
        );
        assert!(scores.corpus.cider.is_finite());
    }
    let _diversity = diversity(&predictions, None);
    let several: Vec<Vec<String>> = references
        .images()
        .iter()
        .map(|image| image.captions.clone())
        .collect();
    let _diversity = self_cider(&several, &references);
});
