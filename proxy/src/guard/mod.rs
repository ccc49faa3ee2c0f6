//! The guard: the rules that decide whether a request may pass, before a byte of its body is read.
//!
//! A browser on the machine can reach a loopback port too, so a foreign Host (DNS rebinding) or
//! Origin (a web page) is refused even where no key is configured. Each rule has a file; `judge`
//! applies them in order, and `edge::guard` puts the judgement into the stack.

pub mod base_url;
mod client;
mod framing;
pub(crate) mod hops;
mod host;
mod judge;
mod keys;
mod origin;
pub mod paths;

pub use host::OwnName;
pub use judge::{AdmittedClient, Facts, judge};
pub use keys::{Minted, mint, presented, recognise};
pub use origin::origin_allowed;
