//! The making of a request's [`Demand`]: the facts by which the router plans and schedules it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use crucible_config::{
    Config,
    checked::{Class, ClientKey},
};
use crucible_router::{demand::Demand, plan};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    body::prompt::PromptFeatures,
    dialect::chat::{ChatRequest, tool_choice},
    error::{Error, ErrorKind},
    guard::{self, AdmittedClient},
};

/// The headers in which opencode, Codex and Claude Code send the id of a conversation.
static SESSION: [HeaderName; 4] = [
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-session-affinity"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("x-claude-code-session-id"),
];

/// The most bytes of a model's name, which is compared and echoed in a header; far above any name
/// that an engine lists.
const LONGEST_NAME: usize = 8192;
/// The most tokens that a request may ask for and still count as a completion at the cursor.
const COMPLETION_TOKENS: u64 = 256;
/// The header that sets the scheduling class of one request: `interactive` or `background`.
static X_CLASS: HeaderName = HeaderName::from_static("x-crucible-class");

/// Returns the demand of a request. The errors are a missing `model` where no `default_model` is
/// configured (`missing_field`), a name that is too long (`model_not_found`), and wrong values of
/// Crucible's own headers.
pub(crate) fn of(
    headers: &HeaderMap,
    chat: &ChatRequest,
    config: &Config,
    request_id: &Arc<str>,
    admitted: &AdmittedClient,
) -> Result<Demand, Error> {
    let ChatRequest { body, peek, .. } = chat;
    let model = peek
        .model
        .clone()
        .filter(|name| !name.is_empty())
        .or_else(|| config.default_model.clone())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::MissingField,
                "`model` is missing; name one of GET /v1/models, or set default_model",
            )
            .param("model")
        })?;
    if model.len() > LONGEST_NAME {
        return Err(Error::new(
            ErrorKind::ModelNotFound,
            format!("no model has a name of more than {LONGEST_NAME} bytes; see GET /v1/models"),
        )
        .param("model"));
    }
    let mut demand = Demand {
        request_id: Arc::clone(request_id),
        kind: chat.task.model_kind(),
        prompt_tokens: peek.estimated_prompt_tokens(),
        // To Ollama 0 is no limit, and to whom it is one it leaves room for any prompt.
        max_tokens: peek.max_tokens(body).filter(|most| *most > 0),
        num_ctx: peek.num_ctx(body),
        tools: peek.has_tools(body),
        tool_choice_none: tool_choice::is_none(body, peek),
        images: peek.has_images(),
        stream: peek.stream,
        headers: named_headers(headers, config),
        hops: guard::hops::of(headers)?,
        key: admitted.key.clone(),
        client: admitted.client.clone(),
        class: class(headers, admitted.key.as_ref())?,
        session: session(headers),
        ..Demand::default()
    };
    if plan::is_virtual(&model, config) {
        let prompt = peek.prompt(body);
        demand.conversation = Some(conversation(&model, &demand, &prompt));
        demand.instructions = prompt.instructions;
        demand.later_turn = prompt.later_turn;
        demand.last_user = prompt.last_user;
    }
    demand.model = model;
    if config.scheduler.supersede {
        demand.supersedes = supersedes(&demand);
    }
    Ok(demand)
}

/// Returns the hash of the conversation with a virtual model that a request belongs to. One session
/// of a client may have several, as an agent also asks for titles and starts helpers.
fn conversation(model: &str, demand: &Demand, prompt: &PromptFeatures) -> u64 {
    let mut hash = DefaultHasher::new();
    model.to_lowercase().hash(&mut hash);
    match demand.session {
        Some(session) => session.hash(&mut hash),
        None => prompt.instructions.hash(&mut hash),
    }
    (demand.session.is_some(), prompt.opening, demand.tools).hash(&mut hash);
    hash.finish()
}

/// Returns the hash that completions at the cursor share of which a newer one replaces the older:
/// those with one session or key, for one model. `None` for any other request: a long answer,
/// tools, or neither session nor key.
fn supersedes(demand: &Demand) -> Option<u64> {
    let short = demand
        .max_tokens
        .is_some_and(|max| max <= COMPLETION_TOKENS);
    let (session, key) = (demand.session, demand.key.as_ref().map(|key| &key.name));
    if !short || demand.tools || (session.is_none() && key.is_none()) {
        return None;
    }
    let mut hash = DefaultHasher::new();
    (session, key, &demand.model).hash(&mut hash);
    Some(hash.finish())
}

/// Returns the headers that conditions of configured rules read, with their values.
fn named_headers(headers: &HeaderMap, config: &Config) -> Vec<(String, String)> {
    config
        .rules
        .iter()
        .flat_map(|rule| rule.header.keys())
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name.to_lowercase(), value.to_owned()))
        })
        .collect()
}

fn session(headers: &HeaderMap) -> Option<u64> {
    let sent = SESSION.iter().filter_map(|name| headers.get(name));
    let id = sent.map(HeaderValue::as_bytes).find(|id| !id.is_empty())?;
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    Some(hash.finish())
}

fn class(headers: &HeaderMap, key: Option<&Arc<ClientKey>>) -> Result<Class, Error> {
    match headers.get(&X_CLASS).map(HeaderValue::as_bytes) {
        None => Ok(key.map(|key| key.class).unwrap_or_default()),
        Some(b"interactive") => Ok(Class::Interactive),
        Some(b"background") => Ok(Class::Background),
        Some(_) => Err(Error::new(
            ErrorKind::UnsupportedValue,
            "header x-crucible-class must be interactive or background",
        )
        .param(X_CLASS.as_str())),
    }
}
