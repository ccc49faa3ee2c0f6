//! Everything that routing may see of a request.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::{Class, ClientKey};

use crate::{catalog::ModelKind, client::ClientId};

/// One request, as the router sees it: no prompt, only what rules and budgets need.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of a request, not states"
)]
pub struct Demand {
    /// Request id, for views and events.
    pub request_id: Arc<str>,
    /// The name that the client sent.
    pub model: String,
    /// The purpose of the model that is asked for.
    pub kind: ModelKind,
    /// Estimated prompt tokens (bytes of messages and tools / 4).
    pub prompt_tokens: u64,
    /// Prompt tokens as an engine counted them when it refused the prompt for its length: at least
    /// so many, whatever is estimated.
    pub counted: Option<u64>,
    /// Context in tokens that the client asks for itself (`num_ctx`); the most that a model may have
    /// bounds it.
    pub num_ctx: Option<u64>,
    /// The longest answer in tokens: `max_tokens` or `max_completion_tokens`.
    pub max_tokens: Option<u64>,
    /// Whether tools are offered.
    pub tools: bool,
    /// `tool_choice` says that none of them is called: the model need not be able to.
    pub tool_choice_none: bool,
    /// Whether images are attached.
    pub images: bool,
    /// Streamed answer asked for.
    pub stream: bool,
    /// When the headers of a stream go out at the latest; from then on it has no status of its own.
    pub commits: Option<Instant>,
    /// Lower-cased text of the last user message; read only for a virtual model, else empty.
    pub last_user: String,
    /// Number of the conversation: the name that is asked for, the session header, the first user
    /// text and whether tools are offered; the system text where no header names the session. Only
    /// for a virtual model.
    pub conversation: Option<u64>,
    /// Hash of the system text: tells apart what begins with the same words.
    pub instructions: u64,
    /// The session header alone: whose prompt may still be warm in a slot of the engine.
    pub session: Option<u64>,
    /// The request holds an assistant message: it is not the first turn.
    pub later_turn: bool,
    /// Request headers that a configured rule names, lower-cased names.
    pub headers: Vec<(String, String)>,
    /// The Crucibles that it came through.
    pub hops: Arc<[Arc<str>]>,
    /// The key of the client, where it sent a known one.
    pub key: Option<Arc<ClientKey>>,
    /// The client that asks.
    pub client: ClientId,
    /// A newer request of the same number makes this one pointless while it waits.
    pub supersedes: Option<u64>,
    /// The class of the request: interactive or background.
    pub class: Class,
}

/// The tokens that are reserved for an answer whose length is not limited.
const UNLIMITED_RESERVE: u64 = 1024;
/// The most tokens that are reserved for an answer whose length is limited.
const LARGEST_RESERVE: u64 = 2048;

// === impl Demand ===

impl Demand {
    /// Returns the tokens that the prompt takes of a model's context, where `prompt_tokens` is
    /// their estimate for that model: at least as many as an engine counted, and 0 for embeddings.
    pub fn prompt_for(&self, prompt_tokens: u64) -> u64 {
        match self.kind {
            ModelKind::Embedding => 0,
            ModelKind::Generation => prompt_tokens.max(self.counted.unwrap_or(0)),
        }
    }

    /// Returns the tokens of context that are kept for the answer where there is room:
    /// `max_tokens`, but 2048 at most; 1024 without a limit; 0 for embeddings.
    pub fn reserve(&self) -> u64 {
        match (self.kind, self.max_tokens) {
            (ModelKind::Embedding, _) => 0,
            (ModelKind::Generation, Some(max)) => max.min(LARGEST_RESERVE),
            (ModelKind::Generation, None) => UNLIMITED_RESERVE,
        }
    }

    /// Returns the tokens of context that prompt and answer need together.
    pub fn context_for(&self, prompt_tokens: u64) -> u64 {
        self.prompt_for(prompt_tokens)
            .saturating_add(self.reserve())
    }

    /// Returns the least context in tokens with which the request can be answered: the prompt, and
    /// one token of the answer.
    pub fn least_context_for(&self, prompt_tokens: u64) -> u64 {
        let prompt = self.prompt_for(prompt_tokens);
        prompt.saturating_add(self.reserve().min(1))
    }
}
