//! Rows 5, 11, 12, 14-20.

use std::time::Duration;

use super::*;
use crate::verify::evidence::PenaltyProbe;

const NO_DEFAULTS: Change = |e| {
    for kind in [EngineKind::Lmstudio, EngineKind::Ollama] {
        let name = e.engine(kind).name.clone();
        let url = "http://127.0.0.1:1".parse().unwrap();
        let mut engine = e.config.discovered(kind, &name, url);
        engine.defaults = false;
        e.config().engines.push(engine);
    }
};

const STALLED: Change = |e| {
    let counters = e.counters.as_mut().unwrap();
    counters.uptime = Duration::from_mins(10);
    counters.polls.insert("lmstudio".to_owned(), 100);
    counters.polls.insert("ollama".to_owned(), 1);
};

fn probe(evidence: &mut Evidence, rewards_repetition: bool) {
    let words = if rewards_repetition {
        "the text repeats itself with 0.1"
    } else {
        "the text is the same with 0.1"
    };
    let probe = PenaltyProbe {
        rewards_repetition,
        words: words.to_owned(),
    };
    evidence.probes.insert("lmstudio".into(), probe);
}

pub(super) static CASES: &[Case] = &[
    right(
        LmstudioModelTtl,
        NOTHING,
        InEffect,
        "asked 300 s; found 0 unloaded by its clock, no model of Crucible's idle for longer than 20 s",
    ),
    wrong(
        LmstudioModelTtl,
        |e| e.ollama().residents[0].idle = Duration::from_secs(400),
        "found llama:3b idle for 400 s",
        "unload llama:3b",
    ),
    right(
        LmstudioModelTtl,
        |e| {
            e.counters.as_mut().unwrap().expired = 4;
            e.lmstudio().residents[0].owned = false;
            e.ollama().residents.clear();
        },
        InEffect,
        "found 4 unloaded by its clock, Crucible holds no model that could be idle; read from \
         Crucible's counters",
    ),
    wrong(
        LmstudioModelTtl,
        |e| e.ollama().ttl = Some(Duration::from_mins(10)),
        "found 600 s on ollama; read from the scheduler's clocks",
        "restart Crucible",
    ),
    hidden(
        LmstudioModelTtl,
        |e| e.counters = None,
        "no instance is running",
        "crucible serve",
    ),
    right(
        LmstudioStreamBufferSize,
        NOTHING,
        InEffect,
        "asked at most 1024 bytes coalesced; found 300 bytes on average in 30 writes",
    ),
    wrong(
        LmstudioStreamBufferSize,
        |e| e.counters.as_mut().unwrap().stream_bytes = 30_000_000,
        "found 1000000 bytes on average",
        "report it",
    ),
    right(
        LmstudioStreamTimeout,
        NOTHING,
        InEffect,
        "found 30 s in force; 0 streams ended by it",
    ),
    wrong(
        LmstudioStreamTimeout,
        |e| e.config().timeouts.idle = Duration::from_secs(60),
        "asked 30 s; found 60 s in force",
        "[timeouts] idle",
    ),
    right(
        LmstudioTemperature,
        NOTHING,
        InEffect,
        "asked 0.3 where a request has none; found filled in 0 times",
    ),
    wrong(
        LmstudioTemperature,
        NO_DEFAULTS,
        "every engine has `defaults = false`",
        "defaults = false",
    ),
    right(
        LmstudioTemperature,
        |e| e.config().tuning.lmstudio.temperature = None,
        NotApplicable,
        "sets none",
    ),
    right(
        LmstudioTopP,
        NOTHING,
        InEffect,
        "asked 0.8 where a request has none",
    ),
    wrong(
        LmstudioTopP,
        NO_DEFAULTS,
        "every engine has `defaults = false`",
        "defaults = false",
    ),
    hidden(
        LmstudioFrequencyPenalty,
        NOTHING,
        "nobody has probed it",
        "crucible doctor --probe",
    ),
    right(
        LmstudioFrequencyPenalty,
        |e| probe(e, false),
        InEffect,
        "the text is the same",
    ),
    wrong(
        LmstudioFrequencyPenalty,
        |e| probe(e, true),
        "the text repeats itself with 0.1; it is no longer filled in on lmstudio",
        "frequency_penalty = 0.0",
    ),
    right(
        LmstudioPresencePenalty,
        NOTHING,
        InEffect,
        "asked 0.1 where a request has none",
    ),
    wrong(
        LmstudioPresencePenalty,
        NO_DEFAULTS,
        "every engine has `defaults = false`",
        "defaults = false",
    ),
    right(
        LmstudioKeepAliveInterval,
        NOTHING,
        InEffect,
        "asked residents read at least every 30 s; found lmstudio read 12 times in 60 s",
    ),
    wrong(
        LmstudioKeepAliveInterval,
        STALLED,
        "ollama read 1 times in 600 s",
        "crucible models",
    ),
    right(
        LmstudioKeepAliveEnabled,
        NOTHING,
        InEffect,
        "ollama read 12 times",
    ),
    wrong(
        LmstudioKeepAliveEnabled,
        STALLED,
        "ollama read 1 times in 600 s",
        "crucible models",
    ),
    right(
        LmstudioKeepAliveEnabled,
        |e| e.config().tuning.lmstudio.keep_alive_enabled = false,
        NotApplicable,
        "switched off",
    ),
    right(
        LmstudioModelWarmup,
        NOTHING,
        NotApplicable,
        "no model is pinned",
    ),
    right(
        LmstudioModelWarmup,
        |e| e.config().warm = vec!["ollama/llama:3b".to_owned()],
        InEffect,
        "all of them are loaded",
    ),
    wrong(
        LmstudioModelWarmup,
        |e| e.config().warm = vec!["big".to_owned()],
        "asked big; found big is not loaded",
        "crucible explain big",
    ),
    right(
        OllamaQuantization,
        NOTHING,
        InEffect,
        "asked q4_0; found no model has a q4_0 variant beside others",
    ),
    right(
        OllamaQuantization,
        |e| e.ollama().models = variants(),
        InEffect,
        "found 'llama:3b' goes to llama:3b-q4_0; read from Crucible's own choice",
    ),
    wrong(
        OllamaQuantization,
        |e| {
            e.ollama().models = variants();
            let text = "[[model]]\nname = \"llama:3b-q8_0\"\naliases = [\"llama:3b\"]\n";
            e.config().models = crate::plan::fixture::config(text).models;
        },
        "found 'llama:3b' goes to llama:3b-q8_0, and llama:3b-q4_0 is there",
        "remove the alias 'llama:3b'",
    ),
    wrong(
        OllamaQuantization,
        |e| {
            e.ollama().models =
                vec![model("llama:3b", "Q8_0"), model("llama:3b-q4_0", "Q4_0")].into();
        },
        "asked q4_0; found Q8_0 on llama:3b",
        "ask for llama:3b-q4_0 instead",
    ),
    right(
        OllamaQuantization,
        |e| {
            e.ollama().models =
                vec![model("llama:3b", "Q8_0"), model("llama:70b-q4_0", "Q4_0")].into();
        },
        InEffect,
        "no model has a q4_0 variant beside others",
    ),
    hidden(
        OllamaQuantization,
        |e| e.counters = None,
        "no instance is running",
        "crucible serve",
    ),
];

/// None of them has the name without a quantization.
fn variants() -> Arc<Vec<crate::catalog::ModelInfo>> {
    vec![
        model("llama:3b-q8_0", "Q8_0"),
        model("llama:3b-q4_0", "Q4_0"),
    ]
    .into()
}
