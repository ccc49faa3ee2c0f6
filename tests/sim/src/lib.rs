//! Simulated engines: an LM Studio 0.4.25, an Ollama 0.33.0-rc2 and a llama-server b10488 that
//! answer over real sockets as the documented ones do, nasty parts included, with scripted
//! delays, memory and faults. A test starts one in its own process ([`Sim::start`]); the program
//! `crucible-sim` is the same for other languages. Answers are derived from the request; all
//! pauses use tokio's clock. What was seen and done is in [`Sim::log`].

mod control;
mod conversation;
mod deleted;
mod early;
mod faults;
mod generate;
mod http;
mod llamacpp;
mod lmstudio;
mod loading;
mod log;
mod memory;
mod model_spec;
mod ollama;
mod options;
mod sim;
mod ticket;
mod wire;

pub use conversation::{Conversation, ConversationTurn};
pub use faults::{Fault, FaultKind};
pub use log::{
    CompletionEntry, DisconnectEntry, FaultEntry, LoadEntry, LoadOutcome, LogView, Phase,
    ReloadEntry, RequestEntry, UnloadEntry,
};
pub use model_spec::{BadModel, ModelSpec};
pub use ollama::runner::run_as_runner;
pub use options::{EngineKind, Options, Overflow, WebSocket};
pub use sim::Sim;
