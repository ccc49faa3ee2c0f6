//! The program `crucible`.

use std::process::ExitCode;

use clap::Parser as _;
use crucible::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
