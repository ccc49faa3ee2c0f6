//! Vectors in Ollama's forms, made of a list in OpenAI's. The numbers keep the text of the engine.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer_end::{AnswerClock, count, duration};
use crate::error::{Error, ErrorKind, UpstreamError};

/// A list of vectors in OpenAI's form.
#[derive(Deserialize)]
struct VectorList<'a> {
    #[serde(borrow)]
    data: Vec<VectorElement<'a>>,
    #[serde(default)]
    usage: Option<VectorUsage>,
}

#[derive(Deserialize)]
struct VectorElement<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct VectorUsage {
    #[serde(default)]
    prompt_tokens: u64,
}

/// Writes the answer of `/api/embed`; `model` is the JSON of the client's name.
///
/// # Errors
/// The document is no list of vectors.
pub(in crate::dialect::ollama) fn list(
    document: &str,
    model: &str,
    clock: &AnswerClock,
) -> Result<String, Error> {
    let list = read(document)?;
    let mut out = format!(r#"{{"model":{model},"embeddings":["#);
    for (at, element) in list.data.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(element.embedding.get());
    }
    out.push(']');
    duration("total_duration", Some(clock.total()), &mut out);
    let tokens = list.usage.unwrap_or_default().prompt_tokens;
    count("prompt_eval_count", tokens, &mut out);
    out.push('}');
    Ok(out)
}

/// Writes the answer of `/api/embeddings`, which has one vector.
///
/// # Errors
/// The document is no list of vectors.
pub(in crate::dialect::ollama) fn single(document: &str) -> Result<String, Error> {
    let list = read(document)?;
    let vector = list.data.first().ok_or_else(no_vectors)?.embedding.get();
    Ok(format!(r#"{{"embedding":{vector}}}"#))
}

fn read(document: &str) -> Result<VectorList<'_>, Error> {
    serde_json::from_str(document).map_err(|_| no_vectors())
}

fn no_vectors() -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine's answer holds no vectors",
    )
    .upstream(UpstreamError::BadJson)
}
