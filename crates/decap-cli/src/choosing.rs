//! What was typed about choosing a caption among several, as the library's options.

use decap::decoder::Method as Choice;
use decap::{CaptionOptions, Method, Rerank};

use crate::args::ChoosingArgs;
use crate::failure::Failure;
use crate::print;

/// Puts what was typed about choosing into `options`, for these `methods`; what was typed about writing is
/// there already.
///
/// # Errors
/// Where all candidates are ruled out.
pub fn apply_choosing(
    typed: &ChoosingArgs,
    methods: &[Method],
    options: &mut CaptionOptions,
) -> Result<(), Failure> {
    let samples = matches!(options.generate.method, Choice::Sample { .. });
    options.rerank = match typed.rerank {
        Some(how) => how.rerank(),
        // One sample would compete with fifty sentences.
        None if samples => Rerank::None,
        None => options.rerank,
    };
    options.query_expansion = typed.query_expansion.unwrap_or(options.query_expansion);
    options.top_k = typed.top_k.or(options.top_k);
    if typed.written_only && methods.contains(&Method::Consensus) {
        let message = "--written-only leaves nothing to --method consensus, which writes no words";
        return Err(Failure::Usage(message.into()));
    }
    let consensus = &mut options.consensus;
    if typed.written_only {
        consensus.retrieved = 0;
    }
    consensus.cosine = typed.rerank_cosine.unwrap_or(consensus.cosine);
    consensus.voters = typed.consensus_voters.or(consensus.voters);
    consensus.tau = typed.consensus_tau.unwrap_or(consensus.tau);
    consensus.repeat_penalty = typed.consensus_penalty.unwrap_or(consensus.repeat_penalty);
    let reranks = methods.contains(&Method::Projection);
    if !reranks && typed.rerank.is_some_and(|how| how.rerank() != Rerank::None) {
        print::warn("decap: --rerank changes nothing without --method projection");
    }
    let judges = reranks && options.rerank != Rerank::None || methods.contains(&Method::Consensus);
    if !judges && (typed.written_only || typed.rerank_cosine.is_some()) {
        print::warn(
            "decap: --written-only and --rerank-cosine change nothing without --rerank consensus",
        );
    }
    Ok(())
}
