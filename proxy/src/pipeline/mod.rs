//! The life of a request after the guard: read, planned, granted a permit, filled in, translated, sent.
//!
//! [`answer`] is the handler; `attempts` goes over the candidates of the plan; `stack` is
//! what each attempt passes. The steps stand in the files of their names.

pub(crate) mod answer;
mod answerer;
mod attempts;
mod committed_head;
mod context_length;
mod context_retry;
pub(crate) mod count_tokens;
pub(crate) mod defaults;
mod demand;
mod engine_answer;
mod engine_lease;
mod engine_request;
mod first_token;
mod growth;
pub(crate) mod measured_answer;
mod overflow;
pub(crate) mod passed_path;
pub(crate) mod plan;
mod planned_request;
pub(crate) mod prefix_trace;
pub(crate) mod prompt_watch;
mod residency;
mod routed_request;
mod send;
mod silence;
mod slot_look;
mod stack;
mod stream_record;
mod translate;
mod vanished;
