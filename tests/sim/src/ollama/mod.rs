//! Ollama 0.33.0-rc2 (commit fb30760), from its source: `server/routes.go`, `server/sched.go`,
//! `openai/openai.go`, `middleware/openai.go`, `api/types.go`.

mod admitted;
mod catalog;
mod duration;
mod embed;
pub(crate) mod errors;
mod generation;
mod manage;
mod native;
mod order;
pub(crate) mod routes;
pub(crate) mod runner;
pub(crate) mod scheduler;
mod tuple;
mod typed;
