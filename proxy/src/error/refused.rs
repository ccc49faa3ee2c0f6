//! The router's refusals as errors for clients.

use std::fmt::Write as _;

use crucible_router::refusal::{Refusal, how_to_eject};

use super::{Error, ErrorKind, context_length::TooMuch};

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let text = message(&refusal);
        match refusal {
            Refusal::UnknownModel { .. } => {
                Self::new(ErrorKind::ModelNotFound, text).param("model")
            }
            Refusal::ModelMissing { .. } => Self::new(ErrorKind::ModelNotFound, text)
                .param("model")
                .not_loaded(),
            Refusal::Incapable { needs, model } => incapable(&text, needs, &model),
            Refusal::ContextExceeded {
                prompt,
                reserve,
                limit,
                bound,
                ..
            } => TooMuch {
                limit: Some(limit),
                prompt,
                completion: reserve,
            }
            .error(&bound.to_string()),
            Refusal::NoEngine { retry_after, .. } => {
                Self::new(ErrorKind::NoEngine, text).retry_after(retry_after)
            }
            Refusal::QueueFull { retry_after, .. } => {
                Self::new(ErrorKind::QueueFull, text).retry_after(retry_after)
            }
            Refusal::QueueTimeout { retry_after, .. }
            | Refusal::ForeignBusy { retry_after, .. } => {
                Self::new(ErrorKind::QueueTimeout, text).retry_after(retry_after)
            }
            Refusal::LoadFailed { retry_after, .. }
            | Refusal::Blocked { retry_after, .. }
            | Refusal::NoRoomForEmbedding { retry_after, .. } => {
                Self::new(ErrorKind::LoadFailed, text).retry_after(retry_after)
            }
            Refusal::LoadTimeout { .. } => Self::new(ErrorKind::LoadTimeout, text),
            Refusal::Superseded => Self::new(ErrorKind::Superseded, text),
            Refusal::Draining => Self::new(ErrorKind::Draining, text).retry_after(5),
        }
    }
}

/// The sentence of a refusal, with what a client or its operator can do about it.
fn message(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    match refusal {
        Refusal::UnknownModel {
            nearest,
            hint,
            alias_of,
            closed,
            ..
        } => text + &unknown(nearest, hint, alias_of.as_deref(), closed),
        Refusal::NoEngine { detail, .. } => format!("{text}: {detail}"),
        Refusal::QueueTimeout { waited, .. } => format!("{text} ({} s)", waited.as_secs()),
        Refusal::ForeignBusy {
            kind,
            instance,
            waited,
            ..
        } => format!(
            "{text} ({} s); a person or another program loaded it: {}, and Crucible loads it with \
             more",
            waited.as_secs(),
            how_to_eject(*kind, instance)
        ),
        Refusal::Blocked { .. } => {
            format!("{text}; unload it, or set `scheduler.evict_foreign = true`")
        }
        Refusal::NoRoomForEmbedding { .. } => format!(
            "{text}; raise the budget of that pool, or have the same model on an engine of another \
             pool, such as an Ollama on the processor"
        ),
        Refusal::LoadTimeout { .. } => {
            format!("{text}; raise timeouts.load, or take a smaller model")
        }
        Refusal::Draining => "Crucible is shutting down".to_owned(),
        Refusal::ModelMissing { .. }
        | Refusal::Incapable { .. }
        | Refusal::ContextExceeded { .. }
        | Refusal::QueueFull { .. }
        | Refusal::LoadFailed { .. }
        | Refusal::Superseded => text,
    }
}

/// The error of a model that cannot do what the request needs.
fn incapable(text: &str, needs: &str, model: &str) -> Error {
    let text = match needs {
        "embeddings" => format!(
            "'{model}' makes no embeddings; ask for an embedding model, GET /v1/models lists what there \
             is"
        ),
        "generation" => format!(
            "'{model}' is an embedding model and answers no prompts; ask for a model that does, GET \
             /v1/models lists what there is"
        ),
        _ => format!("{text}; ask for a model that can, or leave them out"),
    };
    Error::new(ErrorKind::UnsupportedValue, text).param(match needs {
        "tools" => "tools",
        "images" => "messages",
        _ => "model",
    })
}

/// The message about a name that no engine has.
fn unknown(nearest: &[String], hint: &str, alias_of: Option<&str>, closed: &str) -> String {
    let mut message = String::new();
    if let Some(target) = alias_of {
        // Writing to a String cannot fail.
        let _ = write!(
            message,
            ": it is an alias of '{target}', which no engine has; get that model, or correct the name \
             of its [[model]] block"
        );
    }
    if !closed.is_empty() {
        message.push_str("; ");
        message.push_str(closed);
    }
    if nearest.is_empty() {
        message.push_str("; GET /v1/models lists what there is");
    } else {
        message.push_str("; nearest: ");
        message.push_str(&nearest.join(", "));
    }
    if !hint.is_empty() {
        message.push_str("; to map it, in crucible.toml:\n");
        message.push_str(hint);
    }
    message
}
