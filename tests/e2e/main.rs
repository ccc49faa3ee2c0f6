//! End-to-end tests by behaviour, through the real binary over real sockets.

mod cancel;
mod chat;
mod dashboards;
mod faults;
mod queue;
mod shutdown;
mod streaming;
