//! Generation makes its buffers once: tokens are free of allocations.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::alloc::System;

use decap::Precision;
use decap::decoder::{Decoder, DecoderConfig, DecoderWeights, GenerateOptions, Vocabulary};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_longer_caption_takes_no_more_allocations() {
    // Wide enough for kernels to use more than one thread.
    let config = DecoderConfig {
        vocabulary_size: 3000,
        prefix_width: 64,
        width: 128,
        num_layers: 2,
        num_heads: 2,
        num_positions: 64,
        start_token: None,
        end_token: 0,
        ..DecoderConfig::default()
    };
    let weights = DecoderWeights::random(&config, 1).unwrap();
    for precision in [
        Precision::F32,
        Precision::Bf16,
        Precision::Int8,
        Precision::Auto,
    ] {
        let vocabulary = Vocabulary::identity(config.vocabulary_size);
        let decoder = Decoder::with_precision(&weights, vocabulary, precision).unwrap();
        let prefixes: Vec<f32> = (0..4 * 64).map(|n| ((n * 37) as f32).sin()).collect();
        let allocations = |max_tokens: usize| {
            let mut options = GenerateOptions::default();
            options.max_tokens = max_tokens;
            let before = ALLOCATOR.stats();
            let captions = decoder.generate(&prefixes, &options).unwrap();
            let after = ALLOCATOR.stats();
            let tokens: usize = captions.iter().map(|caption| caption.token_ids.len()).sum();
            let count = |stats: &stats_alloc::Stats| stats.allocations + stats.reallocations;
            (count(&after) - count(&before), tokens)
        };
        // Threads make their scratch memory when they first need it.
        for _ in 0..20 {
            allocations(60);
        }
        let (few, short) = allocations(20);
        let (many, long) = allocations(60);
        assert!(long >= short + 100, "{short} and {long} tokens");
        // The pool's queues take a block for some dozen jobs: 40 steps of a dozen jobs are about ten. A step that
        // allocated would add 40.
        let tolerance = 16;
        assert!(
            many <= few + tolerance,
            "{precision}: {few} for {short} tokens, {many} for {long}"
        );
    }
}
