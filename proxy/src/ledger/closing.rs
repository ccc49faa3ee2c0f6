//! Closing a request: the one place where its metrics, its event and its log line are written,
//! once.

use std::time::Duration;

use crucible_documents::{inspector::InspectedEndDoc, seconds};
use crucible_router::{measurements::AnswerSample, plan::Reason, view::View};
use http::StatusCode;
use jiff::Timestamp;

use crate::{
    endpoint::Endpoint,
    error::{AbortCause, ErrorKind},
    inspector::KeptEnd,
    ledger::{
        Ledger,
        ended_request::{EndedRequest, Moment},
        phases::{self, prefill as reading_time},
        reuse, sample,
    },
    metrics::{DisconnectPhase, Metrics, PhaseTimes, RequestRecord},
    otlp::EndedSpan,
    prefix::advice::advice,
    request::{RequestFacts, RequestPhase},
};

/// The status that is logged and counted for a client that left before its answer ended; nginx coined
/// the number.
const CLIENT_CLOSED: u16 = 499;

// === impl EndedRequest ===

impl EndedRequest {
    /// Writes metrics, event and log line, and gives the sample that the predictor learns from;
    /// `None` where the request teaches nothing.
    pub(crate) fn close(&self, ledger: &Ledger, now: Moment) -> Option<AnswerSample> {
        let mut record = self.request.close();
        let view = ledger.router.view();
        record.usage = reuse::completed(&record, &view);
        ledger.recent.add(&record);
        self.trace(ledger, &record);
        let phases = phases::of(&record, self.request.started, self.at, self.in_load);
        self.count(ledger, &record, phases, &view);
        self.charge(ledger, &record, now);
        let status = status(&record).as_u16();
        let ended = (self.at, now.wall_at(self.at));
        let outcome = outcome(&record);
        let events = &ledger.sinks.events;
        events.request(&self.request, &record, status, ended);
        let timeline = &ledger.sinks.timeline;
        timeline.answered(&self.request, &record, status, ended);
        if let Some(inspected) = self.request.inspected.get() {
            inspected.ended(self.inspected_end(&record, status, outcome));
        }
        self.log(&record, &phases, outcome);
        self.export(ledger, &record, (status, outcome), now);
        sample::of(&record)
    }

    /// The facts that the inspector shows of the end.
    fn inspected_end(&self, record: &RequestFacts, status: u16, outcome: &'static str) -> KeptEnd {
        let traced = record.traced.as_ref();
        let usage = record.usage;
        let (_, output_tokens) = record.tokens(u64::from(self.request.tokens()));
        KeptEnd {
            facts: InspectedEndDoc {
                took_s: seconds(self.at - self.request.started),
                status,
                outcome: outcome.into(),
                engine: record.engine.clone(),
                model: record.model.clone(),
                prompt_tokens: usage.map(|usage| usage.prompt),
                cached_tokens: usage.and_then(|usage| usage.cached),
                cached_is_estimated: usage.is_some_and(|usage| usage.cached_is_estimated),
                output_tokens,
                loaded: record.loaded,
                turn: traced.map(|traced| traced.turn),
            },
            conversation: traced.map(|traced| traced.conversation),
            diverged: traced.and_then(|traced| Some(traced.divergence?.words())),
            fix: traced
                .and_then(|traced| Some(advice(&record.client.to_string(), traced.divergence?))),
            notes: record.notes.clone(),
        }
    }

    /// Tells the tracer how much of a prompt was cached that did not go on from the one before.
    fn trace(&self, ledger: &Ledger, record: &RequestFacts) {
        let Some(turn) = record.traced.filter(|turn| turn.divergence.is_some()) else {
            return;
        };
        let (Some(engine), Some(model)) = (record.engine.clone(), record.model.clone()) else {
            return;
        };
        let reuse = record
            .usage
            .and_then(|usage| Some((usage.prompt, usage.cached?)));
        let who = [record.client.to_string().into(), engine, model];
        let mut prefixes = ledger.prefixes.lock();
        prefixes.note_divergence(turn, who, reuse, self.at.into_std());
    }

    /// Charges the request's tokens to the day of its key.
    fn charge(&self, ledger: &Ledger, record: &RequestFacts, now: Moment) {
        let (Some(key), Some(_)) = (&record.key, record.granted_at) else {
            return;
        };
        let (prompt, answer) = record.tokens(u64::from(self.request.tokens()));
        let at = [self.at, now.monotonic].map(|at| Timestamp::try_from(now.wall_at(at)));
        if let [Ok(at), Ok(now)] = at {
            let tokens = ledger.router.daily_tokens();
            tokens.charge(key, prompt + answer, at, now);
        }
    }

    fn count(&self, ledger: &Ledger, record: &RequestFacts, phases: PhaseTimes, view: &View) {
        let metrics = &ledger.metrics;
        let code = status(record);
        let model = record.model.as_deref().unwrap_or_default();
        if record.engine.is_some() {
            metrics.admit_models_of_view(model, view);
        }
        if self.request.endpoint == Endpoint::Admin {
            // A page that is closed is no client that gave up an answer.
            if record.stream && record.abort == Some(AbortCause::ClientSlow) {
                metrics.page_dropped();
            }
        } else {
            self.count_request(metrics, record, phases);
            self.count_departure(metrics, record);
        }
        let engine = record.engine.as_deref();
        if let Some(kind) = record.error
            && record.status.is_some_and(|s| s.as_u16() >= 400)
            && kind.is_rejection()
        {
            metrics.rejected(engine, kind, code);
        }
        let Some(engine) = engine else { return };
        if let Some(cause) = cause_of_abort(record) {
            metrics.stream_aborted(engine, cause);
        }
        for param in &record.dropped {
            metrics.param_dropped(engine, *param);
        }
    }

    /// Counts a client that left before the end of its answer, by how far that was.
    fn count_departure(&self, metrics: &Metrics, record: &RequestFacts) {
        if client_left(record) && record.abort != Some(AbortCause::ClientSlow) {
            metrics.client_disconnected(match record.phase {
                RequestPhase::Queue if self.in_load => DisconnectPhase::Load,
                RequestPhase::Reading | RequestPhase::Queue => DisconnectPhase::Queue,
                RequestPhase::Prefill => DisconnectPhase::Headers,
                RequestPhase::Stream => DisconnectPhase::Stream,
            });
        }
    }

    /// Counts the request of a client.
    fn count_request(&self, metrics: &Metrics, record: &RequestFacts, phases: PhaseTimes) {
        let code = status(record);
        let duration = self.at - self.request.started;
        metrics.request(&RequestRecord {
            endpoint: self.request.endpoint,
            engine: record.engine.as_deref(),
            model: record.model.as_deref().unwrap_or_default(),
            stream: record.stream,
            code,
            duration,
            phases,
            prefill: reading_time(record),
            first_token: record.first_token_at.map(|at| at - self.request.started),
            predicted: record.predicted,
            output_time: record.output_time,
            content_events: u64::from(self.request.tokens()),
            usage: record.usage,
            stream_bytes: record.stream_bytes,
            stream_flushes: record.stream_flushes,
            reason: record.reason,
            defaults: &record.defaults,
        });
    }

    /// Writes the line of the request.
    fn log(&self, record: &RequestFacts, phases: &PhaseTimes, outcome: &'static str) {
        if self.request.endpoint == Endpoint::Admin {
            return;
        }
        let active = &self.request;
        let code = status(record).as_u16();
        let first = record.first_token_at.map(|at| at - active.started);
        // An engine's own count, else events as they came.
        let counted = record.usage.map(|usage| usage.completion);
        let tokens = counted.unwrap_or_else(|| u64::from(active.tokens()));
        let (cached, cached_estimate) = cached(record);
        // A request that was refused before the queue had no phases and no tokens.
        let queued = record.queued_at.is_some();
        let seconds = |phase: Duration| queued.then_some(phase.as_secs_f64());
        let waited = queued || !phases.queue.is_zero();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    parent: &active.span,
                    id = &*active.id,
                    client = record.client.as_str(),
                    key = record.key.as_deref(),
                    endpoint = active.endpoint.as_str(),
                    path = record.unknown_path.as_deref(),
                    status = code,
                    outcome,
                    engine = record.engine.as_deref(),
                    model = record.model.as_deref(),
                    reason = record.reason.map(Reason::as_str),
                    error = record.error.map(ErrorKind::code),
                    aborted = cause_of_abort(record).map(AbortCause::as_str),
                    receive_s = (!phases.receive.is_zero()).then_some(phases.receive.as_secs_f64()),
                    queue_s = waited.then_some(phases.queue.as_secs_f64()),
                    load_s = seconds(phases.load),
                    prefill_s = seconds(phases.prefill),
                    generate_s = seconds(phases.generate),
                    first_token_s = first.map(|s| s.as_secs_f64()),
                    predicted_s = record.predicted.map(|s| s.as_secs_f64()),
                    total_s = (self.at - active.started).as_secs_f64(),
                    prompt = record.usage.map(|usage| usage.prompt),
                    cached,
                    cached_estimate,
                    tokens = queued.then_some(tokens),
                    "request"
                )
            };
        }
        match record.error.map(ErrorKind::level) {
            Some(tracing::Level::ERROR) => line!(error),
            Some(tracing::Level::WARN) => line!(warn),
            _ => line!(info),
        }
    }

    /// Hands the spans of the request to their export, where there is one.
    fn export(
        &self,
        ledger: &Ledger,
        record: &RequestFacts,
        (status, outcome): (u16, &'static str),
        now: Moment,
    ) {
        if ledger.exports_spans() && self.request.endpoint != Endpoint::Admin {
            ledger.sinks.spans.put(&EndedSpan {
                request: &self.request,
                record,
                status,
                outcome,
                at: self.at,
                date: &|at| now.wall_at(at),
            });
        }
    }
}

/// The way in which a request ended, in one word: `ok`, the code of an error, the cause of an abort, or
/// `client_gone`.
fn outcome(record: &RequestFacts) -> &'static str {
    let error = record.error.map(ErrorKind::code);
    let aborted = || cause_of_abort(record).map(AbortCause::as_str);
    let gone = || client_left(record).then_some(AbortCause::ClientGone.as_str());
    error.or_else(aborted).or_else(gone).unwrap_or("ok")
}

/// The cached tokens of the prompt: those that were counted, or else those that were estimated.
fn cached(record: &RequestFacts) -> (Option<u64>, Option<u64>) {
    let usage = record.usage.unwrap_or_default();
    if usage.cached_is_estimated {
        (None, usage.cached)
    } else {
        (usage.cached, None)
    }
}

/// Whether the client left before the answer ended; an answer that Crucible ended with an error
/// does not count.
fn client_left(record: &RequestFacts) -> bool {
    !record.ended && (record.status.is_none() || record.stream) && record.error.is_none()
}

fn cause_of_abort(record: &RequestFacts) -> Option<AbortCause> {
    if !record.stream || record.status != Some(StatusCode::OK) {
        return None;
    }
    record
        .abort
        .or_else(|| record.error.map(abort_cause))
        .or_else(|| (!record.ended).then_some(AbortCause::ClientGone))
}

/// The status that is logged and counted: the one that was sent, or 499 where the client left before the
/// end. A client that was given up because it did not read has not left.
fn status(record: &RequestFacts) -> StatusCode {
    let left = client_left(record) && record.abort != Some(AbortCause::ClientSlow);
    let closed = || StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
    record.status.filter(|_| !left).unwrap_or_else(closed)
}

const fn abort_cause(kind: ErrorKind) -> AbortCause {
    match kind {
        ErrorKind::FirstTokenTimeout => AbortCause::FirstTokenTimeout,
        ErrorKind::IdleTimeout => AbortCause::IdleTimeout,
        ErrorKind::LoadTimeout => AbortCause::LoadTimeout,
        ErrorKind::EngineCut | ErrorKind::EngineUnreachable => AbortCause::UpstreamCut,
        ErrorKind::Draining => AbortCause::Shutdown,
        _ => AbortCause::UpstreamBadData,
    }
}
