//! Reading the answers of `/api/tags`, `/api/show` and `/api/ps` (Ollama 0.33).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::runner::DescribedModel;
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ModelMetadata, ResidentInfo},
    engine::{
        description::bounded,
        http::{count, items, name, text},
        time::{parse_rfc3339, to_system_time},
    },
};

/// The answer of `/api/show` about one digest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ModelDescription {
    /// The capabilities in Ollama's words, such as `tools`; `None` where the version does not
    /// report them.
    pub(super) capabilities: Option<Vec<String>>,
    /// Whether a level of thinking reaches the model; `None` where the request was refused.
    pub(super) thinking_levels: Option<bool>,
    /// The longest context that the model was trained for, in tokens.
    pub(super) max_context: Option<u64>,
    /// The bytes of keys and values for one token of context in f16; `None` where they cannot be
    /// computed.
    pub(super) context_bytes: Option<u64>,
    /// The options of its Modelfile; `None` where the request was refused.
    pub(super) described: Option<DescribedModel>,
    /// The members for clients that ask for the description.
    pub(super) members: Option<Arc<Map<String, Value>>>,
}

/// A runner in the answer of `/api/ps`.
pub(super) struct ListedRunner {
    /// The loaded model, under the name that it was loaded by.
    pub(super) resident: ResidentInfo,
    /// The digest of the loaded model; `None` where Ollama does not report it.
    pub(super) digest: Option<String>,
}

/// Returns the name of a model in a list: `name`, else `model`.
pub(super) fn tag_name(tag: &Value) -> Option<Arc<str>> {
    name(tag, "name").or_else(|| name(tag, "model"))
}

/// Returns the digest of a model; one without a digest is known by its name.
pub(super) fn digest(tag: &Value) -> Option<String> {
    text(tag, "digest").or_else(|| tag_name(tag).map(|n| n.to_string()))
}

/// Whether the model runs on Ollama's own servers and not on this machine.
pub(super) fn is_cloud(name: &str, tag: &Value) -> bool {
    name.ends_with(":cloud") || name.ends_with("-cloud") || text(tag, "remote_host").is_some()
}

/// Reports whether two names mean the same model: Ollama adds `:latest` where a name has no tag, and
/// ignores case.
pub(super) fn same(a: &str, b: &str) -> bool {
    fn stem(name: &str) -> &str {
        name.strip_suffix(":latest").unwrap_or(name)
    }
    stem(a).eq_ignore_ascii_case(stem(b))
}

/// Reads the answer of `/api/show`. Members that are missing or of another type become `None`.
pub(super) fn parse_show(body: &Value) -> ModelDescription {
    let capabilities = body
        .get("capabilities")
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        });
    let max_context = body.get("model_info").and_then(|info| {
        let family = text(info, "general.architecture");
        let own = family.and_then(|family| count(info, &format!("{family}.context_length")));
        own.or_else(|| {
            let keys = info.as_object()?.keys();
            keys.filter(|k| k.ends_with(".context_length"))
                .find_map(|k| count(info, k))
        })
    });
    ModelDescription {
        capabilities,
        thinking_levels: Some(knows_levels(body)),
        max_context,
        context_bytes: body.get("model_info").and_then(context_bytes),
        described: Some(DescribedModel::parse(body)),
        members: body
            .as_object()
            .map(|members| Arc::new(bounded(members, "tensors"))),
    }
}

/// Reports whether a level of thinking reaches the model: gpt-oss (Ollama 0.33, `shouldUseHarmony`), a template that
/// names it, a renderer that has degrees (`model/renderers/glimmer.go`). To others every level is on,
/// and versions before 0.22 or so refuse it.
fn knows_levels(body: &Value) -> bool {
    const FAMILY: &[&str] = &["gptoss", "gpt-oss"];
    let none = Value::Null;
    let info = body.get("model_info").unwrap_or(&none);
    let details = body.get("details").unwrap_or(&none);
    let is = |of: &Value, key: &str, words: &[&str]| {
        text(of, key).is_some_and(|found| words.contains(&&*found))
    };
    is(info, "general.architecture", FAMILY)
        || is(details, "family", FAMILY)
        || is(body, "parser", &["harmony", "glimmer"])
        || is(body, "renderer", &["harmony", "glimmer"])
        || text(body, "template")
            .is_some_and(|t| t.contains("ThinkLevel") || t.contains("reasoning_effort"))
}

/// Computes the bytes of keys and values of all layers for one token, in f16 (Ollama 0.33, `fs/ggml/ggml.go`
/// `GraphSize`; a list has one number of heads per layer).
pub(super) fn context_bytes(info: &Value) -> Option<u64> {
    let family = text(info, "general.architecture")?;
    let of = |key: &str| info.get(format!("{family}.{key}"));
    let number = |key: &str| of(key).and_then(Value::as_u64);
    let layers = number("block_count")?;
    let heads = number("attention.head_count");
    let kv_heads: u64 = match of("attention.head_count_kv") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).sum(),
        Some(one) => layers.checked_mul(one.as_u64()?)?,
        None => layers.checked_mul(heads?)?,
    };
    let per_head = || number("embedding_length")?.checked_div(heads?);
    let key = number("attention.key_length").or_else(per_head)?;
    let value = number("attention.value_length").or_else(per_head)?;
    kv_heads
        .checked_mul(key.checked_add(value)?)?
        .checked_mul(2)
        .filter(|bytes| *bytes > 0)
}

/// Makes a model from its entry in `/api/tags` and its description, where there is one; `None` for
/// an entry without a name.
pub(super) fn parse_tag(tag: &Value, shown: Option<&ModelDescription>) -> Option<ModelInfo> {
    let id = tag_name(tag)?;
    let none = Value::Null;
    let details = tag.get("details").unwrap_or(&none);
    let list = shown
        .and_then(|s| s.capabilities.as_deref())
        .filter(|l| !l.is_empty());
    let has = |word: &str| list.map(|l| l.iter().any(|c| c == word));
    let kind = match (has("embedding"), has("completion")) {
        (Some(true), Some(false)) => ModelKind::Embedding,
        (Some(_), _) => ModelKind::Generation,
        (None, _) => kind_by_family(details),
    };
    let cloud = is_cloud(&id, tag);
    Some(ModelInfo {
        runner: Arc::clone(&id),
        load: Arc::default(),
        via: Arc::default(),
        names: Arc::default(),
        id,
        kind,
        capabilities: Capabilities {
            tools: has("tools"),
            trained_for_tools: None,
            vision: has("vision"),
            thinking: has("thinking"),
            insert: has("insert"),
            thinking_levels: shown.and_then(|s| s.thinking_levels),
        },
        max_context: shown.and_then(|s| s.max_context),
        size_bytes: count(tag, "size"),
        context_bytes: shown.and_then(|s| s.context_bytes),
        quantization: text(details, "quantization_level"),
        format: text(details, "format"),
        cloud,
        created: text(tag, "modified_at").as_deref().and_then(parse_rfc3339),
        metadata: Arc::new(metadata(tag, shown)),
    })
}

/// Returns the facts that clients of lists read. `shown` is the description of the same digest, which copies share.
fn metadata(tag: &Value, shown: Option<&ModelDescription>) -> ModelMetadata {
    let none = Value::Null;
    let details = tag.get("details").unwrap_or(&none);
    let members = shown.and_then(|shown| shown.members.clone());
    let info = members
        .as_ref()
        .and_then(|members| members.get("model_info"));
    let architecture = info.and_then(|info| text(info, "general.architecture"));
    let families = items(details, "families").iter();
    ModelMetadata {
        digest: text(tag, "digest"),
        architecture: architecture.or_else(|| text(details, "family")),
        families: families
            .filter_map(|family| family.as_str().map(str::to_owned))
            .collect(),
        parameter_size: text(details, "parameter_size"),
        parent: text(details, "parent_model"),
        description: members,
        ..ModelMetadata::default()
    }
}

fn kind_by_family(details: &Value) -> ModelKind {
    let family = text(details, "family").unwrap_or_default();
    if family.contains("bert") {
        ModelKind::Embedding
    } else {
        ModelKind::Generation
    }
}

/// Reads the loaded models from the answer of `/api/ps`; `models` are the listed ones, from which
/// each takes its kind.
pub(super) fn parse_ps(ps: &Value, models: &[ModelInfo]) -> Vec<ListedRunner> {
    items(ps, "models")
        .iter()
        .filter_map(|entry| {
            let model = tag_name(entry)?;
            let none = Value::Null;
            let kind = models.iter().find(|m| same(&m.id, &model)).map_or_else(
                || kind_by_family(entry.get("details").unwrap_or(&none)),
                |m| m.kind,
            );
            let resident = ResidentInfo {
                instance: Arc::clone(&model),
                model,
                kind,
                context: count(entry, "context_length").filter(|n| *n > 0),
                parallel: None,
                bytes: count(entry, "size"),
                vram_bytes: count(entry, "size_vram"),
                expires_at: text(entry, "expires_at")
                    .as_deref()
                    .and_then(parse_rfc3339)
                    .and_then(to_system_time),
                batch_size: None,
                flash_attention: None,
            };
            Some(ListedRunner {
                resident,
                digest: text(entry, "digest"),
            })
        })
        .collect()
}
