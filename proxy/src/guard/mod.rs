//! Who may ask: Host, Origin, key, rate. Judged before a body byte is read.
//!
//! A browser on the machine can reach a loopback port too, so a foreign Host (DNS rebinding) or
//! Origin (a web page) is refused even where no key is configured.

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
