//! Agreement by hand, and against the metric's own crate.

use caption_metrics::{DocumentFrequencies, Options, Predictions, PtbTokenizer, References, score};
use caption_words::{repeated_lemmas, words};

use super::*;
use crate::memory::Captions;

/// f64 sums in another order.
const TOLERANCE: f64 = 1e-12;
/// As f32 weights.
const UNIFORM: f32 = 1.0;

fn phrases(sentences: &[&str]) -> Phrases {
    Phrases::of(&Captions::from_sentences(sentences))
}

fn agreement(phrases: &Phrases, candidates: &[&str], voters: &[(usize, f32)]) -> Vec<f64> {
    let mut unknown = Vec::new();
    let numbers = candidates
        .iter()
        .map(|text| phrases.numbers(&words(text), &mut unknown));
    Ballot::new(phrases, numbers.collect()).agreement(voters)
}

fn everyone(count: usize) -> Vec<(usize, f32)> {
    (0..count).map(|row| (row, UNIFORM)).collect()
}

#[test]
fn agreement_is_the_weighted_mean_of_cider_d() {
    // Documents: `a` in all three, `dog` in two, the rest in one.
    let memory = phrases(&["a dog", "a dog runs", "a cat"]);
    let (dog, rare) = (1.5_f64.ln(), 3.0_f64.ln());
    // `a dog` against `a dog runs`: unigrams dog, dog + runs; bigrams `a dog`, `a dog` + `dog runs`.
    let unigrams = dog * dog / (dog * (dog * dog + rare * rare).sqrt());
    let bigrams = unigrams;
    let one_word_apart = (-1.0_f64 / 72.0).exp();
    let expected = (unigrams + bigrams) / 4.0 * one_word_apart;
    let got = agreement(&memory, &["a dog"], &[(1, 3.0), (2, 1.0)]);
    assert!(
        (got[0] - 0.75 * expected).abs() < TOLERANCE,
        "{got:?} {expected}"
    );
}

#[test]
fn agreement_is_what_pycocoevalcap_scores() {
    let references = include_str!("../../../caption-metrics/tests/data/references.json");
    let predictions = include_str!("../../../caption-metrics/tests/data/predictions.json");
    let texts = |json: &str| -> Vec<String> {
        let values: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).unwrap();
        let texts = values.into_iter().flat_map(|(_, value)| match value {
            serde_json::Value::Array(texts) => texts,
            text => vec![text],
        });
        // Text that both tokenizers read alike.
        let tokenizer = PtbTokenizer::new();
        let texts = texts.map(|text| text.as_str().unwrap().to_owned());
        texts
            .filter(|text| tokenizer.tokenize(text) == words(text).join(" "))
            .collect()
    };
    let (sentences, candidates) = (texts(references), texts(predictions));
    assert!(
        sentences.len() > 100 && candidates.len() > 20,
        "too little is compared"
    );

    let named = |text: (usize, &String)| (text.0.to_string(), vec![text.1.clone()]);
    let each = References::new(sentences.iter().enumerate().map(named)).unwrap();
    let all = candidates
        .iter()
        .enumerate()
        .map(|(id, _)| (id.to_string(), sentences.clone()));
    let mut options = Options::default();
    options.document_frequencies = Some(DocumentFrequencies::of_references(&each));
    let predicted = candidates
        .iter()
        .enumerate()
        .map(|(id, text)| (id.to_string(), text.clone()));
    let scores = score(
        &References::new(all).unwrap(),
        &Predictions::new(predicted).unwrap(),
        &options,
    )
    .unwrap();

    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let memory = phrases(&sentences);
    let got = agreement(&memory, &candidates, &everyone(sentences.len()));
    let mut compared = 0;
    for ((candidate, got), expected) in candidates.iter().zip(got).zip(&scores.images) {
        if sentences
            .iter()
            .any(|sentence| words(sentence) == words(candidate))
        {
            continue;
        }
        let expected = expected.values.cider / 10.0;
        assert!(
            (got - expected).abs() < 1e-9,
            "{candidate}: {got} {expected}"
        );
        compared += usize::from(expected > 0.0);
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn a_sentence_does_not_vote_for_itself() {
    let memory = phrases(&[
        "a dog runs on grass",
        "A dog runs on grass.",
        "a cat sleeps inside",
    ]);
    let got = agreement(
        &memory,
        &["a dog runs on grass", "a cat sleeps inside"],
        &everyone(3),
    );
    // Only `a`, which all have, is common to both: its weight is 0.
    assert_eq!(got, [0.0, 0.0]);
    // The weights of the others are scaled up instead.
    let near = phrases(&["a dog runs", "a dog sits", "the cat"]);
    let with_self = agreement(&near, &["a dog runs"], &[(0, 5.0), (1, 1.0), (2, 1.0)]);
    let without = agreement(&near, &["a dog runs"], &[(1, 1.0), (2, 1.0)]);
    assert_eq!(with_self, without);
    assert!(without[0] > 0.0);
}

#[test]
fn what_nobody_says_has_no_agreement() {
    let memory = phrases(&["a dog runs", "", "...", "a cat"]);
    let got = agreement(
        &memory,
        &["zebras graze", "zebras zebras", "", "a dog"],
        &everyone(4),
    );
    assert_eq!(got[..3], [0.0; 3]);
    assert!(got[3] > 0.0);
    // A memory of one sentence, and no voter.
    assert_eq!(
        agreement(&phrases(&["a dog"]), &["a dog", "a"], &everyone(1)),
        [0.0, 0.0]
    );
    assert_eq!(agreement(&memory, &["a dog"], &[]), [0.0]);
    assert!(agreement(&memory, &[], &everyone(4)).is_empty());
}

#[test]
fn unknown_words_are_told_apart() {
    let memory = phrases(&["a dog", "a cat"]);
    let mut unknown = Vec::new();
    let first = memory.numbers(&words("a zebra and a gnu"), &mut unknown);
    let second = memory.numbers(&words("gnu zebra a"), &mut unknown);
    assert_eq!(
        [first[1], first[4], first[0]],
        [second[1], second[0], second[2]]
    );
    assert_ne!(first[1], first[4]);
    assert_eq!(unknown, ["zebra", "and", "gnu"]);
}

#[test]
fn the_first_of_equals_is_best() {
    assert_eq!(best(&[], &[], 0.5, None), None);
    assert_eq!(best(&[0.0, 0.0, 0.0], &[0; 3], 0.5, None), Some(0));
    assert_eq!(best(&[0.1, 0.3, 0.3], &[0; 3], 0.5, None), Some(1));
}

#[test]
fn a_word_said_twice_costs_standard_deviations() {
    let texts = ["a dog on a dog", "a dog on grass"];
    let repeated = texts.map(|text| repeated_lemmas(words(text).iter().map(String::as_str)));
    assert_eq!(repeated, [1, 0]);
    // Two values are one standard deviation from their mean each: 2 apart.
    assert_eq!(best(&[0.4, 0.2], &repeated, 1.9, None), Some(0));
    assert_eq!(best(&[0.4, 0.2], &repeated, 2.1, None), Some(1));
}

#[test]
fn the_cosine_counts_in_standard_deviations() {
    let cosines = [0.1, 0.9];
    assert_eq!(
        best(&[0.4, 0.2], &[0; 2], 0.5, Some((&cosines, 0.9))),
        Some(0)
    );
    assert_eq!(
        best(&[0.4, 0.2], &[0; 2], 0.5, Some((&cosines, 1.1))),
        Some(1)
    );
    // By the cosine alone, as `Rerank::Encoder` has it.
    assert_eq!(
        best(&[0.0, 0.0], &[0; 2], 0.5, Some((&cosines, 1.0))),
        Some(1)
    );
}

#[test]
fn voters_grow_with_the_memory() {
    let options = ConsensusOptions::default();
    let cases = [(1, 1), (30, 30), (5_000, 50), (20_000, 200), (88_000, 500)];
    for (rows, voters) in cases {
        assert_eq!(options.voters_of(rows), voters, "{rows}");
    }
}
