//! What the end-to-end tests share: the real binary as a child, raw sockets, event streams.

#![expect(
    clippy::expect_used,
    clippy::float_cmp,
    clippy::panic,
    clippy::print_stderr,
    reason = "what a test's support cannot do, the test says by failing"
)]

pub mod beside;
pub mod binary;
pub mod chat;
pub mod chromium;
pub mod clean;
pub mod engines;
pub mod keeping;
pub mod ollama_process;
pub mod packed;
pub mod person;
pub mod process;
pub mod raw;
pub mod relay;
pub mod rest;
pub mod scripted;
pub mod sim_process;
pub mod sse;
pub mod target;
pub mod tls;
pub mod tmux;
pub mod unread;

pub use process::Crucible;
