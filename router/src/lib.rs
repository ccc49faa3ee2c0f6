//! The router decides which engine answers a request, and when.
//!
//! It drives the engines' control side ([`engine`]), publishes their state ([`catalog`],
//! [`health`], [`view`]), turns a demand into a plan without side effects ([`plan`]), and schedules
//! loads and permits ([`scheduler`]). It knows no wire format of a client.

pub mod catalog;
pub mod client;
pub mod daily_tokens;
pub mod demand;
pub mod discovery;
pub mod engine;
pub mod event;
pub mod fleet;
pub mod handle;
pub mod health;
pub mod hop;
pub mod limits;
pub mod machine;
pub mod measurements;
pub mod options;
pub mod permit;
pub mod plan;
pub mod predict;
pub mod refusal;
pub mod replay;
pub mod scheduler;
mod shared_weights;
pub mod state_dir;
pub mod transport;
pub mod verify;
pub mod versions;
pub mod view;
pub mod work;
