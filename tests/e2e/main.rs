//! End-to-end tests by behaviour, through the real binary over real sockets.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_cmp,
    clippy::panic,
    reason = "steps that cannot be taken fail the test, counters are whole numbers, tasks end with it"
)]

mod access;
mod admin;
mod answers;
mod bad_input;
mod bad_settings;
mod bench;
mod beside_instance;
mod breaker;
mod browser;
mod cancel;
mod chat;
mod check;
#[cfg(unix)]
mod child_sockets;
mod client;
#[cfg(target_os = "linux")]
mod clock;
mod commands;
mod compatibility;
mod completions;
mod config_names;
mod conformance;
mod connect;
#[cfg(target_os = "linux")]
mod container;
mod departed;
#[cfg(target_os = "linux")]
mod discovery;
mod doctor;
mod embeddings;
mod endings;
mod engine_paths;
mod environment;
mod event_readers;
mod fallback;
mod faults;
mod findings;
mod growth;
mod guard;
mod hops;
mod http;
mod inspect;
mod launch;
mod linger;
mod live_page;
#[cfg(unix)]
mod llama_router;
mod lmstudio;
mod lmstudio_api;
mod messages;
mod metrics;
mod modelfile;
mod models;
mod names;
mod native_lists;
mod numbers;
#[cfg(unix)]
mod odd_files;
mod ollama_api;
mod one_account;
mod one_truth;
mod open_page;
mod otlp;
mod overload;
mod own_faults;
mod ownership;
mod passthrough;
mod predict;
mod prefill;
mod prefix;
mod probe;
mod prometheus;
mod pulled;
mod queue;
mod ranking;
mod real;
mod real_modelfile;
#[cfg(target_os = "linux")]
mod real_ollama;
mod real_prefix;
mod real_requests;
mod real_settings;
mod real_tasks;
mod real_templates;
mod reload;
#[cfg(target_os = "linux")]
mod reload_places;
mod replay;
mod request_lines;
mod requests;
mod rerank;
mod residency;
#[cfg(target_os = "linux")]
mod resources;
mod responses;
mod revision;
mod scheduler;
mod secrets;
mod settings;
mod share;
mod shared_weights;
mod shutdown;
#[cfg(unix)]
mod silence;
#[cfg(unix)]
mod spawned;
#[cfg(unix)]
mod standstill;
#[cfg(unix)]
mod state_files;
mod sticky;
mod streaming;
#[cfg(target_os = "linux")]
mod terminal;
mod texts;
mod tls;
mod tool_silence;
mod top;
#[cfg(unix)]
mod try_fetch;
mod usage;
mod vanished;
mod websocket;
