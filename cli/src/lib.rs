//! The commands of Crucible that need no server.
//!
//! Each module is one command: a function from parsed arguments to an exit code. They read the
//! configuration, ask the instance that runs at its address, and else look at the engines themselves.
//! What serves clients stays with the program: [`try_out`] is given it as a [`ServerLauncher`].
//!
//! Exit codes: 0 where all is well, 1 where something is wrong with what was examined, 2 for wrong
//! usage or configuration.

mod arguments;
pub mod bench;
pub mod check;
pub mod config_show;
pub mod doctor;
pub mod embedded;
mod engine_look;
pub mod env;
mod failure;
pub mod instance;
pub mod models;
pub mod output;
mod pools;
pub mod replay;
mod runtime;
pub mod signals;
pub mod sources;
#[cfg(unix)]
mod terminal;
pub mod try_out;
pub mod tunings;

pub use self::{
    arguments::{CommonArgs, OutputArgs},
    engine_look::look,
    failure::CommandFailure,
    runtime::runtime,
    try_out::{ServerLauncher, StartedServer},
};
