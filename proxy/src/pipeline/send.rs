//! Sends, waits for the headers, judges the first event, and hands out the answer. The permit
//! lives in the answer's body from here on.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{body::Body, response::Response};
use crucible_config::{Config, checked::EngineKind};
use crucible_router::{
    health::Outcome,
    machine::awake::within,
    permit::Permit,
    predict,
    router::{Attempt, Router},
};
use futures_util::{TryFutureExt as _, future::BoxFuture};
use http::{StatusCode, header};
use tokio::time::Instant;
use tower::Service;

use crate::{
    body::peek::PeekedBody,
    dialect::engine::{engine_error::engine_error, openai::whole::WholeAnswer},
    error::{AbortCause, Error, Fault, Kind, UpstreamError},
    metrics::{InFlightGuard, Metrics, StreamClock},
    pipeline::{
        answerer::ExpectedAnswerer,
        context_length,
        engine_request::{AnswerShape, EngineRequest},
        routed_request::RoutedRequest,
        silence,
    },
    relay::{
        Budgets,
        body::{End, Parts, RelayBody, Watch},
        collect::{beginning, collect},
        headers, late,
        upstream::Answer,
    },
    reply::AnswerHead,
    request::{ActiveRequest, Phase, PromptFacts},
    state::AppState,
    usage::Usage,
};

/// Most of an engine's error body that is read.
const ERROR_BODY: usize = 64 * 1024;

/// No budget is longer: clocks can add it to any instant.
const LONGEST: Duration = Duration::from_hours(24);

/// The innermost service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendService;

/// The permit of a sent request. A client that leaves while LM Studio reads its prompt does not
/// free the engine: prefill cannot be interrupted there (LM Studio 0.4), so the permit stays for
/// the time that it is predicted to take.
struct EngineLease {
    permit: Option<Permit>,
    active: Arc<ActiveRequest>,
    prefill: Duration,
    _in_flight: InFlightGuard,
}

/// Writes what a stream does into the active and the metrics.
struct StreamRecord {
    active: Arc<ActiveRequest>,
    attempt: Option<Arc<Attempt>>,
    router: Router,
    failed: bool,
    metrics: Metrics,
    engine: Arc<str>,
    clock: StreamClock,
    bytes: u64,
    flushes: u64,
}

// === impl SendService ===

impl Service<EngineRequest> for SendService {
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outgoing: EngineRequest) -> Self::Future {
        Box::pin(relay(outgoing))
    }
}

/// Not an `async fn`, as [`exchange`]: a future keeps room for its arguments, and moves with them.
fn relay(mut outgoing: EngineRequest) -> impl Future<Output = Result<Response, Error>> + Send {
    let app = outgoing.routed.app.clone();
    let engine = Arc::clone(&outgoing.routed.permit.engine);
    let record = Arc::clone(&outgoing.routed.active);
    let attempt = outgoing.routed.permit.take_attempt().map(Arc::new);
    exchange(outgoing, attempt.clone()).inspect_err(move |error| {
        // What failed inside the answer's body is counted and reported there.
        if record.note(|record| record.error.is_none()) {
            if let Some(failure) = error.upstream_failure() {
                app.metrics.upstream_error(&engine, failure);
            }
            app.router.doubt(&engine);
        }
        report(attempt.as_deref(), outcome(error));
    })
}

fn exchange(
    outgoing: EngineRequest,
    attempt: Option<Arc<Attempt>>,
) -> impl Future<Output = Result<Response, Error>> + Send {
    let EngineRequest {
        routed,
        prompt,
        shape,
        defaults,
        notes,
        dropped,
        may_call_tools,
    } = outgoing;
    let RoutedRequest {
        app,
        config,
        active,
        chat,
        candidate,
        permit,
        ..
    } = *routed;
    let told = AnswerHead {
        engine: Arc::clone(&permit.engine),
        model: Arc::clone(&permit.model),
        reason: candidate.reason,
        defaults: defaults.clone(),
        notes,
    };
    let kind = permit.kind;
    let answerer = ExpectedAnswerer::of(&permit);
    let prefill = app.prefills.enter(&permit.engine, &permit.instance);
    let look = may_call_tools.then(|| silence::look(&app.router, &permit.engine, &permit.instance));
    let sent_at = Instant::now();
    sent(&active, &chat.peek, sent_at, defaults, dropped);
    let expected = expected_prefill(&app, &told, chat.peek.estimated_prompt_tokens());
    let mut held = EngineLease {
        prefill: expected,
        active: Arc::clone(&active),
        _in_flight: app.metrics.in_flight(&told.engine),
        permit: Some(permit),
    };
    let first_token = first_token(&config, expected);
    let budget = match shape {
        AnswerShape::Whole(_) => config.timeouts.response,
        AnswerShape::Stream(_) | AnswerShape::Aggregate(_) => first_token,
    };
    async move {
        let sent = {
            // Prompts that came together go out together: each write alone wakes the engine's process.
            tokio::task::yield_now().await;
            let sending = std::pin::pin!(app.upstream.send(&prompt));
            within(sent_at + budget, budget, sending).await
        };
        let response = sent.ok_or_else(|| no_headers(&shape))??;
        app.metrics
            .upstream_response(&told.engine, response.status());
        let response = succeeded(kind, response, sent_at + budget)
            .await
            .inspect_err(|error| {
                // First: whoever is granted the permit next is to know it.
                report(attempt.as_deref(), outcome(error));
                held.free();
            })?;
        let (transcode, streams) = match shape {
            AnswerShape::Stream(transcode) => (transcode, true),
            AnswerShape::Aggregate(transcode) => (transcode, false),
            AnswerShape::Whole(call_ids) => {
                let deadline = sent_at + config.timeouts.response;
                let whole = collect(response.into_body(), config.limits.event, deadline).await?;
                let whole = WholeAnswer::search(whole);
                held.answered(look.is_some() && whole.calls_tools());
                if let Some(expected) = &answerer {
                    expected.check(&app, whole.model()).await?;
                }
                let (completion, usage) = whole.into_completion(kind, call_ids)?;
                active.note(|record| {
                    record.answered_at = Some(Instant::now());
                    record.usage = usage;
                });
                report(attempt.as_deref(), Outcome::Answered);
                return Ok(told.whole(active.dialect.whole(completion)?));
            }
        };
        is_stream(kind, &response)?;
        let account = StreamRecord::new(&app, &active, &told.engine, attempt);
        let body = RelayBody::new(Parts {
            upstream: response.into_body(),
            transcode,
            buffer: config.tuning.lmstudio.stream_buffer_size,
            budgets: Budgets {
                first_token,
                idle: config.timeouts.idle,
                tool_call: look.is_some().then_some(config.timeouts.tool_call),
                heartbeat: Some(late::EVERY),
            },
            look,
            sent_at,
            watch: Box::new(account),
            guard: Box::new(held),
            prefill,
            ending: app.ending.clone(),
            dialect: active.dialect,
        });
        if streams {
            let body = begun(&app, body, answerer.as_ref()).await?;
            Ok(told.stream(active.dialect.stream_type(), Body::new(body)))
        } else {
            Ok(told.whole(active.dialect.whole(body.gathered().await?)?))
        }
    }
}

/// Waits for the first event, which says who answers.
async fn begun(
    app: &AppState,
    body: Box<RelayBody<Answer>>,
    answerer: Option<&ExpectedAnswerer>,
) -> Result<Box<RelayBody<Answer>>, Error> {
    let mut body = body.started().await?;
    if let Some(expected) = answerer {
        let name = body.answerer().map(str::to_owned);
        let checked = expected.check(app, name).await;
        checked.inspect_err(|error| body.refuse(error))?;
    }
    Ok(body)
}

/// A long prompt on a slow engine takes what it takes.
fn first_token(config: &Config, prefill: Duration) -> Duration {
    let first_token = config.timeouts.first_token;
    first_token.max(prefill.saturating_mul(3)).min(LONGEST)
}

/// Notes what is asked of the engine now.
fn sent(
    active: &ActiveRequest,
    peek: &PeekedBody,
    at: Instant,
    defaults: Vec<&'static str>,
    dropped: Vec<&'static str>,
) {
    let estimate = peek.estimated_prompt_tokens();
    active.note(|record| {
        record.sent_at = Some(at);
        record.phase = Phase::Prefill;
        record.defaults = defaults;
        record.dropped = dropped;
        record.prompt = PromptFacts {
            estimate: (!peek.has_images()).then_some(estimate),
            later_turn: peek.may_be_later_turn(),
        };
    });
}

/// How long the prompt is predicted to take.
fn expected_prefill(app: &AppState, told: &AnswerHead, estimate: u64) -> Duration {
    let view = app.router.view();
    view.engine(&told.engine).map_or(Duration::ZERO, |engine| {
        predict::prefill(&view.learned, engine, &told.model, estimate).time
    })
}

/// Status and form of an answer; anything but a success is read and told in one form.
async fn succeeded(
    kind: EngineKind,
    response: http::Response<Answer>,
    deadline: Instant,
) -> Result<http::Response<Answer>, Error> {
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let status = response.status();
    let wait = headers::retry_after(response.headers(), SystemTime::now());
    let body = beginning(response.into_body(), ERROR_BODY, deadline).await;
    if status.is_success() {
        return Err(Error::new(
            Kind::EngineError,
            format!("the engine answered {status} without an answer"),
        )
        .upstream(UpstreamError::BadHttp));
    }
    let mut error = engine_error(kind, status, &body);
    if let Some(seconds) = wait {
        error = error.retry_after(seconds);
        // 503 says the same of an engine that will be there again at a time that it knows.
        if matches!(status.as_u16(), 429 | 503) {
            error.spared = true;
        }
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        error = error.upstream(UpstreamError::Http429);
    } else if status.is_server_error() && error.kind.fault() != Fault::Client {
        error = error.upstream(UpstreamError::Http5xx);
    }
    Err(error)
}

/// A page for a browser is no answer of Ollama's. What the others send is told by its first bytes.
fn is_stream(kind: EngineKind, response: &http::Response<Answer>) -> Result<(), Error> {
    let content_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if kind != EngineKind::Ollama || !content_type.starts_with("text/html") {
        return Ok(());
    }
    Err(Error::new(
        Kind::EngineError,
        "the engine answered with a page for a browser instead of a chat completion",
    )
    .upstream(UpstreamError::BadSse))
}

fn no_headers(shape: &AnswerShape) -> Error {
    match shape {
        AnswerShape::Whole(_) => Error::new(
            Kind::ResponseTimeout,
            "the engine did not answer within timeouts.response; raise it, or ask for a stream",
        ),
        AnswerShape::Stream(_) | AnswerShape::Aggregate(_) => Error::new(
            Kind::FirstTokenTimeout,
            "the engine did not answer within timeouts.first_token; raise it, or send a shorter prompt",
        ),
    }
}

fn report(attempt: Option<&Attempt>, outcome: Outcome) {
    if let Some(attempt) = attempt {
        attempt.report(outcome);
    }
}

/// What a failed attempt says about the engine's health.
fn outcome(error: &Error) -> Outcome {
    if error.spared {
        return Outcome::Busy(Duration::from_secs(error.retry_after.unwrap_or(1)));
    }
    match error.kind {
        // It answers, only not for a model that went.
        _ if error.not_loaded => Outcome::Refused,
        Kind::EngineUnreachable => Outcome::ConnectFailed,
        // A connection that breaks before anything of a body came is none, headers or not.
        Kind::EngineCut if error.upstream == Some(UpstreamError::Reset) => Outcome::ConnectFailed,
        // 503: it is there and cannot answer; its own queue, or a model that it still loads.
        Kind::EngineError | Kind::EngineCut | Kind::NoEngine => Outcome::ServerFailed,
        Kind::FirstTokenTimeout | Kind::IdleTimeout => Outcome::Silent,
        // A whole answer may be long: that it is not there yet says nothing.
        Kind::Draining | Kind::ResponseTimeout => Outcome::Abandoned,
        _ => Outcome::Refused,
    }
}

// === impl EngineLease ===

impl EngineLease {
    /// The whole answer came, with or without tool calls in it.
    fn answered(&mut self, calls: bool) {
        self.active.note(|record| record.called_tools = calls);
        self.free();
    }

    /// The engine is known to be done with the request.
    fn free(&mut self) {
        if let Some(mut permit) = self.permit.take()
            && self.active.note(|record| record.called_tools)
        {
            permit.expect_next_turn();
        }
    }
}

impl Drop for EngineLease {
    fn drop(&mut self) {
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        if self.active.note(|record| record.called_tools) {
            permit.expect_next_turn();
            return;
        }
        let (sent_at, reading) = self.active.note(|record| {
            (
                record.sent_at,
                record.phase == Phase::Prefill && record.error.is_none(),
            )
        });
        if permit.kind == EngineKind::Lmstudio
            && reading
            && self.active.tokens() == 0
            && let Some(sent_at) = sent_at
        {
            permit.release_after(self.prefill.saturating_sub(sent_at.elapsed()));
        }
    }
}

// === impl StreamRecord ===

impl StreamRecord {
    fn new(
        app: &AppState,
        active: &Arc<ActiveRequest>,
        engine: &Arc<str>,
        attempt: Option<Arc<Attempt>>,
    ) -> Self {
        Self {
            active: Arc::clone(active),
            attempt,
            router: app.router.clone(),
            failed: false,
            metrics: app.metrics.clone(),
            engine: Arc::clone(engine),
            clock: app.metrics.stream_clock(engine),
            bytes: 0,
            flushes: 0,
        }
    }

    fn report(&self, outcome: Outcome) {
        report(self.attempt.as_deref(), outcome);
    }
}

impl Watch for StreamRecord {
    fn began(&mut self) {
        self.report(Outcome::Began);
    }

    fn content(&mut self, n: u32, now: Instant) {
        if self.clock.first().is_none() {
            self.active.note(|record| {
                record.first_token_at = Some(now);
                record.phase = Phase::Stream;
            });
        }
        self.clock.content(now.into_std());
        self.active.add_tokens(n);
    }

    fn usage(&mut self, usage: Usage) {
        self.active.note(|record| record.usage = Some(usage));
    }

    fn called_tools(&mut self) {
        self.active.note(|record| record.called_tools = true);
    }

    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.flushes += 1;
    }

    fn worded(&self, error: Error) -> Error {
        context_length::worded(&self.active, error)
    }

    fn failed(&mut self, error: &Error) {
        if std::mem::replace(&mut self.failed, true) {
            return;
        }
        if let Some(failure) = error.upstream_failure() {
            self.metrics.upstream_error(&self.engine, failure);
        }
        self.report(outcome(error));
        self.router.doubt(&self.engine);
    }

    fn ended(&mut self, end: End) {
        self.report(match end {
            End::Complete => Outcome::Answered,
            // What went wrong was reported before; the first word counts.
            End::Failed(_) | End::ClientGone => Outcome::Abandoned,
        });
        let span = self.clock.span();
        let (bytes, flushes) = (self.bytes, self.flushes);
        self.active.note(|record| {
            record.output_time = span;
            record.stream_bytes = bytes;
            record.stream_flushes = flushes;
            match end {
                End::Complete => record.answered_at = Some(Instant::now()),
                End::Failed(kind) => {
                    record.error = Some(kind);
                }
                End::ClientGone => record.abort = Some(AbortCause::ClientGone),
            }
        });
    }
}
