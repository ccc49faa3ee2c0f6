//! The paths of one kind of engine that are passed on as they are: requests to the engine that has the named, or
//! the only, model of that kind, and its answers back.
//!
//! A prompt on such a path waits for a permit like every other, and holds it to the end of the answer. A
//! question about a model is asked only where the model is loaded, and loads nothing.

mod passed_answer;
mod target;

use std::{convert::Infallible, pin::pin, sync::Arc};

use axum::{
    Extension, Router as Routes,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use crucible_config::{checked::Config, management::passed_paths};
use crucible_router::{demand::Demand, permit::Permit, plan::Reason};
use http::{HeaderMap, header};
use http_body_util::Full;
use tokio::time::Instant;
use url::form_urlencoded;

use self::{
    passed_answer::PassedExchange,
    target::{EnginePath, PassingTarget},
};
use super::plan::first_refresh;
use crate::{
    body::{
        decode,
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    error::{Error, ErrorKind},
    guard::{self, AdmittedClient},
    inspector::SentToEngine,
    reply::or_refuse,
    request::{ActiveRequest, PromptFacts, RequestPhase, TargetInstance, waits},
    state::AppState,
};

/// Bytes of a prompt for each of its tokens, by estimate.
const BYTES_PER_TOKEN: u64 = 4;

/// The paths of the main listener that are passed on.
pub(crate) fn paths() -> Routes<AppState> {
    let mut routes = Routes::new();
    for (kind, path) in passed_paths() {
        let handler = move |State(app): State<AppState>,
                            Extension(active): Extension<Arc<ActiveRequest>>,
                            Extension(admitted): Extension<AdmittedClient>,
                            request: Request| async move {
            let passing = PassingRequest {
                app,
                active,
                admitted,
                of: EnginePath { kind, path },
            };
            Ok::<_, Infallible>(or_refuse(passing.answer(request).await))
        };
        let method = match path.method {
            "GET" => MethodFilter::GET,
            _ => MethodFilter::POST,
        };
        routes = routes.route(path.path, on(method, handler));
    }
    routes
}

/// A request on its way to the one kind of engine that has its path.
struct PassingRequest {
    app: AppState,
    active: Arc<ActiveRequest>,
    admitted: AdmittedClient,
    of: EnginePath,
}

// === impl PassingRequest ===

impl PassingRequest {
    async fn answer(self, request: Request) -> Result<Response, Error> {
        let config = self.app.config.current();
        let (head, body) = request.into_parts();
        let (body, peek) = self.received(&head.headers, body, &config).await?;
        let named = peek.as_ref().and_then(|peek| peek.model.clone());
        let named = named.or_else(|| query_model(head.uri.query()));
        let named = named.filter(|name| !name.is_empty());
        let router = &self.app.router;
        let target = async {
            first_refresh(router).await;
            let named = named.as_deref();
            self.of.target(router, named, &head.headers).await
        };
        let target = waits::for_lists(&self.active, target).await?;
        self.active.note(|record| {
            record.engine = Some(Arc::clone(&target.engine));
            record.model = Some(Arc::clone(&target.model));
            record.reason = Some(Reason::Exact);
        });
        let prompt = peek.as_ref().filter(|_| self.of.path.is_prompt);
        let permit = match prompt {
            Some(peek) => Some(self.permit(&target, &body, peek, &head.headers).await?),
            None => None,
        };
        let instance = match (&permit, &target.instance) {
            (Some(permit), _) => &permit.instance,
            (None, Some(instance)) => instance,
            (None, None) => return Err(self.of.not_loaded(&target)),
        };
        let model = [BodyEdit::Set("model", NewValue::Text(instance))];
        let body = match &peek {
            Some(peek) => edit::apply(&body, peek, &model),
            None => body,
        };
        if let Some(inspected) = self.active.inspected.get() {
            inspected.sent(&SentToEngine {
                engine: &target.engine,
                model: &target.model,
                path: self.of.path.path,
                defaults: &[],
                notes: &[],
                body: &body,
            });
        }
        let sent = self.sent(instance, body)?;
        let exchange = PassedExchange {
            stream: prompt.is_some_and(|peek| peek.stream),
            app: self.app,
            active: self.active,
            config,
            target,
        };
        exchange.answer(sent, permit).await
    }

    /// The body, and what is read of it; nothing where the path takes none.
    async fn received(
        &self,
        headers: &HeaderMap,
        body: Body,
        config: &Config,
    ) -> Result<(Bytes, Option<PeekedBody>), Error> {
        if self.of.path.method == "GET" {
            return Ok((Bytes::new(), None));
        }
        let received = decode::receive(headers, body, config);
        let body = waits::for_body(&self.active, received).await?;
        if let Some(inspected) = self.active.inspected.get() {
            inspected.received(&body);
        }
        let peek = PeekedBody::of(&body, config.limits.json_depth)?;
        Ok((body, Some(peek)))
    }

    /// Waits for the permit of a prompt, and notes in the record how it goes.
    async fn permit(
        &self,
        target: &PassingTarget,
        body: &Bytes,
        peek: &PeekedBody,
        headers: &HeaderMap,
    ) -> Result<Permit, Error> {
        let demand = self.demand(target, body, peek, headers)?;
        self.active.note(|record| {
            record.phase = RequestPhase::Queue;
            record.queued_at = Some(Instant::now());
            record.stream = demand.stream;
            record.key = demand.key.as_ref().map(|key| Arc::clone(&key.name));
            record.client = demand.client.clone();
            record.max_tokens = demand.max_tokens;
            record.prompt_tokens = demand.prompt_tokens;
            record.reserve = demand.reserve();
            record.prompt = PromptFacts {
                estimate: Some(demand.prompt_tokens),
                later_turn: false,
            };
        });
        let candidate = target.candidate();
        let granted = pin!(self.app.router.acquire(&candidate, &demand));
        let permit = granted.await?;
        self.active.note(|record| {
            record.granted_at = Some(Instant::now());
            record.loaded = permit.loaded;
            record.context = permit.context;
            record.target = Some(TargetInstance {
                instance: Arc::clone(&permit.instance),
                whole_context: permit.whole_context,
            });
        });
        Ok(permit)
    }

    /// The request for the engine.
    fn sent(&self, instance: &str, body: Bytes) -> Result<http::Request<Full<Bytes>>, Error> {
        let mut target = self.of.path.path.to_owned();
        let mut request = http::Request::builder().method(self.of.path.method);
        if self.of.path.method == "GET" {
            // Without the second, a server of many models would load it.
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("model", instance)
                .append_pair("autoload", "false")
                .finish();
            target = format!("{target}?{query}");
        } else {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, body.len());
        }
        let request = request.uri(target).body(Full::new(body));
        let mut request =
            request.map_err(|error| Error::new(ErrorKind::BadRequest, error.to_string()))?;
        if let Some(trace) = self.active.trace_headers() {
            trace.add_to(request.headers_mut());
        }
        Ok(request)
    }

    fn demand(
        &self,
        target: &PassingTarget,
        body: &Bytes,
        peek: &PeekedBody,
        headers: &HeaderMap,
    ) -> Result<Demand, Error> {
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        // Of another type, or below 0, it limits nothing.
        let most = peek.raw(body, "n_predict").and_then(|raw| raw.parse().ok());
        Ok(Demand {
            request_id: Arc::clone(&self.active.id),
            model: target.model.to_string(),
            kind: target.kind,
            prompt_tokens: bytes / BYTES_PER_TOKEN,
            max_tokens: most,
            stream: peek.stream,
            hops: guard::hops::of(headers)?,
            key: self.admitted.key.clone(),
            client: self.admitted.client.clone(),
            ..Demand::default()
        })
    }
}

/// The model that a query names.
fn query_model(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let found = pairs.find(|(key, _)| key == "model");
    found.map(|(_, value)| value.into_owned())
}
