//! Rows 2-4, 6-10, 13.

use super::*;
use std::{collections::HashMap, time::Duration};

use crate::engine::{IdleTtl, InstanceFacts, LoadConfig};

/// The WebSocket driver is on and told this of qwen.
fn driven(evidence: &mut Evidence, ratio: &str, cache: &str) {
    let load = LoadConfig {
        gpu_ratio: Some(ratio.to_owned()),
        key_cache: Some(cache.to_owned()),
        value_cache: Some(cache.to_owned()),
    };
    told(evidence, load, IdleTtl::Untold);
}

/// The WebSocket driver is on and told this idle clock of qwen.
fn clocked(evidence: &mut Evidence, ttl: IdleTtl) {
    told(evidence, LoadConfig::default(), ttl);
}

fn told(evidence: &mut Evidence, load: LoadConfig, ttl: IdleTtl) {
    let told = HashMap::from([(Arc::from("qwen"), InstanceFacts { load, ttl })]);
    evidence.reported.insert(Arc::from("lmstudio"), Ok(told));
}

pub(super) static CASES: &[Case] = &[
    hidden(
        LmstudioGpuLayers,
        NOTHING,
        "asked -1; its REST API neither takes nor shows layers",
        "name each engine in an [[engine]] block",
    ),
    hidden(
        LmstudioGpuLayers,
        |e| e.lmstudio().discovered = false,
        "neither takes nor shows layers",
        "set `websocket = true` in the [[engine]] block 'lmstudio'",
    ),
    hidden(
        LmstudioGpuLayers,
        |e| e.config().tuning.lmstudio.gpu_layers = 20,
        "asked 20",
        "",
    ),
    right(
        LmstudioGpuLayers,
        |e| driven(e, "max", "f16"),
        InEffect,
        "asked max; found max on qwen; read from getLoadConfig",
    ),
    wrong(
        LmstudioGpuLayers,
        |e| driven(e, "0.5", "f16"),
        "asked max; found 0.5 on qwen",
        "lms unload qwen",
    ),
    hidden(
        LmstudioGpuLayers,
        |e| {
            driven(e, "max", "f16");
            e.config().tuning.lmstudio.gpu_layers = 20;
        },
        "a share of the layers, not a count",
        "",
    ),
    hidden(
        LmstudioGpuLayers,
        |e| {
            let why = Err("no WebSocket there".to_owned());
            e.reported.insert(Arc::from("lmstudio"), why);
        },
        "no WebSocket there",
        "",
    ),
    right(
        LmstudioMaxLoadedModels,
        NOTHING,
        InEffect,
        "asked at most 2 generation models; found 1 loaded: qwen",
    ),
    wrong(
        LmstudioMaxLoadedModels,
        |e| {
            for name in ["b", "c"] {
                let mut more = held(name);
                more.owned = false;
                e.lmstudio().residents.push(more);
            }
        },
        "found 3 loaded: qwen, b, c",
        "unload b, which Crucible did not load",
    ),
    right(
        LmstudioMaxLoadedModels,
        |e| {
            for name in ["b", "embed"] {
                let mut more = held(name);
                if name == "embed" {
                    more.info.kind = ModelKind::Embedding;
                }
                e.lmstudio().residents.push(more);
            }
        },
        InEffect,
        "found 2 loaded: qwen, b",
    ),
    right(
        LmstudioJitLoading,
        NOTHING,
        InEffect,
        "found on: models that are not loaded are listed",
    ),
    wrong(
        LmstudioJitLoading,
        |e| {
            e.listed
                .insert("lmstudio".into(), Ok(vec!["qwen".to_owned()]));
        },
        "found off: only loaded models are listed",
        "Just in Time Model Loading",
    ),
    right(
        LmstudioModelTtl,
        |e| clocked(e, IdleTtl::After(Duration::from_secs(360))),
        InEffect,
        "found 0 unloaded by its clock, no model of Crucible's idle for longer than 20 s, 360 s on qwen; read from",
    ),
    right(
        LmstudioModelTtl,
        |e| clocked(e, IdleTtl::Never),
        InEffect,
        "none on qwen: only Crucible unloads it",
    ),
    right(
        LmstudioModelTtl,
        |e| clocked(e, IdleTtl::Untold),
        InEffect,
        "idle for longer than 20 s; read from Crucible's counters",
    ),
    wrong(
        LmstudioModelTtl,
        |e| clocked(e, IdleTtl::After(Duration::from_secs(60))),
        "asked 360 s of LM Studio's own idle clock; found 60 s on qwen; read from listLoaded",
        "lms unload qwen",
    ),
    right(
        LmstudioModelTtl,
        |e| {
            e.lmstudio().residents[0].pinned = true;
            clocked(e, IdleTtl::Never);
        },
        InEffect,
        "for qwen, which is pinned; found 0 unloaded by its clock, no model of Crucible's idle for longer than 20 s, none on qwen",
    ),
    wrong(
        LmstudioModelTtl,
        |e| {
            e.lmstudio().residents[0].pinned = true;
            clocked(e, IdleTtl::After(Duration::from_secs(360)));
        },
        "asked no idle clock of LM Studio's for qwen, which is pinned; found 360 s on qwen",
        "lms unload qwen",
    ),
    hidden(
        LmstudioAutoEvict,
        NOTHING,
        "every loaded one is Crucible's",
        "",
    ),
    hidden(
        LmstudioAutoEvict,
        |e| e.lmstudio().residents[0].owned = false,
        "qwen was not loaded by Crucible",
        "lms unload qwen",
    ),
    right(
        LmstudioBatchSize,
        NOTHING,
        InEffect,
        "asked 512; found 512 on qwen; read from loaded_instances[].config.eval_batch_size",
    ),
    wrong(
        LmstudioBatchSize,
        |e| e.lmstudio().residents[0].info.batch_size = Some(2048),
        "asked 512; found 2048 on qwen",
        "lms unload qwen",
    ),
    right(
        LmstudioBatchSize,
        |e| {
            let mut mlx = model("qwen", "4bit");
            mlx.format = Some("mlx".to_owned());
            e.lmstudio().models = vec![mlx].into();
        },
        NotApplicable,
        "runs on MLX",
    ),
    right(
        LmstudioFlashAttention,
        NOTHING,
        InEffect,
        "found true on qwen",
    ),
    wrong(
        LmstudioFlashAttention,
        |e| e.lmstudio().residents[0].info.flash_attention = Some(false),
        "asked true; found false on qwen",
        "lms unload qwen",
    ),
    hidden(
        LmstudioFlashAttention,
        |e| e.lmstudio().residents.clear(),
        "no generation model is loaded",
        "send a request",
    ),
    hidden(
        LmstudioKeyCacheQuantization,
        NOTHING,
        "f16 is its default",
        "",
    ),
    hidden(
        LmstudioKeyCacheQuantization,
        |e| e.config().tuning.lmstudio.key_cache_quantization = "q8_0".to_owned(),
        "asked q8_0",
        "choose q8_0 as K cache quantization",
    ),
    hidden(
        LmstudioValueCacheQuantization,
        NOTHING,
        "f16 is its default",
        "",
    ),
    hidden(
        LmstudioValueCacheQuantization,
        |e| e.config().tuning.lmstudio.value_cache_quantization = "q8_0".to_owned(),
        "asked q8_0",
        "choose q8_0 as V cache quantization",
    ),
    right(
        LmstudioKeyCacheQuantization,
        |e| driven(e, "max", "f16"),
        InEffect,
        "found f16 on qwen",
    ),
    wrong(
        LmstudioKeyCacheQuantization,
        |e| driven(e, "max", "q4_0"),
        "asked f16; found q4_0 on qwen",
        "lms unload qwen",
    ),
    right(
        LmstudioValueCacheQuantization,
        |e| driven(e, "max", "f16"),
        InEffect,
        "asked f16; found f16 on qwen; read from getLoadConfig",
    ),
    wrong(
        LmstudioValueCacheQuantization,
        |e| driven(e, "max", "q4_0"),
        "asked f16; found q4_0 on qwen",
        "lms unload qwen",
    ),
    right(
        LmstudioContextLength,
        NOTHING,
        InEffect,
        "asked 4096 per request, 8192 for 2 requests; found 8192 on qwen",
    ),
    wrong(
        LmstudioContextLength,
        |e| e.lmstudio().residents[0].info.context = Some(2048),
        "found 2048 on qwen",
        "lms unload qwen",
    ),
    right(
        LmstudioContextLength,
        |e| e.lmstudio().residents[0].info.context = Some(5000),
        InEffect,
        "enough for one request at a time",
    ),
    right(
        LmstudioContextLength,
        |e| e.lmstudio().residents[0].info.context = Some(16_384),
        InEffect,
        "grown, or loaded by hand",
    ),
    right(
        LmstudioContextLength,
        |e| contexts(e, "lmstudio", "qwen", 8192, ContextVerdict::Holds),
        InEffect,
        "found 8192 on qwen, so it was; read from loaded_instances[].config.context_length of GET \
         /api/v1/models of LM Studio, crucible doctor --probe",
    ),
    wrong(
        LmstudioContextLength,
        |e| contexts(e, "lmstudio", "qwen", 8192, ContextVerdict::Smaller),
        "found 8192 on qwen, but so it was; read from",
        "lms unload qwen; Crucible loads it with this value on the next request; then crucible",
    ),
    // Of another load.
    right(
        LmstudioContextLength,
        |e| contexts(e, "lmstudio", "qwen", 4096, ContextVerdict::Smaller),
        InEffect,
        "found 8192 on qwen; read from",
    ),
];
