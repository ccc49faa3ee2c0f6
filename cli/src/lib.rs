//! The commands of Crucible that need no server.
//!
//! Each module is one command: a function from parsed arguments to an exit code. The commands read
//! the configuration and ask the instance that runs at its address; where none runs they look at
//! the engines themselves. The server stays with the program: [`try_out`] receives it as a
//! [`ServerLauncher`].
//!
//! The exit code is 0 where all is well, 1 where something is wrong with what was examined, and 2
//! for wrong usage or configuration.

mod arguments;
pub mod bench;
pub mod check;
pub mod config_show;
pub mod connect;
pub mod doctor;
pub mod embedded;
mod engine_look;
pub mod env;
mod failure;
pub mod inspect;
pub mod instance;
mod logged_events;
pub mod models;
pub mod output;
mod pools;
pub mod replay;
mod runtime;
pub mod signals;
pub mod sources;
#[cfg(unix)]
mod terminal;
pub mod top;
pub mod try_out;
pub mod tunings;
pub mod usage;

pub use self::{
    arguments::{CommonArgs, OutputArgs},
    engine_look::look,
    failure::CommandFailure,
    runtime::runtime,
    try_out::{ServerLauncher, StartedServer},
};
