//! The signs of an error inside an answer or event that calls itself a success.

use http::StatusCode;
use serde_json::Value;

/// Returns the one member of a list of one, else the value itself: Google's API puts its errors into
/// such a list.
pub(super) fn single(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => value,
    }
}

/// Reports whether `error` says something, or the object calls itself an error (vLLM before 0.10). An
/// empty `error` beside choices says that there is none.
pub(super) fn is_error(value: &Value) -> bool {
    let answers = || value["choices"].as_array().is_some_and(|c| !c.is_empty());
    let says = match value.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) if text.is_empty() => !answers(),
        Some(Value::Object(map)) if map.is_empty() => !answers(),
        Some(_) => true,
    };
    says || value["object"] == "error"
}

/// Returns the status that an error in a 200 gives itself: a number, or 400 for a type that blames the
/// request.
pub(super) fn stated_status(value: &Value) -> Option<StatusCode> {
    let inner = &value["error"];
    let number = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
        (status.is_client_error() || status.is_server_error()).then_some(status)
    };
    let numbers = [
        &inner["code"],
        &inner["status"],
        &value["code"],
        &value["status"],
    ];
    if let Some(status) = numbers.into_iter().find_map(number) {
        return Some(status);
    }
    let kinds = [&inner["type"], &value["type"]];
    kinds
        .iter()
        .filter_map(|kind| kind.as_str())
        .any(|kind| {
            matches!(
                kind,
                "invalid_request_error" | "invalid_request" | "BadRequestError"
            )
        })
        .then_some(StatusCode::BAD_REQUEST)
}
