//! The sending of a request: the wait for the engine's headers, the check of its first event, and
//! the answer. From here on the permit belongs to the answer's body.

use std::{
    collections::HashSet,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use crucible_config::{Config, checked::EngineKind};
use crucible_router::{health::RequestOutcome, permit::EngineAttempt};
use futures_util::{TryFutureExt as _, future::BoxFuture};
use http::StatusCode;
use tokio::time::Instant;
use tower::Service;

use super::{
    answerer::ExpectedAnswerer,
    engine_answer::{attempt_outcome, count_failure, failure, no_headers, refuse_web_page, report},
    engine_lease::EngineLease,
    engine_request::EngineRequest,
    first_token::{self, FirstTokenBudget, expected_prefill},
    routed_request::RoutedRequest,
    silence,
    slot_look::SlotLook,
    stream_record::StreamRecord,
};
use crate::{
    body::peek::PeekedBody,
    dialect::{
        chat::{AnswerWriter, EngineTranscoder, SharedFormat, written},
        engine::{
            AnswerShape, document::DocumentReader, openai::whole::WholeAnswer,
            passthrough::PassedAnswer,
        },
    },
    error::Error,
    inspector::CopiedBody,
    metrics::DroppedParam,
    relay::{
        Budgets,
        body::{Look, Parts, RelayBody},
        collect::collect,
        late,
        prefill::Prefill,
    },
    reply::AnswerHead,
    request::{ActiveRequest, PromptFacts, RequestPhase},
    state::AppState,
    upstream::{EngineAnswer, Prompt},
    usage::Usage,
};

/// The innermost service of the inner stack, which sends a request to its engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendService;

/// The engine's answer to a prompt, of which the inspector keeps a copy while it is on.
type CopiedAnswer = CopiedBody<EngineAnswer>;

/// A request on its way to its engine, with everything that its answer needs.
struct SentRequest {
    app: AppState,
    config: Arc<Config>,
    active: Arc<ActiveRequest>,
    head: Arc<AnswerHead>,
    kind: EngineKind,
    attempt: Option<Arc<EngineAttempt>>,
    answerer: Option<ExpectedAnswerer>,
    /// The writer of an answer that is not in the client's format as it comes.
    writer: Option<Arc<dyn AnswerWriter>>,
    lease: EngineLease,
    prefill: Prefill,
    /// The question whether the engine is at work; `None` where the answer cannot be a tool call.
    look: Option<Look>,
    /// The reader of the engine's slots, where the answer does not say how much of the prompt was
    /// cached.
    slot_look: Option<SlotLook>,
    sent_at: Instant,
    first_token: FirstTokenBudget,
}

// === impl SendService ===

impl Service<EngineRequest> for SendService {
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EngineRequest) -> Self::Future {
        Box::pin(send(request))
    }
}

/// Sends a request and returns its answer. A failure is counted in the metrics and reported to the
/// engine's health.
///
/// It is no `async fn`, and neither is [`SentRequest::answer`]: such a future keeps room for its
/// arguments and moves with them.
fn send(request: EngineRequest) -> impl Future<Output = Result<Response, Error>> + Send {
    let app = request.routed.app.clone();
    if let Some(inspected) = request.routed.active.inspected.get() {
        inspected.sent(&request.inspected());
    }
    let (sent, prompt, shape) = SentRequest::begin(request);
    if let Some(writer) = &sent.writer {
        writer.asked();
    }
    let engine = Arc::clone(&sent.head.engine);
    let active = Arc::clone(&sent.active);
    let attempt = sent.attempt.clone();
    sent.answer(prompt, shape).inspect_err(move |error| {
        count_failure(&app, &active, &engine, error);
        report(attempt.as_deref(), attempt_outcome(error));
        if let Some(inspected) = active.inspected.get() {
            inspected.failed(error.to_string());
        }
    })
}

// === impl SentRequest ===

impl SentRequest {
    /// Takes the permit into a lease and notes in the record what is sent to the engine.
    ///
    /// The result is boxed because each of the futures below keeps room for it.
    fn begin(request: EngineRequest) -> (Box<Self>, Prompt, AnswerShape) {
        let RoutedRequest {
            app,
            config,
            active,
            chat,
            candidate,
            mut permit,
            ..
        } = *request.routed;
        let head = Arc::new(AnswerHead {
            engine: Arc::clone(&permit.engine),
            model: Arc::clone(&permit.model),
            reason: candidate.reason,
            defaults: request.defaults.clone(),
            notes: request.notes,
        });
        let sent_at = Instant::now();
        let estimate = chat.peek.estimated_prompt_tokens();
        let expected = expected_prefill(&app, &head.engine, &head.model, estimate);
        note_sent(
            &active,
            &chat.peek,
            (sent_at, expected),
            request.defaults,
            request.dropped,
        );
        let attempt = permit.take_attempt().map(Arc::new);
        let slot_look = request.slots.map(|slots| {
            active.note(|record| record.slots = Some(Arc::clone(&slots)));
            SlotLook::begin(&app.router, &permit.engine, slots, request.may_call_tools)
        });
        let look = || silence::look(&app.router, &permit.engine, &permit.instance);
        let sent = Box::new(Self {
            kind: permit.kind,
            attempt,
            answerer: ExpectedAnswerer::of(&permit),
            writer: chat.writer,
            prefill: app.prefills.enter(&permit.engine, &permit.instance),
            look: request.may_call_tools.then(look),
            slot_look,
            sent_at,
            first_token: FirstTokenBudget::of(&config, expected),
            lease: EngineLease::new(
                permit,
                Arc::clone(&active),
                expected,
                app.metrics.in_flight(&head.engine),
            ),
            app,
            config,
            active,
            head,
        });
        (sent, request.prompt, request.shape)
    }

    /// Sends the prompt and returns the answer in the form that `shape` names.
    fn answer(
        mut self: Box<Self>,
        prompt: Prompt,
        shape: AnswerShape,
    ) -> impl Future<Output = Result<Response, Error>> + Send {
        let budget = match shape {
            AnswerShape::Whole(_) | AnswerShape::Document(_) | AnswerShape::Passed(_) => {
                let response = self.config.timeouts.response;
                FirstTokenBudget {
                    silent: response,
                    longest: response,
                }
            }
            AnswerShape::Stream(_) | AnswerShape::Aggregate(_) => self.first_token,
        };
        let deadline = self.sent_at + budget.longest;
        async move {
            let sent = {
                // Prompts that came together go out together: each write alone wakes the engine's process.
                if self.app.active.are_several() {
                    tokio::task::yield_now().await;
                }
                let sending = std::pin::pin!(self.app.upstream.send(&prompt));
                budget.wait(&self.active, self.sent_at, sending).await
            };
            let response =
                sent.ok_or_else(|| first_token::late(&self.active, no_headers(&shape)))??;
            let response = CopiedBody::wrap(response, &self.active.inspected);
            let metrics = &self.app.metrics;
            metrics.upstream_response(&self.head.engine, response.status());
            if response.status() != StatusCode::OK {
                let error = Box::pin(failure(self.kind, response, deadline)).await;
                // First: whoever is granted the permit next is to know it.
                report(self.attempt.as_deref(), attempt_outcome(&error));
                self.lease.free();
                return Err(match &shape {
                    AnswerShape::Document(reader) => reader.refused(error),
                    _ => error,
                });
            }
            match shape {
                AnswerShape::Whole(call_ids) => self.whole(response, call_ids).await,
                AnswerShape::Passed(format) => self.passed(response, format).await,
                AnswerShape::Stream(transcoder) => self.streamed(response, transcoder).await,
                AnswerShape::Aggregate(transcoder) => self.gathered(response, transcoder).await,
                AnswerShape::Document(reader) => self.document(response, reader).await,
            }
        }
    }

    /// Reads a document that is no completion to its end, before anything is sent to the client.
    async fn document(
        mut self: Box<Self>,
        response: http::Response<CopiedAnswer>,
        reader: Box<dyn DocumentReader>,
    ) -> Result<Response, Error> {
        let deadline = self.sent_at + self.config.timeouts.response;
        let limit = reader.limit(self.config.limits.event);
        let document = collect(response.into_body(), limit, deadline).await?;
        self.lease.answered(false);
        let answer = reader.read(&document)?;
        if let Some(expected) = &self.answerer {
            expected.check(&self.app, answer.model).await?;
        }
        self.active.note(|record| record.is_document = true);
        self.answered(answer.usage);
        let body = written(self.writer.as_deref(), answer.body)?;
        Ok(self.head.whole(body))
    }

    /// Reads one chat completion to its end, before anything is sent to the client.
    async fn whole(
        mut self: Box<Self>,
        response: http::Response<CopiedAnswer>,
        call_ids: HashSet<String>,
    ) -> Result<Response, Error> {
        let deadline = self.sent_at + self.config.timeouts.response;
        let whole = collect(response.into_body(), self.config.limits.event, deadline).await?;
        let whole = WholeAnswer::search(whole);
        self.lease
            .answered(self.look.is_some() && whole.calls_tools());
        if let Some(expected) = &self.answerer {
            expected.check(&self.app, whole.model()).await?;
        }
        let (completion, usage) = whole.into_completion(self.kind, call_ids)?;
        self.answered(usage);
        Ok(self
            .head
            .whole(written(self.writer.as_deref(), completion)?))
    }

    /// Reads one JSON in the client's own format to its end, before anything is sent to the client.
    async fn passed(
        mut self,
        response: http::Response<CopiedAnswer>,
        format: SharedFormat,
    ) -> Result<Response, Error> {
        let deadline = self.sent_at + self.config.timeouts.response;
        let whole = collect(response.into_body(), self.config.limits.event, deadline).await?;
        let whole = PassedAnswer::read(self.kind, format, whole)?;
        self.lease
            .answered(self.look.is_some() && whole.calls_tools());
        if let Some(expected) = &self.answerer {
            expected.check(&self.app, whole.model()).await?;
        }
        let (answer, usage) = whole.into_parts();
        self.answered(usage);
        Ok(self.head.whole(answer))
    }

    /// Notes that the engine's answer is whole, with its token counts.
    fn answered(&self, usage: Option<Usage>) {
        self.active.note(|record| {
            record.answered_at = Some(Instant::now());
            record.usage = usage;
        });
        report(self.attempt.as_deref(), RequestOutcome::Answered);
    }

    /// Passes events on as they come. The first one is awaited, because it names the model that
    /// answers.
    async fn streamed(
        mut self: Box<Self>,
        response: http::Response<CopiedAnswer>,
        transcoder: Box<dyn EngineTranscoder>,
    ) -> Result<Response, Error> {
        refuse_web_page(self.kind, &response)?;
        let (head, app) = (Arc::clone(&self.head), self.app.clone());
        let answerer = self.answerer.take();
        let media_type = self.active.dialect.stream_type();
        let mut body = self.relayed(response, transcoder).started().await?;
        if let Some(expected) = answerer {
            let name = body.answerer().map(str::to_owned);
            let checked = expected.check(&app, name).await;
            checked.inspect_err(|error| body.refuse(error))?;
        }
        Ok(head.stream(media_type, Body::new(body)))
    }

    /// Reads a stream to its end and returns it as one JSON, for a client that asked for no stream.
    async fn gathered(
        self: Box<Self>,
        response: http::Response<CopiedAnswer>,
        transcoder: Box<dyn EngineTranscoder>,
    ) -> Result<Response, Error> {
        refuse_web_page(self.kind, &response)?;
        let (head, writer) = (Arc::clone(&self.head), self.writer.clone());
        let completion = self.relayed(response, transcoder).gathered().await?;
        Ok(head.whole(written(writer.as_deref(), completion)?))
    }

    /// Makes the body that relays the engine's frames and that the lease belongs to.
    fn relayed(
        self: Box<Self>,
        response: http::Response<CopiedAnswer>,
        transcode: Box<dyn EngineTranscoder>,
    ) -> Box<RelayBody<CopiedAnswer>> {
        let timeouts = &self.config.timeouts;
        let record = StreamRecord::new(&self.app, &self.active, &self.head.engine, self.attempt)
            .looking_at_slots(self.slot_look);
        RelayBody::new(Parts {
            upstream: response.into_body(),
            transcode,
            dialect: self.active.dialect,
            buffer: self.config.tuning.lmstudio.stream_buffer_size,
            budgets: Budgets {
                first_token: self.first_token.silent,
                longest_prefill: self.first_token.longest,
                idle: timeouts.idle,
                tool_call: self.look.is_some().then_some(timeouts.tool_call),
                heartbeat: Some(late::EVERY),
            },
            look: self.look,
            sent_at: self.sent_at,
            watch: Box::new(record),
            guard: Box::new(self.lease),
            prefill: self.prefill,
            ending: self.app.ending.clone(),
        })
    }
}

/// Notes in the record what is sent to the engine at `at`, and that its prompt is expected to be read
/// within `prefill`.
fn note_sent(
    active: &ActiveRequest,
    peek: &PeekedBody,
    (at, prefill): (Instant, Duration),
    defaults: Vec<&'static str>,
    dropped: Vec<DroppedParam>,
) {
    let estimate = peek.estimated_prompt_tokens();
    active.note(|record| {
        record.sent_at = Some(at);
        record.expected_prefill = Some(prefill);
        record.phase = RequestPhase::Prefill;
        record.defaults = defaults;
        record.dropped = dropped;
        record.prompt = PromptFacts {
            estimate: (!peek.has_images()).then_some(estimate),
            later_turn: peek.may_be_later_turn(),
        };
    });
}
