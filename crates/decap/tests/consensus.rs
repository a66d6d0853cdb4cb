//! Captions chosen among several, by the bundled model.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use std::sync::LazyLock;

use caption_words::{repeated_lemmas, words};
use decap::decoder::{GenerateOptions, Method as Choice, RepeatedWords};
use decap::{
    Caption, CaptionOptions, Captioner, ChosenFrom, Embedding, Embeddings, Error, Method, Rerank,
};

static TINY: LazyLock<Captioner> = LazyLock::new(|| Captioner::open("../../models/tiny").unwrap());

/// Photos of the repository.
const PHOTOS: [&str; 3] = ["cat", "boat", "bench"];

static EMBEDDINGS: LazyLock<Embeddings> = LazyLock::new(|| {
    let mut embeddings = Embeddings::empty(TINY.encoder().width());
    for name in PHOTOS {
        let photo = format!("../../examples/photos/{name}.webp");
        let photo = decap::pipeline::embed(TINY.encoder(), photo, &Default::default()).unwrap();
        embeddings.push(&photo).unwrap();
    }
    embeddings
});

/// A captioner with these sentences as its memory.
fn with_memory(sentences: &[&str]) -> Captioner {
    let captioner = Captioner::open("../../models/tiny").unwrap();
    captioner.with_memory(sentences).unwrap()
}

fn options(captioner: &Captioner, method: Method, rerank: Rerank) -> CaptionOptions {
    let mut options = captioner.options();
    options.method = method;
    options.rerank = rerank;
    options
}

fn captions(captioner: &Captioner, options: &CaptionOptions) -> Vec<Caption> {
    captioner
        .caption_embeddings(&EMBEDDINGS, options)
        .unwrap()
        .0
}

fn beams(width: usize) -> GenerateOptions {
    let mut options = TINY.options().generate;
    options.method = Choice::Beam {
        width,
        length_penalty: 1.0,
    };
    options
}

#[test]
fn the_best_beams_are_in_order_and_begin_with_the_best() {
    let decoder = TINY.decoder();
    let prefixes = EMBEDDINGS.as_slice();
    // Without constraints the order is that of the score.
    let mut free = GenerateOptions::default();
    free.method = beams(6).method;
    for generate in [free.clone(), beams(6)] {
        let several = decoder.generate_best(prefixes, &generate, 6).unwrap();
        let one = decoder.generate(prefixes, &generate).unwrap();
        assert_eq!(several.len(), PHOTOS.len());
        for (several, one) in several.iter().zip(&one) {
            assert_eq!(several.len(), 6);
            assert_eq!(&several[0], one);
            let mut ids: Vec<_> = several.iter().map(|one| &one.token_ids).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 6, "captions differ");
            for caption in several {
                let mean = caption.log_probability / caption.token_ids.len() as f32;
                assert!((mean - caption.score).abs() < 1e-5, "{caption:?}");
            }
        }
        if generate == free {
            for pair in several.iter().flat_map(|several| several.windows(2)) {
                assert!(pair[0].score >= pair[1].score, "{pair:?}");
            }
        }
        // Fewer are the first of more.
        let few = decoder.generate_best(prefixes, &generate, 2).unwrap();
        for (few, several) in few.iter().zip(&several) {
            assert_eq!(few[..], several[..2]);
        }
    }
    let more = decoder.generate_best(prefixes, &beams(2), 9).unwrap();
    assert!(more.iter().all(|several| several.len() == 2));
    let greedy = GenerateOptions::default();
    let only = decoder.generate_best(prefixes, &greedy, 3).unwrap();
    assert!(only.iter().all(|several| several.len() == 1));
    let none = decoder.generate_best(prefixes, &greedy, 0);
    assert!(matches!(none, Err(Error::Usage(_))));
}

#[test]
fn what_the_decoder_wrote_has_the_score_it_wrote_it_with() {
    let decoder = TINY.decoder();
    let width = EMBEDDINGS.width();
    let several = decoder
        .generate_best(EMBEDDINGS.as_slice(), &beams(4), 4)
        .unwrap();
    for (prefix, several) in EMBEDDINGS.as_slice().chunks(width).zip(several) {
        for caption in several.iter().filter(|caption| caption.ended) {
            let score = decoder.score(prefix, &caption.caption_ids()).unwrap();
            // Step by step and at once round differently, with matrices of bytes above all.
            assert!((score - caption.score).abs() < 0.05, "{score} {caption:?}");
        }
    }
    let prefix = &EMBEDDINGS.as_slice()[..width];
    let long = vec![TINY.tokenizer().encode("dog").unwrap()[0]; 5000];
    assert!(decoder.score(prefix, &long).unwrap().is_finite());
    assert!(decoder.score(prefix, &[]).unwrap().is_finite());
    let by_chance = -(decoder.config().vocabulary_size as f32).ln();
    let unknown = decoder.score(prefix, &[u32::MAX; 1000]).unwrap();
    assert!((unknown - by_chance).abs() < 0.05, "{unknown} {by_chance}");
    assert!(matches!(
        decoder.score(&prefix[1..], &[]),
        Err(Error::Mismatch(_))
    ));
    assert!(matches!(
        decoder.score(EMBEDDINGS.as_slice(), &[]),
        Err(Error::Mismatch(_))
    ));
}

#[test]
fn no_beam_says_a_content_word_twice() {
    let mut generate = beams(6);
    generate.repetition_penalty = 1.0;
    generate.no_repeat_ngram = 0;
    let rows: Vec<Embedding> = (0..40)
        .map(|row| TINY.memory().row(row * 37).unwrap())
        .collect();
    let prefixes: Vec<f32> = rows
        .iter()
        .flat_map(|row| row.as_slice())
        .copied()
        .collect();
    let repeats = |how| {
        let mut generate = generate.clone();
        generate.repeated_words = how;
        let written = TINY
            .decoder()
            .generate_best(&prefixes, &generate, 6)
            .unwrap();
        let text = |ids: &[u32]| TINY.tokenizer().decode(ids).unwrap();
        let texts = written
            .iter()
            .flatten()
            .map(|one| words(&text(&one.caption_ids())));
        texts
            .filter(|words| repeated_lemmas(words.iter().map(String::as_str)) > 0)
            .count()
    };
    assert_eq!(repeats(RepeatedWords::Forbid), 0);
    let allowed = repeats(RepeatedWords::Allow);
    assert!(allowed > 10, "{allowed}: the test says little");
}

#[test]
fn consensus_is_among_the_candidates() {
    let by_consensus = options(&TINY, Method::Projection, Rerank::Consensus);
    let chosen = captions(&TINY, &by_consensus);
    let plain = captions(&TINY, &options(&TINY, Method::Projection, Rerank::None));
    let mut written_only = by_consensus.clone();
    written_only.consensus.retrieved = 0;
    let written = captions(&TINY, &written_only);
    let prefixes = TINY
        .memory()
        .project(&EMBEDDINGS, by_consensus.tau, 0)
        .unwrap();
    for (index, prefix) in prefixes.iter().enumerate() {
        let beams = TINY
            .decoder()
            .generate_best(prefix.embedding.as_slice(), &beams(6), 6)
            .unwrap();
        let texts: Vec<Vec<String>> = beams[0]
            .iter()
            .map(|one| words(&TINY.tokenizer().decode(&one.caption_ids()).unwrap()))
            .collect();
        let is_beam = |caption: &Caption| texts.contains(&words(&caption.text));
        assert!(is_beam(&written[index]), "{:?}", written[index]);
        assert_eq!(written[index].chosen_from, ChosenFrom::Written);
        assert_eq!(plain[index].chosen_from, ChosenFrom::Written);
        let caption = &chosen[index];
        assert_eq!(caption.evidence, plain[index].evidence);
        assert!(caption.score < 0.0);
        let query = EMBEDDINGS.get(index).unwrap();
        match caption.chosen_from {
            ChosenFrom::Written => assert!(is_beam(caption), "{caption:?}"),
            ChosenFrom::Memory => {
                let nearest = TINY.memory().search(&query, 50).unwrap();
                let mut nearest = nearest.iter().map(|found| words(&found.text));
                assert!(
                    nearest.any(|words_of| words_of == words(&caption.text)),
                    "{caption:?}"
                );
                // In the decoder's own letters.
                assert_eq!(caption.text, caption.text.to_lowercase());
            }
        }
    }
    // Again, and one by one: the same.
    assert_eq!(captions(&TINY, &by_consensus), chosen);
    for (index, caption) in chosen.iter().enumerate() {
        let one = TINY
            .caption_embedding(&EMBEDDINGS.get(index).unwrap(), &by_consensus)
            .unwrap();
        assert_eq!(
            (&one.text, one.chosen_from),
            (&caption.text, caption.chosen_from)
        );
    }
}

#[test]
fn the_sentence_that_others_agree_with_wins() {
    let captioner = with_memory(&[
        "A zebra!",
        "two cats sleeping on a couch",
        "A cat sleeping on a couch",
        "a cat sleeping on a chair",
        "a cat lying on a couch",
    ]);
    let chosen = captions(
        &captioner,
        &options(&captioner, Method::Consensus, Rerank::None),
    );
    for caption in &chosen {
        // Word for word, and scored as retrieval is.
        assert_eq!(caption.text, "A cat sleeping on a couch");
        assert_eq!(caption.chosen_from, ChosenFrom::Memory);
        assert!((-1.0..=1.0).contains(&caption.score));
    }
    let nearest = captions(
        &captioner,
        &options(&captioner, Method::Retrieval, Rerank::Consensus),
    );
    let found = captioner.memory().nearest(&EMBEDDINGS).unwrap();
    for (caption, found) in nearest.iter().zip(found) {
        assert_eq!((&caption.text, caption.score), (&found.text, found.cosine));
        assert_eq!(caption.chosen_from, ChosenFrom::Memory);
    }
}

#[test]
fn the_smallest_memories_have_a_choice() {
    for sentences in [
        &["A cat."][..],
        &["...", "!"],
        &["雪"],
        &["cat", "cat", "Cat."],
    ] {
        let captioner = with_memory(sentences);
        for rerank in [Rerank::Consensus, Rerank::Encoder] {
            let chosen = captions(&captioner, &options(&captioner, Method::Projection, rerank));
            assert!(
                chosen.iter().all(|caption| !caption.text.is_empty()),
                "{sentences:?}"
            );
        }
        let of_memory = options(&captioner, Method::Consensus, Rerank::None);
        for caption in captions(&captioner, &of_memory) {
            assert!(sentences.contains(&caption.text.as_str()), "{caption:?}");
        }
    }
}

#[test]
fn a_sentence_with_a_banned_word_is_no_candidate() {
    let captioner = with_memory(&["a dog on a couch", "dogs on a couch", "a dog on the couch"]);
    let mut options = options(&captioner, Method::Projection, Rerank::Consensus);
    let from = |options: &CaptionOptions| {
        let chosen = captions(&captioner, options);
        chosen
            .iter()
            .filter(|one| one.chosen_from == ChosenFrom::Memory)
            .count()
    };
    assert!(from(&options) > 0, "the memory agrees with itself");
    let decoder = captioner.decoder();
    options.generate.banned_words = decoder.writings(captioner.tokenizer(), "dog").unwrap();
    assert_eq!(from(&options), 0);
    options.generate.banned_words = Vec::new();
    options.generate.max_tokens = 3;
    assert_eq!(from(&options), 0);
}

#[test]
fn the_encoder_can_choose() {
    let chosen = captions(&TINY, &options(&TINY, Method::Projection, Rerank::Encoder));
    let plain = captions(&TINY, &options(&TINY, Method::Projection, Rerank::None));
    let cosine = |caption: &Caption, index| {
        let text = TINY
            .encoder()
            .encode_texts(&[caption.text.as_str()])
            .unwrap();
        EMBEDDINGS.get(index).unwrap().cosine(&text.get(0).unwrap())
    };
    for (index, (chosen, plain)) in chosen.iter().zip(&plain).enumerate() {
        // Rows of bytes are a little off, and a repeated word costs.
        assert!(
            cosine(chosen, index) > cosine(plain, index) - 0.05,
            "{chosen:?} {plain:?}"
        );
    }
    assert!(
        chosen
            .iter()
            .zip(&plain)
            .any(|(chosen, plain)| chosen.text != plain.text)
    );
}

#[test]
fn samples_and_baselines_are_left_alone() {
    for method in [Method::Visual, Method::Nearest] {
        let plain = captions(&TINY, &options(&TINY, method, Rerank::None));
        let asked = captions(&TINY, &options(&TINY, method, Rerank::Consensus));
        assert_eq!(plain, asked);
    }
    let mut sampled = options(&TINY, Method::Projection, Rerank::Consensus);
    sampled.consensus.retrieved = 0;
    sampled.generate.method = Choice::Sample {
        temperature: 1.0,
        top_p: 0.8,
        seed: 3,
    };
    let mut plain = sampled.clone();
    plain.rerank = Rerank::None;
    assert_eq!(captions(&TINY, &sampled), captions(&TINY, &plain));
}

#[test]
fn senseless_choices_are_refused() {
    type Change = fn(&mut CaptionOptions);
    let changes: [Change; 7] = [
        |options| options.consensus.voters = Some(0),
        |options| options.consensus.beams = 0,
        |options| options.consensus.beams = 100_000,
        |options| options.consensus.tau = 0.0,
        |options| options.consensus.tau = f32::NAN,
        |options| options.consensus.repeat_penalty = f32::INFINITY,
        |options| options.consensus.cosine = f32::NAN,
    ];
    for change in changes {
        let mut options = options(&TINY, Method::Projection, Rerank::Consensus);
        change(&mut options);
        let refused = TINY.caption_embeddings(&EMBEDDINGS, &options);
        assert!(
            matches!(refused, Err(Error::Usage(_))),
            "{:?}",
            options.consensus
        );
    }
    let mut none = options(&TINY, Method::Consensus, Rerank::None);
    none.consensus.retrieved = 0;
    let refused = TINY.caption_embeddings(&EMBEDDINGS, &none);
    assert!(matches!(refused, Err(Error::Usage(_))));
}
