//! End-to-end tests by behaviour, through the real binary over real sockets.

#![expect(
    clippy::expect_used,
    reason = "a test's own steps fail the test where they cannot be taken"
)]

mod admin;
mod bad_input;
mod cancel;
mod chat;
mod commands;
mod conformance;
mod dashboards;
mod faults;
mod guard;
mod http;
mod names;
mod prometheus;
mod queue;
mod reload;
mod shutdown;
mod streaming;
