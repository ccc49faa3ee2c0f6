//! What the end-to-end tests share: the real binary as a child, raw sockets, event streams.

pub mod binary;
pub mod chat;
pub mod clean;
pub mod dashboards;
pub mod engines;
pub mod process;
pub mod raw;
pub mod sse;

pub use process::Crucible;
