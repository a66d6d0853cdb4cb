//! The decoder against Hugging Face's GPT-2, and its own ways against each other.

use super::golden::Golden;
use super::*;
use decap_encoder::weights::{NewTensor, write_safetensors};

/// Logits are sums of `width` products of order one: f32 rounding in another order of summation
/// stays well below this, a wrong formula does not.
const LOGIT_TOLERANCE: f32 = 1e-4;

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("{what}: largest difference {largest:e}");
    assert!(
        largest <= tolerance,
        "{what}: expected at most {tolerance:e}, got {largest:e}"
    );
}

fn logits_equal_hugging_face(golden: &Golden) {
    let (prefixes, tokens) = golden.first_batch();
    let logits = golden.decoder().logits(&prefixes, &tokens).unwrap();
    assert_close(
        &logits,
        &golden.f32("logits"),
        LOGIT_TOLERANCE,
        "logits against Hugging Face",
    );
}

fn greedy_ids_equal_the_notebook(golden: &Golden) {
    let (prefixes, _) = golden.first_batch();
    let max_tokens = golden.shape("greedy")[1];
    let options = GenerateOptions {
        max_tokens,
        ..GenerateOptions::default()
    };
    let captions = golden.decoder().generate(&prefixes, &options).unwrap();
    for (caption, expected) in captions
        .iter()
        .zip(golden.i32("greedy").chunks_exact(max_tokens))
    {
        let expected: Vec<u32> = expected
            .iter()
            .filter(|&&id| id >= 0)
            .map(|&id| id as u32)
            .collect();
        assert_eq!(caption.token_ids, expected);
    }
}

/// Reads tokens one at a time and compares each step with the whole sequence read at once.
fn cached_equals_uncached(golden: &Golden) {
    let (prefixes, tokens) = golden.first_batch();
    let decoder = golden.decoder();
    let rows = prefixes.len() / golden.config.prefix_width;
    let new = tokens.len() / rows;
    let vocabulary_size = golden.config.vocabulary_size;
    let whole = decoder.logits(&prefixes, &tokens).unwrap();
    let mut session = Session::new(&decoder.network, rows, new + 1);
    let mut step_logits = session.start(&prefixes, &[]).to_vec();
    for step in 0..=new {
        for row in 0..rows {
            let expected = &whole[(row * (new + 1) + step) * vocabulary_size..][..vocabulary_size];
            let found = &step_logits[row * vocabulary_size..][..vocabulary_size];
            let largest = found
                .iter()
                .zip(expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                largest <= LOGIT_TOLERANCE,
                "row {row}, step {step}: {largest:e}"
            );
        }
        if step < new {
            let next: Vec<u32> = (0..rows).map(|row| tokens[row * new + step]).collect();
            step_logits = session.step(&next).to_vec();
        }
    }
}

#[test]
fn tiny_decoder_equals_hugging_face() {
    let golden = Golden::tiny();
    logits_equal_hugging_face(&golden);
    greedy_ids_equal_the_notebook(&golden);
    cached_equals_uncached(&golden);
}

#[test]
fn decoder_of_the_references_size_equals_hugging_face() {
    if let Some(golden) = Golden::full() {
        logits_equal_hugging_face(&golden);
        greedy_ids_equal_the_notebook(&golden);
        cached_equals_uncached(&golden);
    }
}

#[test]
fn sequences_can_be_left_out_repeated_and_swapped() {
    let golden = Golden::tiny();
    let (prefixes, tokens) = golden.first_batch();
    let decoder = golden.decoder();
    let vocabulary_size = golden.config.vocabulary_size;
    for parents in [
        vec![0, 2, 3],
        vec![1, 1],
        vec![3, 2, 1, 0],
        vec![0, 0, 1, 1, 2, 2, 3, 3],
        vec![2],
    ] {
        let mut session = Session::new(&decoder.network, 4, 8);
        session.start(&prefixes, &[]);
        session.reorder(&parents);
        let next: Vec<u32> = (0..parents.len()).map(|row| tokens[row]).collect();
        let found = session.step(&next);
        for (row, &parent) in parents.iter().enumerate() {
            let prefix =
                &prefixes[parent * golden.config.prefix_width..][..golden.config.prefix_width];
            let alone = decoder.logits(prefix, &next[row..row + 1]).unwrap();
            assert_close(
                &found[row * vocabulary_size..][..vocabulary_size],
                &alone[vocabulary_size..],
                1e-5,
                "row",
            );
        }
    }
}

#[test]
fn decoding_side_by_side_equals_decoding_alone() {
    let golden = Golden::tiny();
    let (prefixes, _) = golden.first_batch();
    let decoder = golden.decoder();
    let methods = [
        Method::Greedy,
        Method::Beam {
            width: 3,
            length_penalty: 1.0,
        },
    ];
    for method in methods {
        let options = GenerateOptions {
            method,
            max_tokens: 9,
            ..GenerateOptions::default()
        };
        let together = decoder.generate(&prefixes, &options).unwrap();
        let alone: Vec<Generated> = prefixes
            .chunks_exact(golden.config.prefix_width)
            .flat_map(|prefix| decoder.generate(prefix, &options).unwrap())
            .collect();
        for (a, b) in together.iter().zip(&alone) {
            assert_eq!(a.token_ids, b.token_ids);
            assert!((a.score - b.score).abs() < 1e-5);
        }
    }
}

/// Every sentence of at most `max_tokens` tokens: ended ones, and unended ones of full length.
fn best_by_exhaustion(
    decoder: &Decoder,
    prefix: &[f32],
    max_tokens: usize,
    length_penalty: f64,
) -> (Vec<u32>, f64) {
    let vocabulary_size = decoder.config().vocabulary_size;
    let mut best = (Vec::new(), f64::NEG_INFINITY);
    let mut unfinished = vec![(Vec::new(), 0.0_f64)];
    while let Some((tokens, sum)) = unfinished.pop() {
        let logits = decoder.logits(prefix, &tokens).unwrap();
        let logits = &logits[tokens.len() * vocabulary_size..];
        let norm = logits
            .iter()
            .map(|&logit| f64::from(logit).exp())
            .sum::<f64>()
            .ln();
        for token in 0..vocabulary_size as u32 {
            let mut longer = tokens.clone();
            longer.push(token);
            let sum = sum + f64::from(logits[token as usize]) - norm;
            if token == decoder.config().end_token || longer.len() == max_tokens {
                let value = sum / (longer.len() as f64).powf(length_penalty);
                if value > best.1 {
                    best = (longer, value);
                }
            } else {
                unfinished.push((longer, sum));
            }
        }
    }
    best
}

#[test]
fn a_wide_beam_finds_the_best_sentence_of_all() {
    let config = DecoderConfig {
        vocabulary_size: 5,
        prefix_width: 4,
        width: 8,
        num_layers: 1,
        num_heads: 2,
        num_positions: 6,
        start_token: None,
        end_token: 4,
        ..DecoderConfig::default()
    };
    let mut lengths = Vec::new();
    for seed in 0..6 {
        let mut weights = DecoderWeights::random(&config, seed).unwrap();
        // Larger weights than fresh ones, so that distributions are far from even.
        weights.values.iter_mut().for_each(|value| *value *= 12.0);
        let decoder = Decoder::new(&weights, Vocabulary::identity(5)).unwrap();
        let prefix = [0.5, -0.5, 0.5, 0.5];
        for length_penalty in [0.0, 1.0, 2.0, -0.5] {
            let method = Method::Beam {
                width: 1000,
                length_penalty,
            };
            let options = GenerateOptions {
                method,
                max_tokens: 4,
                ..GenerateOptions::default()
            };
            let found = decoder.generate(&prefix, &options).unwrap().remove(0);
            let (tokens, _) = best_by_exhaustion(&decoder, &prefix, 4, f64::from(length_penalty));
            assert_eq!(
                found.token_ids, tokens,
                "seed {seed}, length penalty {length_penalty}"
            );
            lengths.push(tokens.len());
        }
    }
    assert!(
        lengths.iter().any(|&length| length != lengths[0]),
        "cases of one length test little"
    );
}

#[test]
fn a_beam_of_one_is_greedy() {
    let golden = Golden::tiny();
    let (prefixes, _) = golden.first_batch();
    let options = GenerateOptions {
        max_tokens: 9,
        ..GenerateOptions::default()
    };
    let beam = GenerateOptions {
        method: Method::Beam {
            width: 1,
            length_penalty: 0.0,
        },
        ..options.clone()
    };
    let decoder = golden.decoder();
    let greedy = decoder.generate(&prefixes, &options).unwrap();
    let beams = decoder.generate(&prefixes, &beam).unwrap();
    for (greedy, beam) in greedy.iter().zip(&beams) {
        assert!(beam.token_ids == greedy.token_ids, "{beam:?} {greedy:?}");
        assert!((beam.score - greedy.score).abs() < 1e-5);
    }
}

#[test]
fn constraints_hold_for_every_method() {
    let golden = Golden::tiny();
    let (prefixes, _) = golden.first_batch();
    let decoder = golden.decoder();
    let free = decoder
        .generate(
            &prefixes,
            &GenerateOptions {
                max_tokens: 11,
                ..Default::default()
            },
        )
        .unwrap();
    let favourite = free[0].token_ids[0];
    let methods = [
        Method::Greedy,
        Method::Beam {
            width: 4,
            length_penalty: 1.0,
        },
        Method::Sample {
            temperature: 1.5,
            top_p: 0.95,
            seed: 3,
        },
    ];
    for method in methods {
        let options = GenerateOptions {
            method,
            min_tokens: 5,
            max_tokens: 11,
            no_repeat_ngram: 1,
            banned_words: vec![vec![favourite], vec![1_000_000], vec![favourite, 1_000_000]],
            ..GenerateOptions::default()
        };
        for caption in decoder.generate(&prefixes, &options).unwrap() {
            let mut words = caption.caption_ids();
            assert!(
                words.len() >= 5 && caption.token_ids.len() <= 11,
                "{method:?}: {caption:?}"
            );
            assert!(!words.contains(&favourite), "{method:?}: {caption:?}");
            words.sort_unstable();
            assert!(
                words.windows(2).all(|pair| pair[0] != pair[1]),
                "{method:?}: {caption:?}"
            );
            assert!(caption.score < 0.0 && caption.score.is_finite());
        }
    }
}

#[test]
fn samples_depend_on_the_seed_alone() {
    let golden = Golden::tiny();
    let (prefixes, _) = golden.first_batch();
    let decoder = golden.decoder();
    let draw = |seed| {
        let method = Method::Sample {
            temperature: 2.0,
            top_p: 1.0,
            seed,
        };
        let options = GenerateOptions {
            method,
            max_tokens: 11,
            ..GenerateOptions::default()
        };
        decoder.generate(&prefixes, &options).unwrap()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn senseless_requests_are_refused() {
    let golden = Golden::tiny();
    let decoder = golden.decoder();
    let prefix = vec![0.25; 16];
    let with = |change: &dyn Fn(&mut GenerateOptions)| {
        let mut options = GenerateOptions {
            max_tokens: 8,
            ..GenerateOptions::default()
        };
        change(&mut options);
        decoder.generate(&prefix, &options)
    };
    assert!(with(&|_| ()).is_ok());
    type Spoil<'a> = &'a dyn Fn(&mut GenerateOptions);
    let cases: [(&str, Spoil); 8] = [
        ("max_tokens", &|options| options.max_tokens = 13),
        ("max_tokens", &|options| options.max_tokens = 0),
        ("min_tokens", &|options| options.min_tokens = 9),
        ("repetition_penalty", &|options| {
            options.repetition_penalty = 0.0
        }),
        ("beam width", &|options| {
            options.method = Method::Beam {
                width: 0,
                length_penalty: 1.0,
            }
        }),
        ("length_penalty", &|options| {
            options.method = Method::Beam {
                width: 2,
                length_penalty: f32::NAN,
            }
        }),
        ("temperature", &|options| {
            options.method = Method::Sample {
                temperature: 0.0,
                top_p: 1.0,
                seed: 0,
            }
        }),
        ("top_p", &|options| {
            options.method = Method::Sample {
                temperature: 1.0,
                top_p: 1.1,
                seed: 0,
            }
        }),
    ];
    for (word, change) in cases {
        let message = with(change).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    let options = GenerateOptions {
        max_tokens: 8,
        ..GenerateOptions::default()
    };
    assert!(decoder.generate(&prefix[..15], &options).is_err());
    assert!(decoder.generate(&[f32::NAN; 16], &options).is_err());
    assert!(decoder.generate(&[], &options).unwrap().is_empty());
    assert!(decoder.logits(&prefix, &[61]).is_err());
    assert!(decoder.logits(&prefix, &[1; 12]).is_err());
}

#[test]
fn every_dtype_comes_back_within_its_precision() {
    let golden = Golden::tiny();
    let folder = tempfile::tempdir().unwrap();
    // Relative to a tensor's largest magnitude: exact, 11 bits, 8 bits, half a step of 127.
    let cases = [
        (WeightsDtype::F32, 0.0),
        (WeightsDtype::F16, 1.0 / 2048.0),
        (WeightsDtype::Bf16, 1.0 / 256.0),
        (WeightsDtype::Int8, 0.5 / 127.0 + 1e-6),
    ];
    for (dtype, tolerance) in cases {
        let vocabulary = Vocabulary::compact((0..61).map(|id| 2 * id)).unwrap();
        save(folder.path(), &golden.weights, &vocabulary, dtype).unwrap();
        let read = DecoderWeights::open(&folder.path().join(WEIGHTS_FILE), &golden.config).unwrap();
        for ((name, _, read), (_, _, original)) in read.tensors().zip(golden.weights.tensors()) {
            let largest = original
                .iter()
                .fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert_close(read, original, tolerance * largest, name);
        }
        let decoder = Decoder::open(&Folder::disk(folder.path())).unwrap();
        assert_eq!(decoder.vocabulary(), &vocabulary);
        assert_eq!(decoder.config(), &golden.config);
    }
}

/// A tensor name and what to do with that tensor: `None` leaves it out.
type Spoiling = (&'static str, fn(NewTensor) -> Option<NewTensor>);

fn write_spoilt(path: &Path, golden: &Golden, (name, spoil): Spoiling) {
    let stored = golden
        .weights
        .tensors()
        .filter_map(|(tensor, shape, values)| {
            let stored = NewTensor::f32(tensor.to_owned(), shape, values);
            if tensor == name {
                spoil(stored)
            } else {
                Some(stored)
            }
        });
    write_safetensors(path, &stored.collect::<Vec<_>>(), None).unwrap();
}

#[test]
fn lower_precisions_stay_close() {
    let golden = Golden::tiny();
    let (prefixes, tokens) = golden.first_batch();
    let exact = golden.decoder().logits(&prefixes, &tokens).unwrap();
    let size = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    // Relative error of all logits: 8 bits of operands, through two blocks.
    for (precision, tolerance) in [
        (Precision::Bf16, 0.03),
        (Precision::Int8, 0.06),
        (Precision::Auto, 0.03),
    ] {
        let vocabulary = Vocabulary::identity(golden.config.vocabulary_size);
        let decoder = Decoder::with_precision(&golden.weights, vocabulary, precision).unwrap();
        let logits = decoder.logits(&prefixes, &tokens).unwrap();
        let difference: Vec<f32> = logits.iter().zip(&exact).map(|(a, b)| a - b).collect();
        let error = size(&difference) / size(&exact);
        println!("{precision:?}: relative error of the logits {error:e}");
        assert!(error > 0.0 && error < tolerance, "{precision:?}: {error}");
    }
}

#[test]
fn broken_files_are_refused_by_tensor_name() {
    let golden = Golden::tiny();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decoder.safetensors");
    let wpe = "decoder.transformer.wpe.weight";
    let cases: [(Spoiling, &str); 5] = [
        ((wpe, |_| None), "missing"),
        (
            (wpe, |tensor| {
                Some(NewTensor {
                    shape: vec![24, 12],
                    ..tensor
                })
            }),
            "expected shape [12, 24]",
        ),
        (
            (wpe, |mut tensor| {
                tensor.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
                Some(tensor)
            }),
            "NaN",
        ),
        (
            (wpe, |tensor| {
                Some(NewTensor {
                    dtype: safetensors::Dtype::I32,
                    ..tensor
                })
            }),
            "expected f32",
        ),
        (
            (wpe, |tensor| {
                let bytes = tensor.bytes[..12 * 24].to_vec();
                Some(NewTensor {
                    dtype: safetensors::Dtype::I8,
                    bytes,
                    ..tensor
                })
            }),
            "weight_scale` is missing",
        ),
    ];
    for (spoiling, word) in cases {
        write_spoilt(&path, &golden, spoiling);
        let message = DecoderWeights::open(&path, &golden.config)
            .unwrap_err()
            .to_string();
        assert!(message.contains(wpe) && message.contains(word), "{message}");
        assert!(message.contains("decoder.safetensors"), "{message}");
    }
    write_spoilt(
        &path,
        &golden,
        (wpe, |tensor| {
            Some(NewTensor {
                name: "stranger".into(),
                ..tensor
            })
        }),
    );
    let message = DecoderWeights::open(&path, &golden.config)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("missing") || message.contains("stranger"),
        "{message}"
    );
}

#[test]
fn the_references_further_tensors_are_known() {
    let golden = Golden::tiny();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coco_prefix.safetensors");
    let write = |further: NewTensor| {
        let mut stored: Vec<NewTensor> = golden
            .weights
            .tensors()
            .map(|(name, shape, values)| NewTensor::f32(name.to_owned(), shape, values))
            .collect();
        stored.push(further);
        write_safetensors(&path, &stored, None).unwrap();
        DecoderWeights::open(&path, &golden.config)
    };
    let output = "decoder.lm_head.weight".to_owned();
    let tied = golden.f32("weights.decoder.transformer.wte.weight");
    assert!(write(NewTensor::f32(output.clone(), &[61, 24], &tied)).is_ok());
    let untied = write(NewTensor::f32(output, &[61, 24], &vec![0.5; tied.len()]));
    assert!(untied.unwrap_err().to_string().contains("lm_head"));
    let mask = "decoder.transformer.h.0.attn.bias".to_owned();
    assert!(write(NewTensor::f32(mask, &[1, 1, 2, 2], &[1.0, 0.0, 1.0, 1.0])).is_ok());
    let stranger = write(NewTensor::f32("decoder.extra".into(), &[1], &[1.0]));
    assert!(
        stranger
            .unwrap_err()
            .to_string()
            .contains("`decoder.extra`")
    );
}

#[test]
fn a_later_format_is_refused() {
    let golden = Golden::tiny();
    let folder = tempfile::tempdir().unwrap();
    save(
        folder.path(),
        &golden.weights,
        &Vocabulary::identity(61),
        WeightsDtype::F32,
    )
    .unwrap();
    let path = folder.path().join(CONFIG_FILE);
    let json = std::fs::read_to_string(&path).unwrap();
    let later = json.replace("\"format_version\":1", "\"format_version\":2");
    assert_ne!(json, later);
    std::fs::write(&path, later).unwrap();
    let message = Decoder::open(&Folder::disk(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("expected decap-decoder version 1, got 2"),
        "{message}"
    );
}
