//! LM Studio's own API as its clients ask it (0.4.25): the lists of models. Prompts on its paths are OpenAI's
//! under another prefix, which the path table does not tell apart.
//!
//! Clients read these documents strictly: Zed drops the whole list for one entry of a type or a state that it
//! does not know (`crates/lmstudio/src/lmstudio.rs`, `ModelEntry`), so every value is one of those that LM
//! Studio has, and a member is absent where it would be null.

mod v0;
mod v1;

pub(crate) use self::{
    v0::{entry as v0_entry, list as v0_list},
    v1::list as v1_list,
};
