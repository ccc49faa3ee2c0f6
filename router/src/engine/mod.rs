//! The control side of engines: what they have, what is resident, load and unload.
//!
//! Every kind of engine has a driver here that implements [`Engine`]: [`build`] makes the one of a
//! configured engine, [`identify`] recognises a kind by its answers. What differs between kinds as mere
//! data is their [profile](crucible_config::engine_profile). Prompts and answers go another way: the
//! proxy sends them itself.

mod description;
mod driver;
mod error;
mod http;
mod llamacpp;
mod lmstudio;
mod ollama;
pub mod ollama_recipe;
mod one_token;
mod openai;
mod registry;
pub(crate) mod setting;
mod slots;
mod spawn;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod token;

pub(crate) use self::{
    driver::backoff,
    http::EngineEndpoint,
    lmstudio::{engine_idle_ttl, instance_facts},
    one_token::{ask_for_one_token, is_an_answer},
    token::{refused_access, token_in},
};
pub use self::{
    driver::{Engine, Listing, LoadOrder},
    error::EngineError,
    http::{Client, client},
    lmstudio::{IdleTtl, InstanceFacts, LoadConfig},
    ollama::ollama_options,
    registry::{build, identify},
    slots::{SlotPrompt, SlotReading},
    spawn::children::Children,
    token::token_of,
};
pub use crate::options::{LoadTuple, tuple_for};
