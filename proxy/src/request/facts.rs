//! The facts about one request that gather along its way.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::Class;
use crucible_router::{client::ClientId, plan::Reason};
use http::StatusCode;
use tokio::time::Instant;

use super::prompt_reading::PromptReading;
use crate::{
    error::{AbortCause, ErrorKind},
    metrics::DroppedParam,
    prefix::tracer::TracedTurn,
    usage::{SlotReadings, Usage},
};

/// The phase that a request is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequestPhase {
    /// The body of the request is being read, or its plan is made.
    #[default]
    Reading,
    /// The request waits for a permit, perhaps while its model is loaded.
    Queue,
    /// The request was sent, and no token has come back.
    Prefill,
    /// The answer streams.
    Stream,
}

/// Everything that is known about a request at its end. A field is `None`, zero or empty until its step
/// of the request has come.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a request, not states"
)]
pub(crate) struct RequestFacts {
    /// The engine that was tried last.
    pub(crate) engine: Option<Arc<str>>,
    /// The model that was tried last, by its engine's name.
    pub(crate) model: Option<Arc<str>>,
    /// The reason for that candidate.
    pub(crate) reason: Option<Reason>,
    /// The client asked for a stream.
    pub(crate) stream: bool,
    /// The name of the client's key.
    pub(crate) key: Option<Arc<str>>,
    /// The program that sent the request, by the product of its User-Agent.
    pub(crate) program: Option<Arc<str>>,
    /// The numbers of the instances that the request came through.
    pub(crate) hops: Arc<[Arc<str>]>,
    /// The client, with or without a key.
    pub(crate) client: ClientId,
    /// The most tokens that the answer may have.
    pub(crate) max_tokens: Option<u64>,
    /// The scheduling class.
    pub(crate) class: Class,
    /// The estimated tokens of the prompt.
    pub(crate) prompt_tokens: u64,
    /// The tokens of context that are kept for the answer.
    pub(crate) reserve: u64,
    /// The present phase.
    pub(crate) phase: RequestPhase,
    /// The status of the answer.
    pub(crate) status: Option<StatusCode>,
    /// The kind of error that ended it, before or after the first byte.
    pub(crate) error: Option<ErrorKind>,
    /// The time in which bytes of the body were waited for.
    pub(crate) body_wait: Duration,
    /// The time in which the lists of engines were waited for, before there was a plan.
    pub(crate) lists_wait: Duration,
    /// The beginning of the first attempt, where one failed before the present one.
    pub(crate) first_tried_at: Option<Instant>,
    /// The beginning of the wait for a permit, of the present attempt.
    pub(crate) queued_at: Option<Instant>,
    /// The grant of the permit.
    pub(crate) granted_at: Option<Instant>,
    /// A load was part of the wait.
    pub(crate) loaded: bool,
    /// The begin and the end of that load.
    pub(crate) load: Option<(Instant, Instant)>,
    /// The name by which the client asked for the model; it is kept only for spans.
    pub(crate) asked_model: Option<Box<str>>,
    /// The path that is not served, in printable form.
    pub(crate) unknown_path: Option<Box<str>>,
    /// The tokens of context that the granted resident has for one request.
    pub(crate) context: Option<u64>,
    /// The tokens of context that are configured for the model.
    pub(crate) configured_context: Option<u64>,
    /// The instance that the request was sent to.
    pub(crate) target: Option<TargetInstance>,
    /// The moment of sending.
    pub(crate) sent_at: Option<Instant>,
    /// The time in which the engine was predicted to read the prompt, when it was sent.
    pub(crate) expected_prefill: Option<Duration>,
    /// The last report on the reading of the prompt, where one came.
    pub(crate) reading: Option<PromptReading>,
    /// The moment of the first token.
    pub(crate) first_token_at: Option<Instant>,
    /// The answer ended in tool calls.
    pub(crate) called_tools: bool,
    /// The moment at which the engine's answer was whole.
    pub(crate) answered_at: Option<Instant>,
    /// The moment at which the headers went out before the answer; the candidate is final from then on.
    pub(crate) committed_at: Option<Instant>,
    /// The sentences for the client on what was changed in its request, and why another candidate answers than usual.
    pub(crate) notes: Vec<String>,
    /// The time to first token that the plan predicted.
    pub(crate) predicted: Option<Duration>,
    /// The facts about the prompt.
    pub(crate) prompt: PromptFacts,
    /// The time from the first to the last content event.
    pub(crate) output_time: Option<Duration>,
    /// The engine's counts.
    pub(crate) usage: Option<Usage>,
    /// Whether the answer is a document that was not generated: vectors, or a ranking.
    pub(crate) is_document: bool,
    /// The comparison of the prompt with the turn before.
    pub(crate) traced: Option<TracedTurn>,
    /// The readings of the engine's slots, where its answer does not say what it had cached.
    pub(crate) slots: Option<Arc<SlotReadings>>,
    /// The names of the values that were filled in.
    pub(crate) defaults: Vec<&'static str>,
    /// The names of the parameters that were left out.
    pub(crate) dropped: Vec<DroppedParam>,
    /// The cause for which a stream did not reach its proper end.
    pub(crate) abort: Option<AbortCause>,
    /// The bytes of the stream that went to the client.
    pub(crate) stream_bytes: u64,
    /// The writes in which they went.
    pub(crate) stream_flushes: u64,
    /// The whole answer was handed to the connection.
    pub(crate) ended: bool,
}

/// The instance of a model that a request was sent to.
#[derive(Clone, Debug)]
pub(crate) struct TargetInstance {
    /// The name of the instance in its engine.
    pub(crate) instance: Arc<str>,
    /// The tokens of context of the whole instance, as they were known when the request was sent.
    pub(crate) whole_context: Option<u64>,
}

/// The facts about a prompt that are known without its tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PromptFacts {
    /// The estimated tokens at 4 bytes each; `None` where the prompt is not only text.
    pub(crate) estimate: Option<u64>,
    /// A part of the prompt may be in the engine's cache.
    pub(crate) later_turn: bool,
}

// === impl RequestPhase ===

impl RequestPhase {
    /// The word for it in `/crucible/state`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Queue => "queue",
            Self::Prefill => "prefill",
            Self::Stream => "stream",
        }
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    /// Begins an attempt. Of one before it only the time is kept, which counts as failed, with what is known of the
    /// request whatever engine answers it: no engine's counts are taken for another's.
    pub(super) fn begin_attempt(&mut self, now: Instant) {
        let Some(before) = self.queued_at.replace(now) else {
            return;
        };
        let first_tried_at = Some(self.first_tried_at.unwrap_or(before));
        *self = Self {
            first_tried_at,
            queued_at: Some(now),
            engine: self.engine.take(),
            model: self.model.take(),
            reason: self.reason,
            stream: self.stream,
            key: self.key.take(),
            program: self.program.take(),
            hops: std::mem::take(&mut self.hops),
            client: std::mem::take(&mut self.client),
            status: self.status,
            body_wait: self.body_wait,
            lists_wait: self.lists_wait,
            unknown_path: self.unknown_path.take(),
            committed_at: self.committed_at,
            notes: std::mem::take(&mut self.notes),
            prompt: self.prompt,
            traced: self.traced.take(),
            ..Self::default()
        };
    }

    /// The time that went to attempts which failed before the present one.
    pub(super) fn failed_time(&self) -> Duration {
        let attempts = self.queued_at.zip(self.first_tried_at);
        attempts.map_or(Duration::ZERO, |(present, first)| present - first)
    }

    /// The tokens of the prompt and of the answer: as the engine counted them, else the estimate of the
    /// prompt and `events`, the number of events with content. An engine that says 0 of an answer has not counted it.
    pub(super) fn tokens(&self, events: u64) -> (u64, u64) {
        let counted = self.usage.map(|usage| usage.completion);
        (
            self.usage.map_or(self.prompt_tokens, |usage| usage.prompt),
            counted.filter(|&tokens| tokens > 0).unwrap_or(events),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_attempt_keeps_of_the_one_before_only_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let known = RequestFacts {
            engine: Some("gpu".into()),
            model: Some("m".into()),
            stream: true,
            key: Some("laptop".into()),
            program: Some("editor".into()),
            hops: ["other".into()].into(),
            body_wait: Duration::from_secs(1),
            lists_wait: Duration::from_secs(2),
            queued_at: Some(at(3)),
            committed_at: Some(at(4)),
            notes: vec!["what was read".into()],
            prompt: PromptFacts {
                estimate: Some(9),
                later_turn: true,
            },
            ..RequestFacts::default()
        };
        let mut tried = RequestFacts {
            error: Some(ErrorKind::EngineCut),
            granted_at: Some(at(4)),
            loaded: true,
            context: Some(4096),
            sent_at: Some(at(4)),
            expected_prefill: Some(Duration::from_secs(1)),
            first_token_at: Some(at(5)),
            called_tools: true,
            answered_at: Some(at(6)),
            output_time: Some(Duration::from_secs(1)),
            usage: Some(Usage::default()),
            defaults: vec!["temperature"],
            abort: Some(AbortCause::UpstreamCut),
            stream_bytes: 5,
            stream_flushes: 1,
            ..known.clone()
        };
        tried.begin_attempt(at(8));
        let expected = RequestFacts {
            first_tried_at: Some(at(3)),
            queued_at: Some(at(8)),
            ..known.clone()
        };
        assert_eq!(format!("{tried:?}"), format!("{expected:?}"));
        tried.begin_attempt(at(9));
        assert_eq!(tried.first_tried_at, Some(at(3)));
    }
}
