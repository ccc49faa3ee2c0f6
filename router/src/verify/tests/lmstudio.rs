//! Rows 2-4, 6-10, 13.

use super::*;
use std::{collections::HashMap, time::Duration};

use crate::engine::{LoadConfig, Told, Ttl};

/// The WebSocket driver is on and told this of qwen.
fn driven(evidence: &mut Evidence, ratio: &str, cache: &str) {
    let load = LoadConfig {
        gpu_ratio: Some(ratio.to_owned()),
        key_cache: Some(cache.to_owned()),
        value_cache: Some(cache.to_owned()),
    };
    told(evidence, load, Ttl::Untold);
}

/// The WebSocket driver is on and told this idle clock of qwen.
fn clocked(evidence: &mut Evidence, ttl: Ttl) {
    told(evidence, LoadConfig::default(), ttl);
}

fn told(evidence: &mut Evidence, load: LoadConfig, ttl: Ttl) {
    let told = HashMap::from([(Arc::from("qwen"), Told { load, ttl })]);
    evidence.told.insert(Arc::from("lmstudio"), Ok(told));
}

pub(super) static CASES: &[Case] = &[
    hidden(
        2,
        NOTHING,
        "asked -1; its REST API neither takes nor shows layers",
        "name each engine in an [[engine]] block",
    ),
    hidden(
        2,
        |e| e.lmstudio().discovered = false,
        "neither takes nor shows layers",
        "set `websocket = true` in the [[engine]] block 'lmstudio'",
    ),
    hidden(
        2,
        |e| e.config().tuning.lmstudio.gpu_layers = 20,
        "asked 20",
        "",
    ),
    right(
        2,
        |e| driven(e, "max", "f16"),
        InEffect,
        "asked max; found max on qwen; read from getLoadConfig",
    ),
    wrong(
        2,
        |e| driven(e, "0.5", "f16"),
        "asked max; found 0.5 on qwen",
        "lms unload qwen",
    ),
    hidden(
        2,
        |e| {
            driven(e, "max", "f16");
            e.config().tuning.lmstudio.gpu_layers = 20;
        },
        "a share of the layers, not a count",
        "",
    ),
    hidden(
        2,
        |e| {
            let why = Err("no WebSocket there".to_owned());
            e.told.insert(Arc::from("lmstudio"), why);
        },
        "no WebSocket there",
        "",
    ),
    right(
        3,
        NOTHING,
        InEffect,
        "asked at most 2 generation models; found 1 loaded: qwen",
    ),
    wrong(
        3,
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
        3,
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
        4,
        NOTHING,
        InEffect,
        "found on: models that are not loaded are listed",
    ),
    wrong(
        4,
        |e| {
            e.listed
                .insert("lmstudio".into(), Ok(vec!["qwen".to_owned()]));
        },
        "found off: only loaded models are listed",
        "Just in Time Model Loading",
    ),
    right(
        5,
        |e| clocked(e, Ttl::After(Duration::from_secs(360))),
        InEffect,
        "found 0 unloaded by its clock, no model of Crucible's idle for longer than 20 s, 360 s on qwen; read from",
    ),
    right(
        5,
        |e| clocked(e, Ttl::Never),
        InEffect,
        "none on qwen: only Crucible unloads it",
    ),
    right(
        5,
        |e| clocked(e, Ttl::Untold),
        InEffect,
        "idle for longer than 20 s; read from Crucible's counters",
    ),
    wrong(
        5,
        |e| clocked(e, Ttl::After(Duration::from_secs(60))),
        "asked 360 s of LM Studio's own idle clock; found 60 s on qwen; read from listLoaded",
        "lms unload qwen",
    ),
    right(
        5,
        |e| {
            e.lmstudio().residents[0].pinned = true;
            clocked(e, Ttl::Never);
        },
        InEffect,
        "for qwen, which is pinned; found 0 unloaded by its clock, no model of Crucible's idle for longer than 20 s, none on qwen",
    ),
    wrong(
        5,
        |e| {
            e.lmstudio().residents[0].pinned = true;
            clocked(e, Ttl::After(Duration::from_secs(360)));
        },
        "asked no idle clock of LM Studio's for qwen, which is pinned; found 360 s on qwen",
        "lms unload qwen",
    ),
    hidden(6, NOTHING, "every loaded one is Crucible's", ""),
    hidden(
        6,
        |e| e.lmstudio().residents[0].owned = false,
        "qwen was not loaded by Crucible",
        "lms unload qwen",
    ),
    right(
        7,
        NOTHING,
        InEffect,
        "asked 512; found 512 on qwen; read from loaded_instances[].config.eval_batch_size",
    ),
    wrong(
        7,
        |e| e.lmstudio().residents[0].info.batch_size = Some(2048),
        "asked 512; found 2048 on qwen",
        "lms unload qwen",
    ),
    right(
        7,
        |e| {
            let mut mlx = model("qwen", "4bit");
            mlx.format = Some("mlx".to_owned());
            e.lmstudio().models = vec![mlx].into();
        },
        NotApplicable,
        "runs on MLX",
    ),
    right(8, NOTHING, InEffect, "found true on qwen"),
    wrong(
        8,
        |e| e.lmstudio().residents[0].info.flash_attention = Some(false),
        "asked true; found false on qwen",
        "lms unload qwen",
    ),
    hidden(
        8,
        |e| e.lmstudio().residents.clear(),
        "no generation model is loaded",
        "send a request",
    ),
    hidden(9, NOTHING, "f16 is its default", ""),
    hidden(
        9,
        |e| e.config().tuning.lmstudio.key_cache_quantization = "q8_0".to_owned(),
        "asked q8_0",
        "choose q8_0 as K cache quantization",
    ),
    hidden(10, NOTHING, "f16 is its default", ""),
    hidden(
        10,
        |e| e.config().tuning.lmstudio.value_cache_quantization = "q8_0".to_owned(),
        "asked q8_0",
        "choose q8_0 as V cache quantization",
    ),
    right(
        9,
        |e| driven(e, "max", "f16"),
        InEffect,
        "found f16 on qwen",
    ),
    wrong(
        9,
        |e| driven(e, "max", "q4_0"),
        "asked f16; found q4_0 on qwen",
        "lms unload qwen",
    ),
    right(
        10,
        |e| driven(e, "max", "f16"),
        InEffect,
        "asked f16; found f16 on qwen; read from getLoadConfig",
    ),
    wrong(
        10,
        |e| driven(e, "max", "q4_0"),
        "asked f16; found q4_0 on qwen",
        "lms unload qwen",
    ),
    right(
        13,
        NOTHING,
        InEffect,
        "asked 4096 per request, 8192 for 2 requests; found 8192 on qwen",
    ),
    wrong(
        13,
        |e| e.lmstudio().residents[0].info.context = Some(2048),
        "found 2048 on qwen",
        "lms unload qwen",
    ),
    right(
        13,
        |e| e.lmstudio().residents[0].info.context = Some(5000),
        InEffect,
        "enough for one request at a time",
    ),
    right(
        13,
        |e| e.lmstudio().residents[0].info.context = Some(16_384),
        InEffect,
        "grown, or loaded by hand",
    ),
    right(
        13,
        |e| contexts(e, "lmstudio", "qwen", 8192, Verdict::Holds),
        InEffect,
        "found 8192 on qwen, so it was; read from loaded_instances[].config.context_length of GET \
         /api/v1/models of LM Studio, crucible doctor --probe",
    ),
    wrong(
        13,
        |e| contexts(e, "lmstudio", "qwen", 8192, Verdict::Smaller),
        "found 8192 on qwen, but so it was; read from",
        "lms unload qwen; Crucible loads it with this value on the next request; then crucible",
    ),
    // Of another load.
    right(
        13,
        |e| contexts(e, "lmstudio", "qwen", 4096, Verdict::Smaller),
        InEffect,
        "found 8192 on qwen; read from",
    ),
];
