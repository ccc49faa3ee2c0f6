use std::collections::HashSet;

use crucible_router::refusal::Refusal;

use super::*;

#[test]
fn every_kind_has_the_status_and_type_of_the_surface() {
    for (kind, status, error_type) in [
        (Kind::InvalidJson, 400, "invalid_request_error"),
        (Kind::InvalidType, 400, "invalid_request_error"),
        (Kind::DuplicateKey, 400, "invalid_request_error"),
        (Kind::MissingField, 400, "invalid_request_error"),
        (Kind::UnsupportedValue, 400, "invalid_request_error"),
        (Kind::BadRequest, 400, "invalid_request_error"),
        (Kind::RequestTimeout, 408, "invalid_request_error"),
        (Kind::ContextLengthExceeded, 400, "invalid_request_error"),
        (Kind::InvalidApiKey, 401, "authentication_error"),
        (Kind::HostNotAllowed, 403, "permission_error"),
        (Kind::OriginNotAllowed, 403, "permission_error"),
        (Kind::EndpointClosed, 403, "permission_error"),
        (Kind::ModelNotFound, 404, "not_found_error"),
        (Kind::UnknownEndpoint, 404, "not_found_error"),
        (Kind::MethodNotAllowed, 405, "not_found_error"),
        (Kind::BodyTooLarge, 413, "invalid_request_error"),
        (Kind::HeadersTooLarge, 431, "invalid_request_error"),
        (Kind::QueueFull, 429, "rate_limit_error"),
        (Kind::Superseded, 409, "invalid_request_error"),
        (Kind::RateLimited, 429, "rate_limit_error"),
        (Kind::EngineUnreachable, 502, "api_error"),
        (Kind::EngineError, 502, "api_error"),
        (Kind::EngineCut, 502, "api_error"),
        (Kind::QueueTimeout, 503, "api_error"),
        (Kind::Draining, 503, "api_error"),
        (Kind::TooManyConnections, 503, "api_error"),
        (Kind::NoEngine, 503, "api_error"),
        (Kind::LoadFailed, 503, "api_error"),
        (Kind::LoadTimeout, 504, "api_error"),
        (Kind::FirstTokenTimeout, 504, "api_error"),
        (Kind::IdleTimeout, 504, "api_error"),
        (Kind::ResponseTimeout, 504, "api_error"),
    ] {
        assert_eq!(kind.status(), status, "{kind:?}");
        assert_eq!(kind.error_type(), error_type, "{kind:?}");
    }
}

#[test]
fn codes_are_lower_case_words_and_all_kinds_are_listed() {
    let listed: HashSet<Kind> = Kind::ALL.into_iter().collect();
    assert_eq!(listed.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert!(
            kind.code()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{kind:?}"
        );
    }
}

#[test]
fn the_wire_form_is_openais() {
    let error = Error::new(Kind::QueueFull, "full").retry_after(90);
    assert_eq!(
        error.to_openai().to_string(),
        r#"{"error":{"message":"full","type":"rate_limit_error","param":null,"code":"queue_full","retry_after":60}}"#
    );
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_and_the_line_that_maps_it() {
    let error = Error::from(Refusal::UnknownModel {
        name: "gpt-4o".into(),
        nearest: vec!["qwen".into()],
        hint: "[[model]]\nname = \"qwen\"\naliases = [\"gpt-4o\"]".into(),
        alias_of: None,
        closed: String::new(),
    });
    assert_eq!(error.status(), 404);
    assert_eq!(error.param.as_deref(), Some("model"));
    assert_eq!(
        error.message,
        "unknown model 'gpt-4o'; nearest: qwen; to map it, in crucible.toml:\n[[model]]\nname = \"qwen\"\naliases = [\"gpt-4o\"]"
    );
}
