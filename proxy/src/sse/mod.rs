//! Server-sent events as bytes: where an event ends, what it holds, and whether a body is a stream of
//! them at all.

pub(crate) mod event;
pub(crate) mod framer;
pub(crate) mod stream_detector;
