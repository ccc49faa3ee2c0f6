//! Error forms. Ollama 0.33.0-rc2: native `{"error": text}`, wrapped on `/v1` (openai/openai.go
//! `NewError`).

use serde_json::json;

use crate::http::{self, Reply};

pub(crate) fn native(status: u16, message: &str) -> Reply {
    http::json(status, &json!({"error": message}))
}

pub(crate) fn openai(status: u16, message: &str) -> Reply {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    http::json(
        status,
        &json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
    )
}

/// A refusal before its form is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn reply(&self, v1: bool) -> Reply {
        if v1 {
            openai(self.status, &self.message)
        } else {
            native(self.status, &self.message)
        }
    }
}
