//! One request in a client's format, as the proof that what it was given leads to an answer.

use std::time::{Duration, Instant};

use crucible_documents::headers::{X_ENGINE, X_MODEL};
use serde_json::{Value, json};

use super::{client_program::ClientFormat, client_settings::ClientSettings};

/// The longest wait: the model may have to be loaded first.
const PATIENCE: Duration = Duration::from_secs(600);

/// The most tokens that the answer may have.
const ANSWER_TOKENS: u32 = 16;

/// The question.
const QUESTION: &str = "Say hi.";

/// An answer that came.
#[derive(Debug)]
pub(super) struct VerifiedAnswer {
    /// The engine and model that answered, as Crucible's headers say.
    pub(super) by: String,
    /// The time from the request to the whole answer.
    pub(super) took: Duration,
}

/// Asks for a short answer.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn ask(
    format: ClientFormat,
    settings: &ClientSettings,
) -> Result<VerifiedAnswer, String> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .user_agent("crucible-connect")
        .build()
        .map_err(|error| error.to_string())?;
    let began = Instant::now();
    let url = format!("{}{}", settings.url, format.path());
    let mut request = http
        .post(&url)
        .json(&question(format, &settings.model.name));
    if format == ClientFormat::Messages {
        request = request.header("anthropic-version", "2023-06-01");
    }
    if let Some(key) = &settings.key {
        request = request.bearer_auth(key);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    let status = answer.status();
    let headers = answer.headers().clone();
    let body = answer
        .bytes()
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        return Err(format!("{url} answered {status}: {}", refusal(&body)));
    }
    if !is_answer(format, &body) {
        return Err(format!(
            "{url} answered {status}, but not in the format of {}",
            format.path()
        ));
    }
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let by = match (said(X_ENGINE.as_str()), said(X_MODEL.as_str())) {
        (Some(engine), Some(model)) => format!("{model} on {engine}"),
        _ => settings.model.name.clone(),
    };
    Ok(VerifiedAnswer {
        by,
        took: began.elapsed(),
    })
}

fn question(format: ClientFormat, model: &str) -> Value {
    let messages = json!([{ "role": "user", "content": QUESTION }]);
    match format {
        ClientFormat::Chat | ClientFormat::Messages => {
            json!({ "model": model, "messages": messages, "max_tokens": ANSWER_TOKENS })
        }
        ClientFormat::Responses => {
            json!({ "model": model, "input": QUESTION, "max_output_tokens": ANSWER_TOKENS })
        }
        ClientFormat::Ollama => json!({
            "model": model,
            "messages": messages,
            "stream": false,
            "options": { "num_predict": ANSWER_TOKENS },
        }),
    }
}

/// The words of an error in any of the formats.
fn refusal(body: &Value) -> String {
    let error = &body["error"];
    let words = error.as_str().or_else(|| error["message"].as_str());
    words.unwrap_or("without words").to_owned()
}

fn is_answer(format: ClientFormat, body: &Value) -> bool {
    match format {
        ClientFormat::Chat => body["choices"].is_array(),
        ClientFormat::Responses => body["output"].is_array(),
        ClientFormat::Messages => body["content"].is_array(),
        ClientFormat::Ollama => body["message"].is_object(),
    }
}
