//! The program `crucible`.

use std::process::ExitCode;

use clap::Parser as _;
use crucible::commands::CommandLine;
use mimalloc::MiMalloc;

/// A request is about 75 allocations; with glibc's malloc they are a tenth of its cost. Without huge
/// pages, which would double the memory of a program that is mostly idle.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
