//! The part of a load configuration that only LM Studio's WebSocket API takes and shows.
//!
//! Keys: `@lmstudio/lms-kv-config` 0.2.15, `schema.ts`.

use std::time::Duration;

use crucible_config::{
    Config,
    checked::{EngineConfig, EngineKind},
};
use serde_json::{Value, json};

use crate::{catalog::ModelInfo, engine::LoadOrder, options::instance_context};

const RATIO: &str = "llm.load.llama.acceleration.offloadRatio";
const KEY_CACHE: &str = "llm.load.llama.kCacheQuantizationType";
const VALUE_CACHE: &str = "llm.load.llama.vCacheQuantizationType";
/// The cache type that an unchecked entry stands for.
const DEFAULT_CACHE: &str = "f16";

/// The settings `gpu_layers`, `key_cache_quantization` and `value_cache_quantization` of
/// `tuning.lmstudio`, as LM Studio writes them; a field is `None` where it is not asked for, or not
/// reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadConfig {
    /// The layers on the GPU: `max`, `off` or a share from 0 to 1.
    pub gpu_ratio: Option<String>,
    /// The type of the key cache: `f16`, `q8_0` and so on.
    pub key_cache: Option<String>,
    /// The type of the value cache, written as that of the key cache.
    pub value_cache: Option<String>,
}

/// The facts of one loaded instance that only the WebSocket API reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The settings that it was loaded with, from `getLoadConfig`.
    pub load: LoadConfig,
    /// The idle time after which LM Studio unloads it, from `ttlMs` of `listLoaded`.
    pub ttl: IdleTtl,
}

/// The idle time after which LM Studio unloads an instance by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleTtl {
    /// LM Studio does not report one.
    #[default]
    Untold,
    /// LM Studio keeps the instance until it is told to unload it.
    Never,
    /// LM Studio unloads the instance once it was idle for this time.
    After(Duration),
}

// === impl LoadConfig ===

impl LoadConfig {
    /// The settings that an engine is to load with; `None` where the WebSocket driver is off. LM
    /// Studio takes a share and not a count of layers, so only all and none of them can be asked
    /// for.
    pub fn of(config: &Config, engine: &EngineConfig) -> Option<Self> {
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

// === impl IdleTtl ===

impl IdleTtl {
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

/// Whether LM Studio runs the model with MLX, which takes no batch size, no flash attention and no quantized
/// cache.
pub(super) fn is_mlx(known: Option<&ModelInfo>) -> bool {
    known.is_some_and(|m| m.format.as_deref() == Some("mlx"))
}

/// The context of the whole instance in tokens, which all its slots share; `None` where the order asks for none.
pub(super) fn whole_context(order: &LoadOrder, known: Option<&ModelInfo>) -> Option<u64> {
    let max = known.and_then(|m| m.max_context);
    let each = order.tuple.context?;
    Some(instance_context(
        EngineKind::Lmstudio,
        each,
        order.permits,
        max,
    ))
}

#[cfg(test)]
mod tests {
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
        let ttl = |value: Value| IdleTtl::parse(&json!({"ttlMs": value}));
        assert_eq!(
            ttl(json!(360_000)),
            IdleTtl::After(Duration::from_secs(360))
        );
        assert_eq!(ttl(Value::Null), IdleTtl::Never);
        assert_eq!(
            (ttl(json!(-1)), ttl(json!("soon"))),
            (IdleTtl::Untold, IdleTtl::Untold)
        );
        assert_eq!(IdleTtl::parse(&json!({})), IdleTtl::Untold);
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
