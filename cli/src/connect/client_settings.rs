//! The values that every client is given: where Crucible is, the key, and the models with their contexts.

/// The context that is written where Crucible was not asked or does not know it, in tokens. The profile
/// `agent` has it.
pub(crate) const ASSUMED_CONTEXT: u64 = 32_768;

/// The text in place of a key where Crucible asks for none, because many clients refuse an empty
/// one.
const NO_KEY: &str = "none";

/// The values that the settings of a client are made from.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// The address without a path and without a slash at the end: `http://127.0.0.1:8484`.
    pub(crate) url: String,
    /// The client key, where Crucible wants one.
    pub(crate) key: Option<String>,
    /// The model that the client begins with.
    pub(crate) model: ChosenModel,
    /// More models, for clients that show a list of their own.
    pub(crate) others: Vec<ChosenModel>,
}

/// A model that a client is told of, by the name that Crucible answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenModel {
    /// The name.
    pub(crate) name: String,
    /// The context that Crucible gives to a prompt of this client; `None` where it is not known.
    pub(crate) context: Option<u64>,
}

// === impl ClientSettings ===

impl ClientSettings {
    /// The base URL of OpenAI's formats, which ends in `/v1`.
    pub(crate) fn v1(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// The key, or a word in its place for clients that want one in any case.
    pub(crate) fn key_or_word(&self) -> &str {
        self.key.as_deref().unwrap_or(NO_KEY)
    }

    /// All models, the one that the client begins with first.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ChosenModel> {
        std::iter::once(&self.model).chain(&self.others)
    }
}

// === impl ChosenModel ===

impl ChosenModel {
    /// The context in tokens, assumed where it is not known.
    pub(crate) fn tokens(&self) -> u64 {
        self.context.unwrap_or(ASSUMED_CONTEXT)
    }

    /// A limit for one answer that leaves most of the context to the prompt.
    pub(crate) fn answer_tokens(&self) -> u64 {
        (self.tokens() / 4).clamp(512, 8192)
    }
}
