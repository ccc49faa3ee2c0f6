//! End-to-end tests by behaviour, through the real binary over real sockets.

mod admin;
mod bad_input;
mod chat;
mod commands;
mod dashboards;
mod guard;
mod http;
mod names;
mod reload;
