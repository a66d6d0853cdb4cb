//! `decap caption-shard`: one archive or table to one file of captions.

use decap::output::refuse_input;
use decap::pipeline::ReadOptions;
use decap_sources::shard::{ShardJob, ShardOutcome};
use decap_sources::source::SourceOptions;

use crate::args::CaptionShardArgs;
use crate::cache::{cache_folder, embedding_cache, tell_cache};
use crate::caption::{apply_writing, least_confidence};
use crate::choosing::apply_choosing;
use crate::encoder::{memory_for, open_captioner};
use crate::failure::{Failure, Outcome, complaint};
use crate::name;
use crate::print;
use crate::stop::Stop;

/// Runs the command.
pub fn run(args: &CaptionShardArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    refuse_input(&args.output, [args.input.as_path()])?;
    let mut captioner = open_captioner(&args.model, args.precision.precision)?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory, &cache_folder(None)?, &stop)?;
        captioner.set_memory(memory)?;
    }
    let mut options = captioner.options();
    options.evidence = args.evidence;
    options.method = args.method.method();
    options.tau = args.tau.unwrap_or(options.tau);
    apply_writing(&captioner, &args.generate, &mut options)?;
    apply_choosing(&args.choosing, &[options.method], &mut options)?;
    let mut read = ReadOptions::default();
    read.batch = args.batch;
    read.limits = args.limits.limits();
    read.video = args.limits.video(args.frames);
    read.cache = embedding_cache(args.cache.as_deref(), captioner.encoder())?;
    let mut source = SourceOptions::default();
    source.file_bytes = args.limits.max_file_bytes;
    source.column = args.column.clone();
    source.reach = args.fetch.reach();
    let captioner = captioner.ready_for_many();
    let job = ShardJob {
        captioner: &captioner,
        options: &options,
        read: &read,
        source: &source,
        least_confidence: least_confidence(args.min_confidence, &captioner)?,
    };
    let outcome = job.run(&args.input, &args.output, stop.flag(), &mut |error| {
        print::warn(complaint(error));
    });
    let outcome = outcome.map_err(|error| {
        Failure::of_resumable(
            error,
            "the same command begins this shard anew",
            "give the model and options that it was made with, or another OUT",
        )
    })?;
    tell_cache(read.cache.as_ref());
    let output = name::of(&args.output);
    Ok(match outcome {
        ShardOutcome::ThereAlready => {
            print::tell(format!("{output} is there already: nothing to do"));
            Outcome::AllWell
        }
        ShardOutcome::Written { captioned, failed } => {
            print::tell(format!(
                "wrote {output}: {captioned} captioned, {failed} failed"
            ));
            match failed {
                0 => Outcome::AllWell,
                _ => Outcome::SomeFailed,
            }
        }
    })
}
