//! Answers as HTTP: their status, their headers and the `x-crucible-*` fields that say how they
//! were made.

use std::{borrow::Cow, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
pub(crate) use crucible_documents::headers::{X_DEFAULTS, X_ENGINE, X_MODEL, X_NOTE, X_REASON};
use crucible_router::plan::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// The most headers that an answer to a prompt has, so that their map is allocated once.
const HEADERS: usize = 12;

/// Asks a proxy in front of Crucible to pass an answer on as it comes: nginx keeps it back until it
/// is whole, or its buffers are full, unless this header is there.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The headers that the script of an allowed page may read (CORS).
pub(crate) const EXPOSED: [HeaderName; 8] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    header::RETRY_AFTER,
    X_ENGINE,
    X_MODEL,
    X_REASON,
    X_DEFAULTS,
    X_NOTE,
];

/// The facts about an answer that its headers state.
pub(crate) struct AnswerHead {
    /// The name of the engine, for `x-crucible-engine`.
    pub(crate) engine: Arc<str>,
    /// The model that answers, for `x-crucible-model`.
    pub(crate) model: Arc<str>,
    /// The reason for which they were chosen, for `x-crucible-reason`.
    pub(crate) reason: Reason,
    /// The names of the values that were filled in, for `x-crucible-defaults`.
    pub(crate) defaults: Vec<&'static str>,
    /// Sentences on what was changed in the request, for `x-crucible-note`.
    pub(crate) notes: Vec<String>,
}

/// The most bytes of the sentences in [`X_NOTE`]: proxies refuse answers whose headers are larger than 4 or 8 KiB.
const LONGEST_NOTES: usize = 2048;

/// The words before and after the number of sentences that are left out of [`X_NOTE`].
const LEFT_OUT: [&str; 2] = ["; and ", " more"];

/// Adds sentences to [`X_NOTE`], after those that are there. Those that have no room are counted.
pub(crate) fn add_notes(headers: &mut HeaderMap, notes: &[String]) {
    let said = headers.get(&X_NOTE).and_then(|value| value.to_str().ok());
    let text = joined_notes(said.unwrap_or_default(), notes);
    // A model's name may hold what no header may.
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(X_NOTE, value);
    }
}

/// The sentences that were said and those that are added, as one text of at most [`LONGEST_NOTES`] and the number of
/// those that had no room in it.
fn joined_notes(said: &str, notes: &[String]) -> String {
    let counted = said.rsplit_once(LEFT_OUT[0]).and_then(|(before, count)| {
        let count: usize = count.strip_suffix(LEFT_OUT[1])?.parse().ok()?;
        Some((before, count))
    });
    let (said, mut left_out) = counted.unwrap_or((said, 0));
    let mut text = said.to_owned();
    for note in notes {
        let separator = if text.is_empty() { "" } else { "; " };
        if text.len() + separator.len() + note.len() > LONGEST_NOTES {
            left_out += 1;
            continue;
        }
        text.push_str(separator);
        text.push_str(note);
    }
    match (left_out, text.is_empty()) {
        (0, _) => text,
        (_, true) => format!("notes that are longer than a header: {left_out}"),
        (_, false) => format!("{text}{}{left_out}{}", LEFT_OUT[0], LEFT_OUT[1]),
    }
}

/// Marks an answer that comes bit by bit, so that no cache and no proxy keeps it back.
pub(crate) fn unbuffered(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// An error as an answer: its status and headers. The error rides along in the extensions, and the
/// stack writes the body from it in the client's format.
pub(crate) fn refuse(error: Error) -> Response {
    let mut response = typed("application/json", Body::empty());
    *response.status_mut() = error.status();
    if let Some(seconds) = error.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(
        error.kind,
        ErrorKind::BadRequest
            | ErrorKind::RequestTimeout
            | ErrorKind::BodyTooLarge
            | ErrorKind::Draining
            | ErrorKind::TooManyConnections
    ) {
        // What is left of the body must not be taken for the next request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if error.kind == ErrorKind::InvalidApiKey {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(error);
    response
}

/// An answer of status 200 with a JSON body.
pub(crate) fn json(value: &Value) -> Response {
    typed("application/json", value.to_string())
}

/// An answer of status 200 with a document as its JSON body.
pub(crate) fn document(document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(text) => typed("application/json", text),
        Err(error) => refuse(Error::new(ErrorKind::Internal, error.to_string())),
    }
}

/// An answer of status 200 with a body of this media type.
pub(crate) fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

// === impl AnswerHead ===

impl AnswerHead {
    /// The answer as a stream of this media type.
    pub(crate) fn stream(&self, media_type: &'static str, body: Body) -> Response {
        let mut response = self.answer(media_type, body);
        unbuffered(response.headers_mut());
        response
    }

    /// The answer as one JSON document.
    pub(crate) fn whole(&self, body: Bytes) -> Response {
        self.answer("application/json", body.into())
    }

    fn answer(&self, content_type: &'static str, body: Body) -> Response {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(X_REASON, HeaderValue::from_static(self.reason.as_str()));
        let mut insert = |name: HeaderName, text: Cow<'_, str>| {
            // A model's name may hold what no header may; the answer is worth more than the header.
            let value = match text {
                Cow::Borrowed(text) => HeaderValue::from_str(text),
                Cow::Owned(text) => HeaderValue::try_from(text),
            };
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        };
        insert(X_ENGINE, Cow::Borrowed(&self.engine));
        insert(X_MODEL, Cow::Borrowed(&self.model));
        if !self.defaults.is_empty() {
            insert(X_DEFAULTS, Cow::Owned(self.defaults.join(",")));
        }
        if !self.notes.is_empty() {
            insert(X_NOTE, Cow::Owned(joined_notes("", &self.notes)));
        }
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

/// The beginning of a path or a name without control characters, fit to be echoed.
pub(crate) fn printable(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// The answer of a handler, which is that of [`refuse`] for an error.
pub(crate) fn or_refuse(result: Result<Response, Error>) -> Response {
    result.unwrap_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_a_bound_and_those_beyond_it_are_counted() {
        let note = |length: usize| "x".repeat(length);
        let mut headers = HeaderMap::new();
        add_notes(&mut headers, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(headers[&X_NOTE], "a; b");
        add_notes(&mut headers, &[note(1500), note(1000), "c".to_owned()]);
        let said = headers[&X_NOTE].to_str().unwrap().to_owned();
        assert!(
            said.starts_with("a; b; x") && said.ends_with("x; c; and 1 more"),
            "{said}"
        );
        add_notes(&mut headers, &[note(600), "d".to_owned()]);
        let said = headers[&X_NOTE].to_str().unwrap();
        assert!(said.ends_with("; c; d; and 2 more"), "{said}");
        assert!(said.len() < LONGEST_NOTES + 32);
        assert_eq!(
            joined_notes("", &[note(3000)]),
            "notes that are longer than a header: 1"
        );
    }
}
