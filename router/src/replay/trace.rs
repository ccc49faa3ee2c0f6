//! A trace: which client asked for what, and when.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::Class;

use crate::catalog::ModelKind;

/// One request of a recorded trace: when it came, for which model, and how long it was.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceRequest {
    /// The time after the start of the trace.
    pub at: Duration,
    /// The name of its key. One that is not configured counts as a key without settings.
    pub client: Option<Arc<str>>,
    /// Interactive or background.
    pub class: Class,
    /// The name of its engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// The tokens of the prompt.
    pub prompt_tokens: u64,
    /// The tokens of the answer.
    pub output_tokens: u64,
    /// The time that it held its permit, where that was measured; else the machine's rates say.
    pub service_time: Option<Duration>,
    /// Whether its answer ends in tool calls, after which its client comes back.
    pub calls_tools: bool,
    /// The time after the end of its client's request before it at which the request comes; `None`
    /// where it comes at its logged time. The request before it is the one with the next earlier
    /// time.
    pub follows_after: Option<Duration>,
    /// The longest wait; never more than `timeouts.queue`.
    pub longest_wait: Option<Duration>,
}

/// The requests of a trace in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestTrace(Vec<TraceRequest>);

// === impl RequestTrace ===

impl RequestTrace {
    /// A trace of these requests, sorted by time; those of one moment stay in their order.
    pub fn new(mut requests: Vec<TraceRequest>) -> Self {
        requests.sort_by_key(|r| r.at);
        Self(requests)
    }

    /// The requests in order of arrival.
    pub fn requests(&self) -> &[TraceRequest] {
        &self.0
    }
}
