//! The commands `crucible connect` and `crucible launch`, which point client programs at Crucible.
//!
//! What is known of a client is one entry of the table in `clients/`: its files and variables, its format,
//! what its first prompt needs. Files of users are changed in place: comments and all else stay, the text
//! before is kept, and one request in the client's format proves that it is answered.

mod applied;
mod apply;
mod assignment;
mod client_program;
mod client_settings;
mod clients;
mod command;
mod file_change;
mod json_change;
mod launch;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod properties;
mod restoration;
mod show;
mod target;
mod toml_change;
mod user_file;
mod user_folders;
mod verify;
mod yaml_change;

pub use self::{
    command::{ConnectArgs, run as connect},
    launch::{LaunchArgs, run as launch},
};
