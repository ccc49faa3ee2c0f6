//! LM Studio's own API as its clients ask it (0.4.25): the lists of models. Prompts on its paths are OpenAI's, and
//! whole answers to them have three members more.
//!
//! Clients read these documents strictly: Zed drops the whole list for one entry of a type or a state that it
//! does not know (`crates/lmstudio/src/lmstudio.rs`, `ModelEntry`), so every value is one of those that LM
//! Studio has, and a member is absent where it would be null.

mod v0;
mod v0_answer;
mod v1;

pub(crate) use self::{
    v0::{entry as v0_entry, list as v0_list},
    v0_answer::with_facts,
    v1::{list as v1_list, one as v1_one},
};

/// The path of a chat on the older API.
pub(crate) const CHAT: &str = "/api/v0/chat/completions";

/// The path of a raw prompt on the older API.
pub(crate) const COMPLETIONS: &str = "/api/v0/completions";
