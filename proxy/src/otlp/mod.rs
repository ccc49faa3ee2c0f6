//! Spans of requests for a collector of OpenTelemetry, by OTLP over HTTP; off without `[otlp] endpoint`.
//!
//! A span is made when its request has ended, from the moments that its record holds, so that nothing on a
//! request's way knows of it: the ledger hands [`SpanQueue`] what it has just counted. One task exports
//! batches. A collector that is slow, broken or gone costs spans, which are counted in
//! `crucible_log_dropped_total{sink="otlp"}`, and holds up nobody.
//!
//! ```text
//! chat smollm2                         the request, from its first byte to its last
//! ├── queue                            the wait for a permit
//! ├── load                             the part of it in which the model was loaded
//! ├── prefill                          sent to the engine, until the first token
//! └── generate                         from the first token to the end
//! ```

mod client;
mod export;
mod queue;
mod spans;

pub(crate) use self::{export::SpanExport, queue::SpanQueue};
