//! Who runs where.
//!
//! Engines' control side ([`engine`]), what is there ([`catalog`], [`health`], [`view`]),
//! demand to plan (pure, [`plan`]) and the load scheduler with its permits ([`scheduler`]).
//! Knows no wire dialect of a client.

pub mod catalog;
pub mod client;
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
