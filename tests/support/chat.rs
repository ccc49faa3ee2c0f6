//! Asking for a chat completion, and what came back.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::{engines::client, process::Crucible, sse::Stream};

/// An answer that was not streamed.
#[derive(Debug)]
pub struct Whole {
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The JSON body, or null with `text`.
    pub json: Value,
    /// The body of the answer as text.
    pub text: String,
}

impl Whole {
    /// A header as text, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// Returns the text that the model said.
    pub fn content(&self) -> &str {
        self.json["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_default()
    }

    /// Returns `error.code` of the answer.
    pub fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    /// `error.message`, or `error` itself where Ollama's form has the text there.
    pub fn message(&self) -> &str {
        let error = &self.json["error"];
        let text = error.as_str().or_else(|| error["message"].as_str());
        text.unwrap_or_default()
    }
}

/// A header as text, empty if absent.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A request with one user message.
pub fn body(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }] })
}

/// Sends a body to chat completions.
///
/// # Panics
/// If there is no answer.
pub async fn post(crucible: &Crucible, body: &Value) -> Whole {
    let response = send(crucible, body).await;
    whole(response).await
}

/// Sends a body to a path and reads the whole answer.
///
/// # Panics
/// If there is none.
pub async fn post_to(crucible: &Crucible, path: &str, body: &Value) -> Whole {
    let request = client().post(crucible.at(path)).json(body);
    whole(request.send().await.expect("an answer")).await
}

/// Sends raw bytes to chat completions.
///
/// # Panics
/// If there is no answer.
pub async fn post_raw(crucible: &Crucible, body: impl Into<reqwest::Body>) -> Whole {
    let response = client()
        .post(crucible.at("/v1/chat/completions"))
        .body(body)
        .send()
        .await
        .expect("an answer");
    whole(response).await
}

/// Gets a path.
///
/// # Panics
/// If there is no answer.
pub async fn get(crucible: &Crucible, path: &str) -> Whole {
    let response = client().get(crucible.at(path)).send().await;
    whole(response.expect("an answer")).await
}

/// Reads a whole answer.
///
/// # Panics
/// If its body breaks.
pub async fn whole(response: reqwest::Response) -> Whole {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.expect("a whole body");
    Whole {
        status,
        headers,
        json: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// Sends a body with `stream: true` and returns once headers are there.
///
/// # Panics
/// If there is no answer.
pub async fn open(crucible: &Crucible, body: &Value) -> reqwest::Response {
    let mut body = body.clone();
    body["stream"] = true.into();
    send(crucible, &body).await
}

/// Streams an answer to its end: headers and events.
pub async fn stream(crucible: &Crucible, body: &Value) -> (HeaderMap, Stream) {
    let response = open(crucible, body).await;
    let headers = response.headers().clone();
    (headers, Stream::read(response).await)
}

/// Sends a body as the program of that name: to Crucible, another client.
///
/// # Panics
/// If there is no answer.
pub async fn post_as(crucible: &Crucible, program: &str, body: &Value) -> Whole {
    let response = client()
        .post(crucible.at("/v1/chat/completions"))
        .header(http::header::USER_AGENT, format!("{program}/1.0"))
        .json(body)
        .send()
        .await
        .expect("an answer");
    whole(response).await
}

async fn send(crucible: &Crucible, body: &Value) -> reqwest::Response {
    client()
        .post(crucible.at("/v1/chat/completions"))
        .json(body)
        .send()
        .await
        .expect("an answer")
}
