//! `/v1/embeddings` and `/v1/rerank` as llama-server b11549 answers them (tried): 501 where it was not
//! started for the task, 500 for a text longer than the physical batch, and no word about `dimensions`.

use serde_json::{Value, json};

use crate::generate::{embedding, tokens};
use crate::http::{self, Call, Reply};
use crate::llamacpp::{error, resolve};
use crate::sim::Core;
use crate::wire::read;

/// `-ub`, unless it is set.
const PHYSICAL_BATCH: u64 = 512;

/// An input: its text, or its tokens as they are written, and how many tokens it has.
type Input = (String, u64);

pub(super) fn embeddings(core: &Core, call: &Call) -> Reply {
    let name = call
        .json
        .as_ref()
        .and_then(|body| read::string(body, "model"));
    let model = resolve(core, name.unwrap_or_default());
    let Some(model) = model.filter(|model| model.embedding) else {
        let message = "This server does not support embeddings. Start it with `--embeddings`";
        return error(501, "not_supported_error", message);
    };
    let inputs = match inputs(call.get("input")) {
        Ok(inputs) => inputs,
        Err(message) => return error(400, "invalid_request_error", message),
    };
    if let Some((_, count)) = inputs.iter().find(|(_, count)| *count > PHYSICAL_BATCH) {
        let message = format!(
            "input ({count} tokens) is too large to process. increase the physical batch size \
             (current batch size: {PHYSICAL_BATCH})"
        );
        return error(500, "server_error", &message);
    }
    let count: u64 = inputs.iter().map(|(_, count)| count).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, (text, _))| {
            json!({"embedding": embedding(text, 8), "index": index, "object": "embedding"})
        })
        .collect();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    http::json(
        200,
        &json!({"model": model.name, "object": "list", "usage": usage, "data": data}),
    )
}

fn inputs(input: Option<&Value>) -> Result<Vec<Input>, &'static str> {
    const ELEMENTS: &str = "\"prompt\" elements must be a string, a list of tokens, a JSON object \
                            containing a prompt string, or a list of mixed strings & tokens.";
    let is_tokens = |list: &[Value]| !list.is_empty() && list.iter().all(Value::is_u64);
    let one = |input: &Value| match input {
        Value::String(text) if text.is_empty() => Err("Input content cannot be empty"),
        Value::String(text) => Ok((text.clone(), tokens(text))),
        Value::Array(list) if is_tokens(list) => Ok((input.to_string(), list.len() as u64)),
        _ => Err(ELEMENTS),
    };
    match input {
        None | Some(Value::Null) => Err("\"input\" or \"content\" must be provided"),
        Some(Value::Array(list)) if list.is_empty() => Err("\"input\" must not be empty"),
        Some(Value::Array(list)) if !is_tokens(list) => list.iter().map(one).collect(),
        Some(input) => Ok(vec![one(input)?]),
    }
}

/// The models whose names say so rank; the documents are texts, and the score is the number of words of
/// the query that a document has.
pub(super) fn rerank(core: &Core, call: &Call) -> Reply {
    let name = call
        .json
        .as_ref()
        .and_then(|body| read::string(body, "model"));
    let model = resolve(core, name.unwrap_or_default());
    let Some(model) = model.filter(|model| model.name.contains("rerank")) else {
        let message = "This server does not support reranking. Start it with `--reranking`";
        return error(501, "not_supported_error", message);
    };
    let Some(query) = call.get("query").and_then(Value::as_str) else {
        return error(400, "invalid_request_error", "\"query\" must be provided");
    };
    let documents = call.get("documents").and_then(Value::as_array);
    let texts: Option<Vec<&str>> =
        documents.and_then(|list| list.iter().map(Value::as_str).collect());
    let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
        let message = "\"documents\" must be a non-empty string array";
        return error(400, "invalid_request_error", message);
    };
    let score = |text: &str| {
        let words = query.split_whitespace().filter(|word| text.contains(word));
        i32::try_from(words.count()).unwrap_or(i32::MAX)
    };
    let results: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"index": index, "relevance_score": f64::from(score(text))}))
        .collect();
    let count: u64 = texts.iter().map(|text| tokens(text) + tokens(query)).sum();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    http::json(
        200,
        &json!({"model": model.name, "object": "list", "usage": usage, "results": results}),
    )
}
