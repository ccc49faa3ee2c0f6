//! The kind of an engine's error, by its words first and its status second: engines give nearly any
//! status to nearly any failure.

use crucible_config::checked::EngineKind;
use http::StatusCode;

use super::{
    overflow::overflow,
    own_fault::OwnFault,
    unservable::{UnservableRequest, unservable},
};
use crate::error::{Error, ErrorKind};

/// The number of characters of an engine's message that a client gets at most.
const MOST_CHARACTERS: usize = 2000;

/// Words of a load that failed, in lower case.
const LOAD_FAILED: &[&str] = &[
    "model_load_failed",
    "failed to load model",
    "error loading model",
    "unable to load model",
    "llama-server process has terminated",
    "timed out waiting for llama-server",
    "llama runner process has terminated",
    "requires more system memory",
    "no models loaded",
];

/// Returns the error for an answer of this status whose message was lifted out of the raw text.
pub(super) fn classify(kind: EngineKind, status: StatusCode, message: &str, raw: &str) -> Error {
    let lower = format!("{message}\n{raw}").to_lowercase();
    let said = if message.is_empty() {
        format!("the engine answered {} without a text", status.as_u16())
    } else {
        message.chars().take(MOST_CHARACTERS).collect()
    };
    let request_fault = (!matches!(status.as_u16(), 401 | 403 | 429 | 503))
        .then(|| unservable(&lower))
        .flatten();
    // Errors of a request quote what the client wrote, which comes after their own words.
    let quoted = |at: usize| request_fault.is_some_and(|(_, fault_at)| fault_at < at);
    if let Some((overflow, at)) = overflow(&lower)
        && !quoted(at)
    {
        let mut error = Error::new(ErrorKind::ContextLengthExceeded, said).param("messages");
        error.overflow = Some(overflow);
        return error;
    }
    // Before the rest, for the same reason.
    if let Some((fault, _)) = request_fault {
        return refused_request(fault, status, &said);
    }
    let own_fault = OwnFault::of(&lower);
    match of_model(&lower, status, own_fault) {
        Some(ModelFault::Unknown) => Error::new(ErrorKind::ModelNotFound, said)
            .param("model")
            .not_loaded(),
        Some(ModelFault::LoadFailed) => Error::new(ErrorKind::LoadFailed, said)
            .retry_after(5)
            .not_loaded(),
        Some(ModelFault::NotLoaded) => Error::new(ErrorKind::EngineError, said).not_loaded(),
        None => by_status(kind, status, said, own_fault.is_some()),
    }
}

/// Reports whether lower-cased words are known for those of an error, wherever they stand.
pub(super) fn says_an_error(lower: &str) -> bool {
    overflow(lower).is_some() || OwnFault::of(lower).is_some() || has(lower, LOAD_FAILED)
}

fn has(lower: &str, texts: &[&str]) -> bool {
    texts.iter().any(|text| lower.contains(text))
}

/// The error of a request that no engine of this kind can serve.
fn refused_request(fault: &UnservableRequest, status: StatusCode, said: &str) -> Error {
    let mut error = Error::new(ErrorKind::EngineRejected, format!("{}: {said}", fault.says));
    error.param = fault.param.map(str::to_owned);
    error.engine_status = Some(status).filter(StatusCode::is_client_error);
    error
}

/// A failure of the model that was asked for.
enum ModelFault {
    /// The engine does not know the model, although only models that it lists are asked for.
    Unknown,
    /// The model could not be loaded, although only models that were loaded are asked for.
    LoadFailed,
    /// The model was loaded and is not any more.
    NotLoaded,
}

fn of_model(lower: &str, status: StatusCode, own_fault: Option<OwnFault>) -> Option<ModelFault> {
    let unknown = has(lower, &["not found", "not_found", "does not exist"]);
    if unknown && lower.contains("model") && status.is_client_error() {
        return Some(ModelFault::Unknown);
    }
    if has(lower, LOAD_FAILED) {
        return Some(ModelFault::LoadFailed);
    }
    (own_fault == Some(OwnFault::NotLoaded)).then_some(ModelFault::NotLoaded)
}

/// The error where only the status says something.
fn by_status(kind: EngineKind, status: StatusCode, said: String, is_own_fault: bool) -> Error {
    match status.as_u16() {
        // Its own limit, whoever met it.
        429 => {
            let mut error = Error::new(ErrorKind::QueueFull, said).retry_after(1);
            error.spared = true;
            error
        }
        // Such as Ollama's "server busy": its queue is full, which is not this client's fault.
        503 => Error::new(ErrorKind::NoEngine, said).retry_after(kind.profile().busy_retry_after),
        401 | 403 => Error::new(ErrorKind::EngineError, refused_access(kind, &said)),
        400..=499 if !is_own_fault => {
            let mut error = Error::new(ErrorKind::EngineRejected, said);
            error.engine_status = Some(status);
            error
        }
        // "Not implemented": llama.cpp's word for what it was not started for.
        501 => Error::new(ErrorKind::EngineRejected, said),
        _ => Error::new(ErrorKind::EngineError, said),
    }
}

/// The words for a refused token. It comes from the configuration, so a client cannot mend it.
fn refused_access(kind: EngineKind, said: &str) -> String {
    match kind.profile().token_variable {
        Some(name) => format!(
            "the engine refused Crucible's access: {said}; put its token into the \
                     environment variable {name} of Crucible, or into another one that api_key_env \
                     of this engine names"
        ),
        None => format!(
            "the engine refused Crucible's access: {said}; put its token into an \
                     environment variable of Crucible, and the variable's name into api_key_env of \
                     this engine"
        ),
    }
}
