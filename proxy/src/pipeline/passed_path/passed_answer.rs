//! The answer of an engine to a request that was passed on: its bytes as they are, counted and timed on the side
//! like every other answer.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use crucible_config::checked::Config;
use crucible_router::{
    engine::token_of,
    health::RequestOutcome,
    machine::awake::within,
    permit::{EngineAttempt, Permit},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts as AnswerParts};
use http_body_util::Full;
use tokio::time::Instant;

use super::target::PassingTarget;
use crate::{
    dialect::engine::{
        engine_error::engine_error,
        native_completion::{self, NativeCompletion},
    },
    error::{Error, ErrorFault, ErrorKind, UpstreamError},
    inspector::CopiedBody,
    pipeline::{
        engine_answer::{attempt_outcome, count_failure, report},
        engine_lease::EngineLease,
        first_token::{FirstTokenBudget, expected_prefill},
        stream_record::StreamRecord,
    },
    relay::{
        Budgets,
        body::{Parts, RelayBody},
        collect::collect,
    },
    reply::{X_ENGINE, X_MODEL, unbuffered},
    request::{ActiveRequest, RequestPhase},
    state::AppState,
    upstream::PassedBody,
};

/// The headers of the engine's answer that a client may read.
const PASSED_BACK: [header::HeaderName; 2] = [header::CONTENT_TYPE, header::RETRY_AFTER];

/// A request that goes to its engine as it is, and the answer to it.
pub(super) struct PassedExchange {
    pub(super) app: AppState,
    pub(super) active: Arc<ActiveRequest>,
    pub(super) config: Arc<Config>,
    pub(super) target: PassingTarget,
    /// Whether the answer to a prompt is to come as a stream of events.
    pub(super) stream: bool,
}

/// The facts about a request that was sent.
struct SentExchange {
    at: Instant,
    /// The time that the engine has for its headers, and for a whole answer.
    budget: Duration,
    /// The time that it has for its first token.
    first_token: FirstTokenBudget,
    attempt: Option<Arc<EngineAttempt>>,
    /// The permit of a prompt; a question has none.
    lease: Option<EngineLease>,
    instance: Option<Arc<str>>,
}

// === impl PassedExchange ===

impl PassedExchange {
    /// Sends the request and hands out the answer. `permit` is given back at the answer's end.
    ///
    /// # Errors
    /// The engine cannot be reached, is silent for too long, or breaks its answer off before its first byte. What it
    /// answers itself, an error too, is no error here.
    pub(super) async fn answer(
        self,
        request: http::Request<Full<Bytes>>,
        permit: Option<Permit>,
    ) -> Result<Response, Error> {
        let sent = self.sent(permit);
        let (attempt, engine) = (sent.attempt.clone(), Arc::clone(&self.target.engine));
        let (app, active) = (self.app.clone(), Arc::clone(&self.active));
        let answered = Box::pin(self.exchange(request, sent)).await;
        answered.inspect_err(|error| {
            count_failure(&app, &active, &engine, error);
            report(attempt.as_deref(), attempt_outcome(error));
            if let Some(inspected) = active.inspected.get() {
                inspected.failed(error.to_string());
            }
        })
    }

    /// Starts the clocks of the request.
    fn sent(&self, permit: Option<Permit>) -> SentExchange {
        let at = Instant::now();
        let timeouts = &self.config.timeouts;
        let engine = &self.target.engine;
        let estimate = self.active.note(|record| {
            record.sent_at = Some(at);
            record.phase = RequestPhase::Prefill;
            record.prompt_tokens
        });
        let expected = expected_prefill(&self.app, engine, &self.target.model, estimate);
        self.active
            .note(|record| record.expected_prefill = Some(expected));
        let first_token = FirstTokenBudget::of(&self.config, expected);
        let mut sent = SentExchange {
            at,
            budget: if self.stream {
                first_token.silent
            } else {
                timeouts.response
            },
            first_token,
            attempt: None,
            lease: None,
            instance: None,
        };
        if let Some(mut permit) = permit {
            sent.attempt = permit.take_attempt().map(Arc::new);
            sent.instance = Some(Arc::clone(&permit.instance));
            let in_flight = self.app.metrics.in_flight(engine);
            let active = Arc::clone(&self.active);
            sent.lease = Some(EngineLease::new(permit, active, expected, in_flight));
        }
        sent
    }

    async fn exchange(
        self,
        request: http::Request<Full<Bytes>>,
        sent: SentExchange,
    ) -> Result<Response, Error> {
        let router = &self.app.router;
        let engine = &self.target.engine;
        let address = router.engine_address(engine).ok_or_else(|| {
            Error::new(ErrorKind::NoEngine, format!("'{engine}' has no address")).retry_after(5)
        })?;
        let config = router.engine_config(engine);
        let token = config.and_then(|config| token_of(&config));
        let deadline = sent.at + sent.budget;
        let upstream = &self.app.upstream;
        let passing = upstream.pass(engine, &address, token.as_deref(), request);
        let passed = within(deadline, sent.budget, Box::pin(passing)).await;
        let passed = passed.ok_or_else(|| self.silent())??;
        let (head, body) = CopiedBody::wrap(passed, &self.active.inspected).into_parts();
        if sent.lease.is_some() {
            self.app.metrics.upstream_response(engine, head.status);
        }
        if self.stream && head.status == StatusCode::OK {
            return self.streamed(&head, body, sent).await;
        }
        // As much as a request may have: tokens and vectors are about as long as their texts.
        let limits = &self.config.limits;
        let most = usize::try_from(limits.body).unwrap_or(usize::MAX);
        let most = most.max(limits.event);
        let whole = collect(body, most, deadline).await?;
        Ok(self.whole(&head, whole, sent))
    }

    /// The error of an engine that sends no headers in time.
    fn silent(&self) -> Error {
        if self.stream {
            let message = "the engine did not answer within timeouts.first_token; raise it, or send a shorter prompt";
            return Error::new(ErrorKind::FirstTokenTimeout, message);
        }
        let message =
            "the engine did not answer within timeouts.response; raise it, or ask for a stream";
        Error::new(ErrorKind::ResponseTimeout, message)
    }

    /// Hands out an answer that is whole, whatever its status is.
    fn whole(&self, head: &AnswerParts, whole: Bytes, mut sent: SentExchange) -> Response {
        if !head.status.is_success() {
            self.refused(head.status, &whole, &sent);
        } else if let Some(lease) = &mut sent.lease {
            let usage = native_completion::usage(&whole);
            self.active.note(|record| {
                record.answered_at = Some(Instant::now());
                record.usage = usage;
                // Vectors are not counted.
                record.is_document = usage.is_none();
            });
            lease.answered(false);
            report(sent.attempt.as_deref(), RequestOutcome::Answered);
        }
        let mut response = self.head(head);
        *response.body_mut() = Body::from(whole);
        response
    }

    /// Counts an answer of the engine that is an error: by its words it is the client's fault or the engine's, such
    /// as a model without what is asked of it, or one that crashed.
    fn refused(&self, status: StatusCode, words: &[u8], sent: &SentExchange) {
        let mut error = engine_error(self.target.engine_kind, status, words);
        let is_its_own = error.kind.fault() != ErrorFault::Client;
        if status == StatusCode::TOO_MANY_REQUESTS {
            error = error.upstream(UpstreamError::Http429);
            error.spared = true;
        } else if status.is_server_error() && is_its_own {
            error = error.upstream(UpstreamError::Http5xx);
        }
        if sent.lease.is_some() {
            count_failure(&self.app, &self.active, &self.target.engine, &error);
            report(sent.attempt.as_deref(), attempt_outcome(&error));
        }
        self.active.note(|record| record.error = Some(error.kind));
    }

    /// Passes the events of a streamed answer on as they come. The first one is awaited, so that an error in its
    /// place still gets a status of its own.
    async fn streamed(
        self,
        head: &AnswerParts,
        body: CopiedBody<PassedBody>,
        sent: SentExchange,
    ) -> Result<Response, Error> {
        let mut response = self.head(head);
        unbuffered(response.headers_mut());
        let (app, engine) = (&self.app, &self.target.engine);
        let instance = sent.instance.as_ref().unwrap_or(&self.target.model);
        let transcode = NativeCompletion::new(self.target.engine_kind, self.config.limits.event);
        let body = RelayBody::new(Parts {
            upstream: body,
            transcode: Box::new(transcode),
            dialect: self.active.dialect,
            buffer: self.config.tuning.lmstudio.stream_buffer_size,
            budgets: Budgets {
                first_token: sent.first_token.silent,
                longest_prefill: sent.first_token.longest,
                idle: self.config.timeouts.idle,
                tool_call: None,
                heartbeat: None,
            },
            look: None,
            sent_at: sent.at,
            watch: Box::new(StreamRecord::new(app, &self.active, engine, sent.attempt)),
            guard: Box::new(sent.lease),
            prefill: app.prefills.enter(engine, instance),
            ending: app.ending.clone(),
        });
        *response.body_mut() = Body::new(body.started().await?);
        Ok(response)
    }

    /// The answer's status and headers.
    fn head(&self, answer: &AnswerParts) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        for name in &PASSED_BACK {
            copy(&answer.headers, name, headers);
        }
        for (name, value) in [
            (X_ENGINE, &self.target.engine),
            (X_MODEL, &self.target.model),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

fn copy(from: &HeaderMap, name: &header::HeaderName, to: &mut HeaderMap) {
    if let Some(value) = from.get(name) {
        to.insert(name, value.clone());
    }
}
