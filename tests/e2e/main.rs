//! End-to-end tests by behaviour, through the real binary over real sockets.

mod bad_input;
mod chat;
mod conformance;
mod dashboards;
mod guard;
mod http;
mod names;
