//! The `decap` command: parse, run, exit code.

mod align;
mod args;
mod bench;
mod bundled;
mod cache;
mod caption;
mod captions;
mod choosing;
mod embed;
mod encoder;
mod eval;
mod failure;
mod import;
mod inputs;
mod memory;
mod model;
mod name;
mod output;
mod print;
mod progress;
mod score;
mod search;
mod stop;
mod train;

use std::process::ExitCode;

use clap::Parser;
use decap::Machine;

use args::{Cli, Command};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
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

fn run(cli: Cli) -> Result<Outcome, Failure> {
    if cli.quiet {
        print::be_quiet();
    }
    Machine::check()?;
    print::check_stdout()?;
    match cli.command {
        Command::Caption(args) => caption::run(&args),
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
