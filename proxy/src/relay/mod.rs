//! From the engine's bytes to the client's: frames as they come, watched on the side.

pub mod transcode;
