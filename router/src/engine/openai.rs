//! Any OpenAI-compatible server: its list is its health; it loads by itself.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use super::{
    Engine, EngineError, Listing, LoadOrder,
    http::{EngineEndpoint, count, items, name, text},
};
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ModelMetadata, ResidentInfo},
    hop,
    transport::EngineAddress,
};

/// An OpenAI-compatible server; its address may have a path before `/v1`.
#[derive(Debug)]
pub(crate) struct Openai {
    endpoint: EngineEndpoint,
}

// === impl Openai ===

impl Openai {
    /// Makes the driver of the server at `endpoint`, whose base is an address as [`root`] leaves it: without `/v1`.
    pub(crate) fn new(endpoint: EngineEndpoint) -> Self {
        Self { endpoint }
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        let body = self.endpoint.get("/v1/models").await?;
        Ok(Listing {
            models: parse_models(&body)?,
            ..Listing::default()
        })
    }
}

impl Engine for Openai {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn load(&self, _: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(async { Err(EngineError::Unsupported("load")) })
    }

    fn unload<'a>(&'a self, _: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async { Err(EngineError::Unsupported("unload")) })
    }

    fn address(&self) -> Option<EngineAddress> {
        Some(self.endpoint.address().clone())
    }
}

/// The address to which `/v1/...` is appended, whether it was written with `/v1` or without.
pub(crate) fn root(url: &Url) -> Url {
    let mut root = url.clone();
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    root.set_path(&path);
    root.set_query(None);
    root.set_fragment(None);
    root
}

/// `GET /v1/models`: `{"data": [{"id": ...}]}`, or a bare array as some servers answer.
pub(crate) fn parse_models(body: &Value) -> Result<Vec<ModelInfo>, EngineError> {
    let list = match body {
        Value::Array(list) => list.as_slice(),
        _ if body.get("data").is_some() => items(body, "data"),
        _ => return Err(EngineError::Unexpected("/v1/models has no `data`".into())),
    };
    Ok(list.iter().filter_map(parse_model).collect())
}

fn parse_model(entry: &Value) -> Option<ModelInfo> {
    let id: Arc<str> = name(entry, "id").or_else(|| entry.as_str().map(Arc::from))?;
    let lower = id.to_ascii_lowercase();
    let kind = if lower.contains("embed") || lower.contains("bge-") {
        ModelKind::Embedding
    } else {
        ModelKind::Generation
    };
    let none = Value::Null;
    let meta = entry.get("meta").unwrap_or(&none);
    let max_context = [
        "max_model_len",
        "max_context_length",
        "context_length",
        "context_window",
    ]
    .iter()
    .find_map(|key| count(entry, key))
    .or_else(|| count(meta, "n_ctx_train"));
    let via: Arc<[Arc<str>]> = items(entry, hop::VIA)
        .iter()
        .filter_map(|number| number.as_str().map(Arc::from))
        .collect();
    // What is reached through this very Crucible is its own, or is not there any more.
    if hop::goes_round(&via) {
        return None;
    }
    Some(ModelInfo {
        runner: Arc::clone(&id),
        load: Arc::default(),
        via,
        names: Arc::default(),
        kind,
        capabilities: Capabilities::default(),
        max_context,
        size_bytes: count(meta, "size"),
        context_bytes: None,
        quantization: text(entry, "quantization"),
        format: None,
        cloud: false,
        created: count(entry, "created").and_then(|n| i64::try_from(n).ok()),
        metadata: Arc::new(ModelMetadata {
            parameter_size: count(meta, "n_params").map(parameters_in_words),
            ..ModelMetadata::default()
        }),
        id,
    })
}

/// The number of a model's parameters in words, as Ollama writes it: `134.52M`, `8.0B`.
fn parameters_in_words(count: u64) -> String {
    let (unit, digits, letter) = match count {
        1_000_000_000.. => (1_000_000_000, 1, 'B'),
        1_000_000.. => (1_000_000, 2, 'M'),
        1_000.. => (1_000, 0, 'K'),
        _ => return count.to_string(),
    };
    let scale = 10_u64.pow(digits);
    // Rounded to so many digits after the point.
    let scaled = count.saturating_mul(scale).saturating_add(unit / 2) / unit;
    match digits {
        0 => format!("{scaled}{letter}"),
        digits => {
            let digits = usize::try_from(digits).unwrap_or_default();
            format!("{}.{:0digits$}{letter}", scaled / scale, scaled % scale)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    use super::*;
    use crate::engine::testing::Fake;

    #[test]
    fn parameters_are_counted_in_words() {
        for (count, words) in [
            (134_515_008, "134.52M"),
            (8_030_261_248, "8.0B"),
            (1_999_999_999, "2.0B"),
            (70_600, "71K"),
            (12, "12"),
        ] {
            assert_eq!(parameters_in_words(count), words);
        }
    }

    #[test]
    fn the_root_has_no_v1() {
        let cases = [
            ("http://h:1", "http://h:1/"),
            ("http://h:1/v1", "http://h:1/"),
            ("http://h:1/v1/", "http://h:1/"),
            ("http://h:1/gate/v1", "http://h:1/gate"),
            ("http://h:1/gate", "http://h:1/gate"),
        ];
        for (url, expected) in cases {
            assert_eq!(root(&url.parse().unwrap()).as_str(), expected);
        }
    }

    #[tokio::test]
    async fn a_list_survives_odd_entries() {
        let body = json!({"data": [{"id": "a", "max_model_len": 8192, "x": 1}, {"id": 3}, "b",
            {"id": "text-embedding-q", "created": "never"}]});
        let fake =
            Fake::start(Router::new().route("/v1/models", get(|| async { Json(body) }))).await;
        let listing = Openai::new(fake.endpoint()).list().await.unwrap();
        let ids: Vec<_> = listing.models.iter().map(|m| &*m.id).collect();
        assert_eq!(ids, ["a", "b", "text-embedding-q"]);
        assert_eq!(listing.models[0].max_context, Some(8192));
        assert_eq!(listing.models[2].kind, ModelKind::Embedding);
        assert!(!listing.load_control);
    }

    #[tokio::test]
    async fn an_error_inside_a_success_is_an_error() {
        let app = Router::new().route("/v1/models", get(|| async { Json(json!("no such path")) }));
        let fake = Fake::start(app).await;
        let error = Openai::new(fake.endpoint()).list().await.unwrap_err();
        let expected = EngineError::Refused {
            status: 200,
            message: "no such path".into(),
        };
        assert_eq!(error, expected);
    }
}
