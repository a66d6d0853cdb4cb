//! The `decap` command: parse, run, exit code.

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
mod memory;
mod model;
mod output;
mod print;
mod progress;
mod score;
mod search;
mod stop;
mod threads;
mod train;

use std::process::ExitCode;

use decap::Machine;
use decap_sources::name;

use args::{Cli, Command};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    match parse().and_then(|cli| cli.map_or(Ok(Outcome::AllWell), run)) {
        Ok(Outcome::AllWell) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone) {
                print::warn(format!("decap: {failure}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What was typed; nothing where help or the version was asked for, which is told then.
fn parse() -> Result<Option<Cli>, Failure> {
    let error = match Cli::typed() {
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

fn run(cli: Cli) -> Result<Outcome, Failure> {
    if cli.quiet {
        print::be_quiet();
    }
    Machine::check()?;
    print::check_stdout()?;
    threads::start()?;
    stop::listen();
    match cli.command {
        Command::Caption(args) => caption::run(&args),
        Command::CaptionShard(args) => caption_shard::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Align(args) => align::run(&args),
        Command::Memory(command) => memory::run(&command),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => import::export(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Model(command) => model::run(&command),
    }
}
