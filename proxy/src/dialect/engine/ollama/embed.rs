//! Texts to be embedded, for Ollama's `/api/embed` (0.33).
//!
//! Its OpenAI layer cuts a text that is too long without a word and takes no load options; the native path
//! refuses the text where it is told not to cut, and takes them. `keep_alive` is never sent.

use std::fmt::Write as _;

use crucible_config::checked::EngineKind;
use serde_json::Value;

use super::request::runner;
use crate::{
    dialect::{
        chat::ChatRequest,
        engine::{
            embeddings::{EmbeddingRequest, VectorReader, VectorSource},
            engine_format::{EngineCall, EngineTarget},
        },
    },
    error::Error,
};

/// Reads an embeddings request and checks it for Ollama, which takes texts alone.
pub(super) fn embedding(request: &ChatRequest) -> Result<EmbeddingRequest<'_>, Error> {
    let read = EmbeddingRequest::read(request)?;
    read.need_texts(EngineKind::Ollama.profile().product)?;
    Ok(read)
}

/// Writes an embeddings request with the load options of the model.
pub(super) fn write(request: &ChatRequest, target: &EngineTarget<'_>) -> Result<EngineCall, Error> {
    let read = embedding(request)?;
    let mut body = format!(
        r#"{{"model":{},"input":[{}],"truncate":false,"options":{}"#,
        Value::from(target.model),
        read.inputs.join(","),
        Value::from(runner(target.tuple))
    );
    if let Some(dimensions) = read.dimensions {
        // Writing to a String cannot fail.
        let _ = write!(body, r#","dimensions":{dimensions}"#);
    }
    body.push('}');
    let asked = request.peek.model.as_deref().unwrap_or(target.model);
    let reader = VectorReader::new(EngineKind::Ollama, VectorSource::Ollama, &read, asked);
    let reader = reader.with_copies(Vec::new(), target.context);
    Ok(EngineCall::of_document("/api/embed", body.into(), reader))
}

#[cfg(test)]
mod tests {
    use crucible_config::{Config, checked::RequestDefaults};
    use crucible_router::{catalog::Capabilities, engine::LoadTuple};

    use super::*;
    use crate::dialect::{chat::RequestTask, engine::testing::request};

    #[test]
    fn nothing_is_cut_and_the_options_are_those_of_the_load() {
        let tuple = LoadTuple {
            threads: Some(4),
            gpu_layers: Some(0),
            mmap: Some(true),
            ..LoadTuple::default()
        };
        let written = |members: &str| {
            let target = EngineTarget {
                model: "nomic:latest",
                instance: "nomic:latest",
                context: Some(2048),
                tuple: &tuple,
                defaults: &RequestDefaults::default(),
                prefix: Config::builtin().prefix,
                capabilities: &Capabilities::default,
                event_limit: 1 << 20,
            };
            let call = write(&request(RequestTask::Embedding, members), &target)?;
            Ok::<_, Error>(String::from_utf8_lossy(&call.body).into_owned())
        };
        assert_eq!(
            written(r#""input":["a\u00e9","b"],"dimensions":256,"encoding_format":"base64""#)
                .unwrap(),
            r#"{"model":"nomic:latest","input":["a\u00e9","b"],"truncate":false,"options":{"num_thread":4,"num_gpu":0,"use_mmap":true},"dimensions":256}"#
        );
        let error = written(r#""input":[1,2]"#).unwrap_err();
        assert!(
            error.message.contains("check_embedding_ctx_length"),
            "{error}"
        );
    }
}
