//! Finer words for a failure than the error's kind: how an engine failed, why a stream ended early,
//! and why the next candidate of a plan was tried.
//!
//! A client is told the [`ErrorKind`](super::ErrorKind); these are what metrics and the log say beside it.

use crate::label::labels;

labels! {
    /// The way in which an engine failed while it was answering a request.
    UpstreamError {
        Connect = "connect", FirstTokenTimeout = "first_token_timeout",
        IdleTimeout = "idle_timeout", ResponseTimeout = "response_timeout", Reset = "reset",
        Truncated = "truncated", Http5xx = "http_5xx", Http429 = "http_429", BadHttp = "bad_http",
        BadJson = "bad_json", BadSse = "bad_sse", Oversize = "oversize",
    }
}
labels! {
    /// The reason why a stream did not reach its proper end after its 200 had been sent.
    AbortCause {
        ClientGone = "client_gone", ClientSlow = "client_slow",
        FirstTokenTimeout = "first_token_timeout", IdleTimeout = "idle_timeout",
        LoadTimeout = "load_timeout", UpstreamCut = "upstream_cut",
        UpstreamBadData = "upstream_bad_data", Shutdown = "shutdown",
    }
}
labels! {
    /// The reason why a later candidate of the plan was tried.
    FallbackReason {
        Connect = "connect", Timeout = "timeout", Http5xx = "5xx", BreakerOpen = "breaker_open",
        QueueFull = "queue_full", Overload = "overload", LoadFailed = "load_failed",
        ContextLength = "context_length",
    }
}
