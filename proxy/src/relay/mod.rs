//! From the engine's bytes to the client's: frames as they come, watched on the side.

mod event;
mod framer;
pub mod passthrough;
pub mod transcode;
