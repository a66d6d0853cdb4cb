//! The `decap` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(decap_cli::run(std::env::args_os()))
}
