//! The paths of one kind of engine that are passed on as they are: requests to the engine that has the named, or
//! the only, model of that kind, and its answers back.
//!
//! A prompt on such a path waits for a permit like every other, and holds it to the end of the answer. A
//! question about a model is asked only where the model is loaded, and loads nothing.

mod target;

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router as Routes,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use crucible_config::{checked::Config, management::passed_paths};
use crucible_router::{demand::Demand, engine::token_of, health::RequestOutcome, permit::Permit};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tokio::time::timeout;
use url::form_urlencoded;

use self::target::{EnginePath, PassingTarget};
use super::{
    engine_answer::{attempt_outcome, report},
    plan::first_refresh,
};
use crate::{
    body::{
        decode,
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    error::{Error, ErrorKind},
    guard::{self, AdmittedClient},
    reply::{X_ENGINE, X_MODEL, or_refuse, unbuffered},
    request::ActiveRequest,
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
        let (body, peek) = received(&head, body, &config).await?;
        let named = peek.as_ref().and_then(|peek| peek.model.clone());
        let named = named.or_else(|| query_model(head.uri.query()));
        let named = named.filter(|name| !name.is_empty());
        let router = &self.app.router;
        first_refresh(router).await;
        let target = self
            .of
            .target(router, named.as_deref(), &head.headers)
            .await?;
        self.active.note(|record| {
            record.engine = Some(Arc::clone(&target.engine));
            record.model = Some(Arc::clone(&target.model));
        });
        let stream = peek.as_ref().is_some_and(|peek| peek.stream);
        let mut permit = None;
        if self.of.path.is_prompt {
            let demand = self.demand(&target, &body, stream, &head.headers)?;
            let candidate = target.candidate();
            let granted = pin!(router.acquire(&candidate, &demand));
            permit = Some(granted.await?);
        }
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
        let sent = self.sent(instance, body)?;
        let wait = if stream {
            config.timeouts.first_token
        } else {
            config.timeouts.response
        };
        self.pass(&config, &target, sent, permit, wait).await
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
        request.map_err(|error| Error::new(ErrorKind::BadRequest, error.to_string()))
    }

    /// Sends the request and hands out the answer, which holds the permit.
    async fn pass(
        &self,
        config: &Config,
        target: &PassingTarget,
        sent: http::Request<Full<Bytes>>,
        mut permit: Option<Permit>,
        wait: Duration,
    ) -> Result<Response, Error> {
        let router = &self.app.router;
        let engine = &target.engine;
        let address = router.engine_address(engine);
        let address = address.ok_or_else(|| {
            Error::new(ErrorKind::NoEngine, format!("'{engine}' has no address")).retry_after(5)
        })?;
        let token = router
            .engine_config(engine)
            .and_then(|config| token_of(&config));
        let attempt = permit.as_mut().and_then(Permit::take_attempt);
        let passed = timeout(
            wait,
            self.app.upstream.pass(&address, token.as_deref(), sent),
        )
        .await;
        let passed = passed.unwrap_or_else(|_| {
            let message = "the engine did not answer in time; raise timeouts.response";
            Err(Error::new(ErrorKind::ResponseTimeout, message))
        });
        let passed =
            passed.inspect_err(|error| report(attempt.as_ref(), attempt_outcome(error)))?;
        let (answer, body) = passed.into_parts();
        report(
            attempt.as_ref(),
            match answer.status {
                // A model without what is asked of it, such as a place for a suffix.
                StatusCode::NOT_IMPLEMENTED => RequestOutcome::Refused,
                status if status.is_server_error() => RequestOutcome::ServerFailed,
                _ => RequestOutcome::Answered,
            },
        );
        let idle = config.timeouts.response;
        let mut response = Response::new(Body::from_stream(pieces(body, permit, idle)));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
            if let Some(value) = answer.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        for (name, value) in [(X_ENGINE, engine), (X_MODEL, &target.model)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if !headers.contains_key(header::CONTENT_LENGTH) {
            unbuffered(headers);
        }
        Ok(response)
    }

    fn demand(
        &self,
        target: &PassingTarget,
        body: &Bytes,
        stream: bool,
        headers: &HeaderMap,
    ) -> Result<Demand, Error> {
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Ok(Demand {
            request_id: Arc::clone(&self.active.id),
            model: target.model.to_string(),
            kind: target.kind,
            prompt_tokens: bytes / BYTES_PER_TOKEN,
            stream,
            hops: guard::hops::of(headers)?,
            key: self.admitted.key.clone(),
            client: self.admitted.client.clone(),
            ..Demand::default()
        })
    }
}

/// The body, and what is read of it; nothing where the method has none.
async fn received(
    head: &Parts,
    body: Body,
    config: &Config,
) -> Result<(Bytes, Option<PeekedBody>), Error> {
    if head.method == Method::GET {
        return Ok((Bytes::new(), None));
    }
    let body = decode::receive(&head.headers, body, config).await?;
    let peek = PeekedBody::of(&body, config.limits.json_depth)?;
    Ok((body, Some(peek)))
}

/// The model that a query names.
fn query_model(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let found = pairs.find(|(key, _)| key == "model");
    found.map(|(_, value)| value.into_owned())
}

/// The pieces of an answer as they come, with the permit until the last; an engine that stops for longer than
/// `idle` ends them with an error.
fn pieces<B>(
    body: B,
    permit: Option<Permit>,
    idle: Duration,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static
where
    B: http_body::Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
{
    stream::unfold((body, permit), move |(mut body, permit)| async move {
        loop {
            let Ok(frame) = timeout(idle, body.frame()).await else {
                let silent =
                    io::Error::new(io::ErrorKind::TimedOut, "the engine stopped answering");
                return Some((Err(silent), (body, permit)));
            };
            match frame? {
                Ok(frame) => {
                    // Trailers are none of the client's.
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), (body, permit)));
                    }
                }
                Err(error) => return Some((Err(error), (body, permit))),
            }
        }
    })
}
