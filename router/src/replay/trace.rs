//! Who asked for what, and when.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::Class;

use crate::catalog::ModelKind;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// After the start of the trace.
    pub at: Duration,
    /// Name of its key; one that is not configured is like a key without settings.
    pub client: Option<Arc<str>>,
    /// Interactive or background.
    pub class: Class,
    /// Engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// How long it held its permit, where that was measured; else the machine's rates say.
    pub held: Option<Duration>,
    /// Its answer ends in tool calls, after which its client comes back.
    pub calls_tools: bool,
    /// It is asked this long after its client's request before it has ended, not at its time; what
    /// comes before it in the trace is still what has an earlier one.
    pub follows: Option<Duration>,
    /// Longest wait; never more than `timeouts.queue`.
    pub patience: Option<Duration>,
}

/// Requests in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace(Vec<Request>);

// === impl Trace ===

impl Trace {
    /// Sorts them; those of one moment stay in their order.
    pub fn new(mut requests: Vec<Request>) -> Self {
        requests.sort_by_key(|r| r.at);
        Self(requests)
    }

    /// In order of arrival.
    pub fn requests(&self) -> &[Request] {
        &self.0
    }
}
