//! Closing a request: the one place where its metrics, its event and its log line are written,
//! once.

use std::time::Duration;

use crucible_documents::{inspector::InspectedEndDoc, seconds};
use crucible_router::{measurements::AnswerSample, plan::Reason, view::View};
use jiff::Timestamp;

use crate::{
    endpoint::Endpoint,
    error::{AbortCause, ErrorKind},
    inspector::KeptEnd,
    ledger::{Ledger, ended_request::EndedRequest, reuse, sample},
    metrics::{DisconnectPhase, Metrics, RequestRecord},
    prefix::advice::advice,
    request::{ClosedRequest, Moment, RequestPhase},
};

// === impl EndedRequest ===

impl EndedRequest {
    /// Writes metrics, event and log line, and gives the sample that the predictor learns from;
    /// `None` where the request teaches nothing.
    pub(crate) fn close(&self, ledger: &Ledger, now: Moment) -> Option<AnswerSample> {
        let mut facts = self.request.close();
        let view = ledger.router.view();
        facts.usage = reuse::completed(&facts, &view);
        let closed = ClosedRequest::of(&self.request, facts, (self.at, now), self.in_load);
        ledger.recent.add(&closed.facts);
        trace(ledger, &closed);
        self.count(&ledger.metrics, &closed, &view);
        charge(ledger, &closed, now);
        ledger.sinks.events.request(&closed);
        ledger.sinks.timeline.answered(&closed);
        if let Some(inspected) = self.request.inspected.get() {
            inspected.ended(inspected_end(&closed));
        }
        if self.request.endpoint != Endpoint::Admin {
            log(&closed);
            ledger.sinks.spans.put(&closed);
        }
        sample::of(&closed.facts)
    }

    fn count(&self, metrics: &Metrics, closed: &ClosedRequest<'_>, view: &View) {
        let facts = &closed.facts;
        let engine = facts.engine.as_deref();
        if engine.is_some() {
            metrics.admit_models_of_view(facts.model.as_deref().unwrap_or_default(), view);
        }
        if self.request.endpoint == Endpoint::Admin {
            // A page that is closed is no client that gave up an answer.
            if closed.abort == Some(AbortCause::ClientSlow) {
                metrics.page_dropped();
            }
        } else {
            metrics.request(&counted(closed));
            self.count_departure(metrics, closed);
        }
        if let Some(kind) = closed.ending.error()
            && facts.status.is_some_and(|s| s.as_u16() >= 400)
            && kind.is_rejection()
        {
            metrics.rejected(engine, kind, closed.status);
        }
        let Some(engine) = engine else { return };
        if let Some(cause) = closed.abort {
            metrics.stream_aborted(engine, cause);
        }
        for param in &facts.dropped {
            metrics.param_dropped(engine, *param);
        }
    }

    /// Counts a client that left before the end of its answer, by how far that was.
    fn count_departure(&self, metrics: &Metrics, closed: &ClosedRequest<'_>) {
        if closed.ending.is_left() {
            metrics.client_disconnected(match closed.facts.phase {
                RequestPhase::Queue if self.in_load => DisconnectPhase::Load,
                RequestPhase::Reading | RequestPhase::Queue => DisconnectPhase::Queue,
                RequestPhase::Prefill => DisconnectPhase::Headers,
                RequestPhase::Stream => DisconnectPhase::Stream,
            });
        }
    }
}

/// The facts that the metrics count of a client's request.
fn counted<'a>(closed: &'a ClosedRequest<'_>) -> RequestRecord<'a> {
    let facts = &closed.facts;
    RequestRecord {
        endpoint: closed.request.endpoint,
        engine: facts.engine.as_deref(),
        model: facts.model.as_deref().unwrap_or_default(),
        stream: facts.stream,
        code: closed.status,
        duration: closed.took,
        phases: closed.phases,
        prefill: closed.prefill,
        first_token: closed.first_token,
        predicted: facts.predicted,
        output_time: facts.output_time,
        content_events: u64::from(closed.request.tokens()),
        usage: facts.usage,
        stream_bytes: facts.stream_bytes,
        stream_flushes: facts.stream_flushes,
        reason: facts.reason,
        defaults: &facts.defaults,
    }
}

/// The facts that the inspector shows of the end.
fn inspected_end(closed: &ClosedRequest<'_>) -> KeptEnd {
    let facts = &closed.facts;
    let traced = facts.traced.as_ref();
    let cached = closed.cached();
    KeptEnd {
        facts: InspectedEndDoc {
            took_s: seconds(closed.took),
            status: closed.status.as_u16(),
            outcome: closed.outcome().into(),
            engine: facts.engine.clone(),
            model: facts.model.clone(),
            prompt_tokens: facts.usage.map(|usage| usage.prompt),
            cached_tokens: cached.map(|(tokens, _)| tokens),
            cached_is_estimated: cached.is_some_and(|(_, is_estimated)| is_estimated),
            output_tokens: closed.output_tokens,
            loaded: facts.loaded,
            turn: traced.map(|traced| traced.turn),
        },
        conversation: traced.map(|traced| traced.conversation),
        diverged: traced.and_then(|traced| Some(traced.divergence?.words())),
        fix: traced.and_then(|traced| Some(advice(&facts.client.to_string(), traced.divergence?))),
        notes: facts.notes.clone(),
    }
}

/// Tells the tracer how much of a prompt was cached that did not go on from the one before.
fn trace(ledger: &Ledger, closed: &ClosedRequest<'_>) {
    let facts = &closed.facts;
    let Some(turn) = facts.traced.filter(|turn| turn.divergence.is_some()) else {
        return;
    };
    let (Some(engine), Some(model)) = (facts.engine.clone(), facts.model.clone()) else {
        return;
    };
    let reuse = facts
        .usage
        .and_then(|usage| Some((usage.prompt, usage.cached?)));
    let who = [facts.client.to_string().into(), engine, model];
    let mut prefixes = ledger.prefixes.lock();
    prefixes.note_divergence(turn, who, reuse, closed.ended.monotonic.into_std());
}

/// Charges the request's tokens to the day of its key.
fn charge(ledger: &Ledger, closed: &ClosedRequest<'_>, now: Moment) {
    let (Some(key), Some(_)) = (&closed.facts.key, closed.facts.granted_at) else {
        return;
    };
    let at = [closed.ended, now].map(|at| Timestamp::try_from(at.wall));
    if let [Ok(at), Ok(now)] = at {
        let tokens = ledger.router.daily_tokens();
        tokens.charge(key, closed.prompt_tokens + closed.output_tokens, at, now);
    }
}

/// Writes the line of the request.
fn log(closed: &ClosedRequest<'_>) {
    let (request, facts, phases) = (closed.request, &closed.facts, &closed.phases);
    let (cached, cached_estimate) = match closed.cached() {
        Some((tokens, true)) => (None, Some(tokens)),
        Some((tokens, false)) => (Some(tokens), None),
        None => (None, None),
    };
    // A request that was refused before the queue had no phases and no tokens.
    let queued = facts.queued_at.is_some();
    let seconds = |phase: Duration| queued.then_some(phase.as_secs_f64());
    let waited = queued || !phases.queue.is_zero();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                parent: &request.span,
                id = &*request.id,
                client = facts.client.as_str(),
                key = facts.key.as_deref(),
                endpoint = request.endpoint.as_str(),
                path = facts.unknown_path.as_deref(),
                status = closed.status.as_u16(),
                outcome = closed.outcome(),
                engine = facts.engine.as_deref(),
                model = facts.model.as_deref(),
                reason = facts.reason.map(Reason::as_str),
                error = closed.ending.error().map(ErrorKind::code),
                aborted = closed.abort.map(AbortCause::as_str),
                receive_s = (!phases.receive.is_zero()).then_some(phases.receive.as_secs_f64()),
                failed_s = (!phases.failed.is_zero()).then_some(phases.failed.as_secs_f64()),
                queue_s = waited.then_some(phases.queue.as_secs_f64()),
                load_s = seconds(phases.load),
                prefill_s = seconds(phases.prefill),
                generate_s = seconds(phases.generate),
                first_token_s = closed.first_token.map(|s| s.as_secs_f64()),
                predicted_s = facts.predicted.map(|s| s.as_secs_f64()),
                total_s = closed.took.as_secs_f64(),
                prompt = facts.usage.map(|usage| usage.prompt),
                cached,
                cached_estimate,
                tokens = queued.then_some(closed.output_tokens),
                "request"
            )
        };
    }
    match closed.ending.level() {
        tracing::Level::ERROR => line!(error),
        tracing::Level::WARN => line!(warn),
        _ => line!(info),
    }
}
