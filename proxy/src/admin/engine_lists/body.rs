//! The bodies of requests that name a model and ask it nothing.

use axum::body::Body;
use bytes::Bytes;
use crucible_config::Config;
use http::HeaderMap;
use serde_json::Value;

use crate::{
    body::decode,
    error::{Error, ErrorKind},
    request::{ActiveRequest, waits},
};

/// The body of a request of Ollama's API, which is an object whatever its content type says.
pub(super) async fn received(
    active: &ActiveRequest,
    headers: &HeaderMap,
    body: Body,
    config: &Config,
) -> Result<Value, Error> {
    let received = decode::receive(headers, body, config);
    let body: Bytes = waits::for_body(active, received).await?;
    if body.trim_ascii().is_empty() {
        return Err(Error::new(ErrorKind::InvalidJson, "missing request body"));
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Error::new(
            ErrorKind::InvalidJson,
            format!("the body is not JSON: {error}"),
        )
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        let message = "the body is not an object; {\"model\": \"NAME\"} is";
        Err(Error::new(ErrorKind::InvalidType, message))
    }
}

/// The model that a body names: `model`, or the older `name`.
pub(super) fn model_of(body: &Value) -> Result<String, Error> {
    let named = ["model", "name"].map(|key| body.get(key).filter(|value| !value.is_null()));
    for value in named.into_iter().flatten() {
        match value {
            Value::String(name) if name.is_empty() => {}
            Value::String(name) => return Ok(name.clone()),
            other => {
                let message = format!("model is to be a text, and is {}", kind_of(other));
                return Err(Error::new(ErrorKind::InvalidType, message));
            }
        }
    }
    Err(Error::new(ErrorKind::MissingField, "model is required"))
}

/// Whether a body asks for a long description.
pub(super) fn is_verbose(body: &Value) -> Result<bool, Error> {
    match body.get("verbose") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(verbose)) => Ok(*verbose),
        Some(other) => {
            let message = format!("verbose is to be a boolean, and is {}", kind_of(other));
            Err(Error::new(ErrorKind::InvalidType, message))
        }
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
