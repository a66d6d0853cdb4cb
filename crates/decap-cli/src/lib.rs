//! The `decap` command as a library: parse, run, exit code; and what the Python package shares with it.

mod align;
mod args;
mod bench;
mod bundled;
mod cache;
mod caption;
mod caption_shard;
mod captions;
mod choosing;
mod csv;
mod embed;
mod encoder;
mod eval;
mod failure;
mod first_captions;
mod import;
mod inputs;
mod made;
mod make;
mod memory;
mod model;
mod output;
mod print;
mod progress;
mod score;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod stop;
mod threads;
mod train;
mod tune;
mod write;
mod writer;

use std::ffi::OsString;

use decap::Machine;
use decap_sources::name;

use args::{Cli, Command};

pub use bundled::BUNDLED;
pub use captions::{open_meteor, read_captions, read_predictions, read_references};
pub use encoder::{open_captioner, open_encoder, open_memory};
pub use failure::Failure;
use failure::Outcome;
pub use train::train_captions;

/// Runs the command that was typed, the program's name first, and returns the exit code.
///
/// It starts the threads of the process and listens for Ctrl-C, so it is called once.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> u8 {
    let done = parse(typed).and_then(|cli| cli.map_or(Ok(Outcome::AllWell), carry_out));
    let code = match done {
        Ok(Outcome::AllWell) => 0,
        Ok(Outcome::SomeFailed) => 1,
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone) {
                print::warn(format!("decap: {failure}"));
            }
            failure.exit_code()
        }
    };
    // A caller that is no Rust program flushes nothing at its end.
    match print::lines(|_| Ok(())) {
        Err(failure) if code == 0 => failure.exit_code(),
        _ => code,
    }
}

/// What was typed; nothing where help or the version was asked for, which is told then.
fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    let error = match Cli::typed(typed) {
        Ok(cli) => return Ok(Some(cli)),
        Err(error) => error,
    };
    if error.use_stderr() {
        error.exit();
    }
    error.print()?;
    print::lines(|_| Ok(()))?;
    Ok(None)
}

fn carry_out(cli: Cli) -> Result<Outcome, Failure> {
    if cli.quiet {
        print::be_quiet();
    }
    Machine::check()?;
    print::check_stdout()?;
    threads::start()?;
    stop::listen();
    match cli.command {
        Command::Caption(args) => caption::run(&args.with_failed()),
        Command::CaptionShard(args) => caption_shard::run(&args),
        Command::Write(args) => write::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Make(args) => make::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Align(args) => align::run(&args),
        Command::Memory(command) => memory::run(&command),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => import::export(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Model(command) => model::run(&command),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
    }
}
