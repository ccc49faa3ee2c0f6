//! Documents that are ranked by their relevance for a query, in the form that Jina's API gave the task
//! and that llama.cpp's server (b11549), vLLM and others have under `/v1/rerank`.

use std::cmp::Ordering;

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde::Deserialize as _;
use serde_json::{Value, value::RawValue};

use super::{
    document::{AnswerDocument, DocumentReader},
    engine_error::error_in_success,
};
use crate::{
    body::peek::found,
    dialect::chat::{
        ChatRequest,
        field_error::{invalid_type, missing, unsupported},
    },
    error::{Error, ErrorKind, UpstreamError},
    usage::{LlamaTimings, ReportedObject, Usage},
};

/// The members of a rerank request that Crucible reads.
#[derive(Debug)]
pub(crate) struct RerankRequest {
    /// The documents as plain texts, as JSON; `None` where they are plain texts already.
    pub(crate) plain_documents: Option<String>,
    /// The number of documents.
    count: usize,
    /// The number of results that the client wants.
    top: Option<usize>,
}

/// Reads a ranking: it puts the results into order and keeps as many as were asked for.
#[derive(Debug)]
pub(crate) struct RankingReader {
    kind: EngineKind,
    request: RerankRequest,
}

// === impl RerankRequest ===

impl RerankRequest {
    /// Reads the query and the documents, which are texts or objects with a `text`.
    ///
    /// # Errors
    /// `missing_field`, `invalid_type` and `unsupported_value`, each with the path of the field.
    pub(crate) fn read(request: &ChatRequest) -> Result<Self, Error> {
        let ChatRequest { body, peek, .. } = request;
        let query = peek.typed::<String>(body, "query", "a string")?;
        if query.ok_or_else(|| missing("query"))?.is_empty() {
            return Err(unsupported("query", "`query` must not be empty"));
        }
        let raw = peek
            .raw(body, "documents")
            .ok_or_else(|| missing("documents"))?;
        let list: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| {
            invalid_type(
                "documents",
                "a list of strings or of objects with a `text`",
                found(raw),
            )
        })?;
        if list.is_empty() {
            return Err(unsupported(
                "documents",
                "`documents` must not be an empty list",
            ));
        }
        let top = peek.typed::<u64>(body, "top_n", "a whole number of at least 1")?;
        if top == Some(0) {
            return Err(unsupported("top_n", "`top_n` must be at least 1"));
        }
        let mut texts = Vec::with_capacity(list.len());
        let mut has_objects = false;
        for (at, document) in list.iter().map(|raw| raw.get()).enumerate() {
            if document.starts_with('"') {
                texts.push(document.to_owned());
                continue;
            }
            let object = serde_json::from_str::<Value>(document).unwrap_or_default();
            let text = object.get("text").filter(|text| text.is_string());
            let path = format!("documents[{at}]");
            let expected = "a string, or an object with a string `text`";
            let text = text.ok_or_else(|| invalid_type(&path, expected, found(document)))?;
            texts.push(text.to_string());
            has_objects = true;
        }
        Ok(Self {
            plain_documents: has_objects.then(|| format!("[{}]", texts.join(","))),
            count: texts.len(),
            top: top.and_then(|top| usize::try_from(top).ok()),
        })
    }
}

// === impl RankingReader ===

impl RankingReader {
    /// Makes a reader for the answer of an engine of this kind.
    pub(crate) const fn new(kind: EngineKind, request: RerankRequest) -> Self {
        Self { kind, request }
    }
}

impl DocumentReader for RankingReader {
    fn read(self: Box<Self>, document: &Bytes) -> Result<AnswerDocument, Error> {
        if let Some(error) = error_in_success(self.kind, document) {
            return Err(error);
        }
        let mut answer = serde_json::from_slice::<Value>(document).unwrap_or_default();
        let Some(results) = answer.get_mut("results").and_then(Value::as_array_mut) else {
            return Err(bad("the engine's answer has no `results`"));
        };
        let is_good = |result: &Value| {
            let index = result["index"].as_u64();
            let inside = index.is_some_and(|index| index < self.request.count as u64);
            inside && result["relevance_score"].is_number()
        };
        if results.is_empty() || !results.iter().all(is_good) {
            return Err(bad("the engine's `results` do not rank the documents"));
        }
        let score = |result: &Value| result["relevance_score"].as_f64().unwrap_or(f64::MIN);
        results.sort_by(|a, b| score(b).partial_cmp(&score(a)).unwrap_or(Ordering::Equal));
        results.truncate(self.request.top.unwrap_or(usize::MAX));
        let counts = ReportedObject::deserialize(&answer["usage"]).unwrap_or_default();
        let usage = Usage::of_openai(&counts.0, &LlamaTimings::default());
        let model = answer["model"].as_str().map(str::to_owned);
        Ok(AnswerDocument {
            body: answer.to_string().into(),
            usage,
            model,
        })
    }

    fn refused(&self, mut error: Error) -> Error {
        if error.kind == ErrorKind::ContextLengthExceeded {
            error.overflow = None;
            error = error.param("documents");
        }
        error
    }
}

fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::EngineError, message).upstream(UpstreamError::BadJson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{chat::RequestTask, engine::testing::request};

    fn read(members: &str) -> Result<RerankRequest, Error> {
        RerankRequest::read(&request(RequestTask::Rerank, members))
    }

    #[test]
    fn documents_are_texts_or_objects_with_a_text() {
        let plain = read(r#""query":"q","documents":["a","b"]"#).unwrap();
        assert_eq!((plain.plain_documents, plain.count), (None, 2));
        let objects = read(r#""query":"q","documents":["a",{"text":"b","x":1}]"#).unwrap();
        assert_eq!(objects.plain_documents.as_deref(), Some(r#"["a","b"]"#));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (members, kind, param) in [
            (r#""documents":["a"]"#, ErrorKind::MissingField, "query"),
            (
                r#""query":7,"documents":["a"]"#,
                ErrorKind::InvalidType,
                "query",
            ),
            (
                r#""query":"","documents":["a"]"#,
                ErrorKind::UnsupportedValue,
                "query",
            ),
            (r#""query":"q""#, ErrorKind::MissingField, "documents"),
            (
                r#""query":"q","documents":"a""#,
                ErrorKind::InvalidType,
                "documents",
            ),
            (
                r#""query":"q","documents":[]"#,
                ErrorKind::UnsupportedValue,
                "documents",
            ),
            (
                r#""query":"q","documents":["a",7]"#,
                ErrorKind::InvalidType,
                "documents[1]",
            ),
            (
                r#""query":"q","documents":[{"x":1}]"#,
                ErrorKind::InvalidType,
                "documents[0]",
            ),
            (
                r#""query":"q","documents":["a"],"top_n":0"#,
                ErrorKind::UnsupportedValue,
                "top_n",
            ),
            (
                r#""query":"q","documents":["a"],"top_n":"1""#,
                ErrorKind::InvalidType,
                "top_n",
            ),
        ] {
            let error = read(members).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (kind, Some(param)),
                "{members}"
            );
        }
    }

    #[test]
    fn a_ranking_is_in_order_and_as_long_as_was_asked() {
        let answer = |members: &str, answer: &'static str| {
            let request = read(members).unwrap();
            let reader = Box::new(RankingReader::new(EngineKind::Llamacpp, request));
            reader.read(&Bytes::from_static(answer.as_bytes()))
        };
        let two = r#""query":"q","documents":["a","b"]"#;
        let told = r#"{"model":"r","results":[{"index":0,"relevance_score":-3.5},{"index":1,"relevance_score":0.9}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
        let whole = answer(two, told).unwrap();
        assert_eq!(
            (whole.usage.unwrap().prompt, whole.model.as_deref()),
            (8, Some("r"))
        );
        assert_eq!(
            whole.body,
            r#"{"model":"r","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":-3.5}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#
        );
        let one = answer(&format!(r#"{two},"top_n":1"#), told).unwrap();
        assert!(!String::from_utf8_lossy(&one.body).contains("-3.5"));
        for bad in [
            r#"{"results":[]}"#,
            r#"{"results":[{"index":2,"relevance_score":1}]}"#,
            r#"{"results":[{"index":0}]}"#,
            "{}",
            "",
        ] {
            assert_eq!(
                answer(two, bad).unwrap_err().kind,
                ErrorKind::EngineError,
                "{bad}"
            );
        }
    }
}
