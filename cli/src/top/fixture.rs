//! An instance at work, for tests.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use crucible_config::Config;
use crucible_documents::{FindingDoc, StateDoc, VerifiedDoc, running::InstanceEvent};
use serde_json::{Value, json};

use super::watched::{ClockReading, FeedEvent, WatchedInstance};

/// The moment of the fixture: 2026-11-29 12:00:00 UTC.
pub(super) fn now() -> ClockReading {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    ClockReading {
        instant: *START + Duration::from_secs(3600),
        unix_ms: 1_795_953_600_000,
    }
}

fn engine(name: &str, kind: &str, device: &str, state: &str) -> Value {
    json!({
        "name": name, "kind": kind, "device": device, "pool": device, "url": "http://127.0.0.1:1234/",
        "state": state, "breaker": "closed", "error": null, "version": "0.4.12", "advice": [],
        "discovered": false, "load_control": true, "wedged": false, "models": ["qwen2.5-coder-7b", "nomic"],
        "permits": { "limit": 2, "active": 2 }, "queue": { "limit": 64, "waiting": 2 },
    })
}

fn resident(engine: &str, model: &str, bytes: u64, active: u32) -> Value {
    json!({
        "engine": engine, "model": model, "names": [model], "instance": model, "context": 16384, "bytes": bytes,
        "active": active, "idle_s": 75.0, "pinned": false, "owned": true,
    })
}

fn in_flight(id: &str, model: &str, phase: &str, tokens: u32) -> Value {
    json!({
        "request_id": id, "client": "key laptop", "engine": "lmstudio", "model": model, "reason": "exact",
        "phase": phase, "since_s": 12.4, "tokens": tokens,
    })
}

/// Two engines of which one is down, a load, two requests that are answered and two that wait.
pub(super) fn state() -> StateDoc {
    let mut ollama = engine("ollama", "ollama", "cpu", "down");
    ollama["error"] = json!("connection refused: nothing listens at 127.0.0.1:11434");
    let mut reading = in_flight("01-reading", "qwen2.5-coder-7b", "prefill", 0);
    reading["prefill"] = json!({
        "total": 12345, "cached": 1000, "processed": 7650, "ratio": 0.62, "remaining_s": 13.2, "source": "estimate",
    });
    let waiter = |id: &str, position: u32, reason: &str| {
        json!({
            "request_id": id, "engine": "lmstudio", "model": "模型-7b", "position": position, "waiting_s": 3.1,
            "reason": reason,
        })
    };
    serde_json::from_value(json!({
        "instance": { "version": "0.1.0", "started_unix": 1_795_945_800_u64 },
        "owns_state": true,
        "engines": [engine("lmstudio", "lmstudio", "gpu", "up"), ollama],
        "pools": [
            {
                "name": "gpu", "budget_bytes": 12_000_000_000_u64, "used_bytes": 8_700_000_000_u64,
                "others_bytes": 1_200_000_000_u64, "peak_bytes": 9_000_000_000_u64,
                "loading": { "model": "模型-7b", "since": 3.2, "expected_s": 12.0 },
                "residents": [
                    resident("lmstudio", "qwen2.5-coder-7b", 4_700_000_000, 2),
                    resident("lmstudio", "nomic", 4_000_000_000, 0),
                ],
            },
            { "name": "cpu", "budget_bytes": null, "used_bytes": 0, "loading": null, "residents": [] },
        ],
        "queue": [waiter("03-first", 1, "load"), waiter("04-second", 2, "swap")],
        "in_flight": [
            reading,
            in_flight("02-answering", "qwen2.5-coder-7b", "stream", 412),
            in_flight("03-first", "模型-7b", "queue", 0),
            in_flight("04-second", "模型-7b", "queue", 0),
        ],
    }))
    .unwrap()
}

fn answer(ago_s: u64, outcome: &str) -> Value {
    json!({
        "kind": "answer", "at_ms": now().unix_ms - ago_s * 1000, "request_id": format!("r-{ago_s}"),
        "engine": "lmstudio", "model": "qwen2.5-coder-7b", "queue_s": 0.1, "first_token_s": 0.4, "took_s": 5.2,
        "prompt_tokens": 12345, "cached_tokens": 12000, "output_tokens": 150, "tokens_per_second": 31.2,
        "status": if outcome == "ok" { 200 } else { 502 }, "outcome": outcome,
    })
}

/// Everything that an instance may tell at one time.
pub(super) fn watched() -> WatchedInstance {
    let before = now().unix_ms - 60_000;
    let mut entries = vec![
        json!({ "kind": "load", "at_ms": before, "took_s": 2.1, "engine": "lmstudio", "model": "qwen2.5-coder-7b",
            "outcome": "ok", "trigger": "request" }),
        json!({ "kind": "eviction", "at_ms": before, "engine": "lmstudio", "model": "old", "reason": "conflict" }),
    ];
    entries.extend([90, 80, 40, 30, 20].map(|ago| answer(ago, "ok")));
    entries.push(answer(10, "engine_cut"));
    let entries = serde_json::from_value(Value::Array(entries)).unwrap();
    let finding = FindingDoc {
        engine: "ollama".to_owned(),
        fault: "old_version".to_owned(),
        asked: "0.30.0".to_owned(),
        found: "0.22.0".to_owned(),
        read_from: "GET /api/version".to_owned(),
        fix: "update Ollama".to_owned(),
    };
    let settings = VerifiedDoc {
        report: Config::builtin().tuning_report(),
        findings: vec![finding],
    };
    let mut watched = WatchedInstance::new("http://127.0.0.1:8484".to_owned());
    let mut earlier = state();
    earlier.in_flight[1].tokens = 374;
    let a_second_ago = ClockReading {
        instant: now().instant.checked_sub(Duration::from_secs(1)).unwrap(),
        ..now()
    };
    watched.note(FeedEvent::Connected, a_second_ago);
    watched.note(
        FeedEvent::Event(InstanceEvent::Timeline(entries)),
        a_second_ago,
    );
    watched.note(
        FeedEvent::Event(InstanceEvent::State(Box::new(earlier))),
        a_second_ago,
    );
    watched.note(
        FeedEvent::Event(InstanceEvent::State(Box::new(state()))),
        now(),
    );
    watched.note(FeedEvent::Settings(Box::new(settings)), now());
    watched
}
