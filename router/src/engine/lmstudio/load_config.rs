//! The part of a load configuration that only LM Studio's WebSocket API takes and shows.
//!
//! Keys: `@lmstudio/lms-kv-config` 0.2.15, `schema.ts`.

use std::time::Duration;

use crucible_config::{Config, checked::Engine};
use serde_json::{Value, json};

use crate::engine::LoadOrder;

const RATIO: &str = "llm.load.llama.acceleration.offloadRatio";
const KEY_CACHE: &str = "llm.load.llama.kCacheQuantizationType";
const VALUE_CACHE: &str = "llm.load.llama.vCacheQuantizationType";
/// What an unchecked cache type stands for.
const DEFAULT_CACHE: &str = "f16";

/// Rows 2, 9 and 10 as LM Studio names them; `None`: not asked for, or not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadConfig {
    /// `max`, `off` or a share of the layers.
    pub gpu_ratio: Option<String>,
    /// `f16`, `q8_0` and so on.
    pub key_cache: Option<String>,
    /// As the key's.
    pub value_cache: Option<String>,
}

/// What the WebSocket API tells of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `getLoadConfig`.
    pub load: LoadConfig,
    /// `ttlMs` of `listLoaded`.
    pub ttl: Ttl,
}

/// LM Studio's own idle clock of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// It says nothing of it.
    #[default]
    Untold,
    /// None runs.
    Never,
    /// It unloads the instance once it was idle for this long.
    After(Duration),
}

// === impl LoadConfig ===

impl LoadConfig {
    /// What an engine is to load with; `None` where the WebSocket driver is off. A count of layers
    /// is no share of them, so only all and none of them are asked for.
    pub fn of(config: &Config, engine: &Engine) -> Option<Self> {
        let tuning = &config.tuning.lmstudio;
        (engine.kind.profile().websocket_driver && engine.websocket).then(|| Self {
            gpu_ratio: match tuning.gpu_layers {
                -1 => Some("max".to_owned()),
                0 => Some("off".to_owned()),
                _ => None,
            },
            key_cache: Some(tuning.key_cache_quantization.clone()),
            value_cache: Some(tuning.value_cache_quantization.clone()),
        })
    }

    /// The fields of a load. `context` is the whole instance's; `mlx` models take nothing else.
    pub(super) fn fields(&self, order: &LoadOrder, context: Option<u64>, mlx: bool) -> Vec<Value> {
        let mut fields = Vec::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.push(json!({"key": key, "value": value}));
            }
        };
        put("llm.load.contextLength", context.map(Value::from));
        if mlx {
            return fields;
        }
        let cache = |name: &String| json!({"checked": name != DEFAULT_CACHE, "value": name});
        put(
            "llm.load.llama.evalBatchSize",
            order.tuple.batch.map(Value::from),
        );
        put(
            "llm.load.llama.flashAttention",
            order.tuple.flash_attention.map(Value::from),
        );
        put(RATIO, self.gpu_ratio.clone().map(Value::from));
        put(KEY_CACHE, self.key_cache.as_ref().map(cache));
        put(VALUE_CACHE, self.value_cache.as_ref().map(cache));
        fields
    }

    /// The answer to `getLoadConfig`; unknown keys and shapes are passed over.
    pub(super) fn parse(answer: &Value) -> Self {
        let fields = answer.get("fields").and_then(Value::as_array);
        let value = |key: &str| {
            let mut fields = fields?.iter();
            fields.find(|f| f["key"] == key)?.get("value")
        };
        Self {
            gpu_ratio: value(RATIO).and_then(ratio),
            key_cache: value(KEY_CACHE).and_then(cache),
            value_cache: value(VALUE_CACHE).and_then(cache),
        }
    }
}

// === impl Ttl ===

impl Ttl {
    /// An entry of `listLoaded`: `ttlMs` is null where no clock runs.
    pub(super) fn parse(entry: &Value) -> Self {
        match entry.get("ttlMs") {
            Some(Value::Null) => Self::Never,
            Some(value) => match value.as_f64().map(Duration::try_from_secs_f64) {
                Some(Ok(thousandfold)) => Self::After(thousandfold / 1000),
                _ => Self::Untold,
            },
            None => Self::Untold,
        }
    }
}

fn ratio(value: &Value) -> Option<String> {
    match value {
        Value::String(word) => Some(word.clone()),
        Value::Number(n) => match n.as_f64()? {
            share if share >= 1.0 => Some("max".to_owned()),
            share if share <= 0.0 => Some("off".to_owned()),
            share => Some(share.to_string()),
        },
        _ => None,
    }
}

fn cache(value: &Value) -> Option<String> {
    if value.get("checked")?.as_bool()? {
        Some(value.get("value")?.as_str()?.to_owned())
    } else {
        Some(DEFAULT_CACHE.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;

    use super::*;

    #[test]
    fn answers_are_read_leniently() {
        let answer = json!({"fields": [
            {"key": "llm.load.new", "value": {"of": "tomorrow"}},
            {"key": RATIO, "value": 1},
            {"key": KEY_CACHE, "value": {"checked": false, "value": "q4_0"}},
            {"key": VALUE_CACHE, "value": {"checked": true, "value": "q8_0"}},
        ]});
        let read = LoadConfig::parse(&answer);
        assert_eq!(read.gpu_ratio.as_deref(), Some("max"));
        assert_eq!(read.key_cache.as_deref(), Some("f16"));
        assert_eq!(read.value_cache.as_deref(), Some("q8_0"));
        assert_eq!(
            LoadConfig::parse(&json!({"fields": 3})),
            LoadConfig::default()
        );
        assert_eq!(ratio(&json!(0.5)).as_deref(), Some("0.5"));
        let ttl = |value: Value| Ttl::parse(&json!({"ttlMs": value}));
        assert_eq!(ttl(json!(360_000)), Ttl::After(Duration::from_secs(360)));
        assert_eq!(ttl(Value::Null), Ttl::Never);
        assert_eq!(
            (ttl(json!(-1)), ttl(json!("soon"))),
            (Ttl::Untold, Ttl::Untold)
        );
        assert_eq!(Ttl::parse(&json!({})), Ttl::Untold);
    }

    #[test]
    fn only_an_engine_with_the_driver_gets_one() {
        let mut config = Config::builtin();
        config.tuning.lmstudio.gpu_layers = 20;
        let url = "http://127.0.0.1:1234".parse().unwrap();
        let mut engine = config.discovered(EngineKind::Lmstudio, "lmstudio", url);
        assert_eq!(LoadConfig::of(&config, &engine), None);
        engine.websocket = true;
        let asked = LoadConfig::of(&config, &engine).unwrap();
        assert_eq!(asked.gpu_ratio, None);
        assert_eq!(asked.key_cache.as_deref(), Some("f16"));
    }
}
