//! The facts about a request that its answer is written with.

/// The facts about a request to `/v1/messages` that its answer is written with.
#[derive(Debug)]
pub(super) struct MessagesRequestFacts {
    /// The JSON of the model's name, as the client spelt it.
    pub(super) model: String,
    /// The estimated tokens of the prompt, which stand for the count until the engine tells it.
    pub(super) estimate: u64,
    /// The client's stop sequences, to which an engine's word for the one that ended is compared.
    pub(super) stop_sequences: Vec<String>,
    /// The most bytes that may be held back.
    pub(super) cap: usize,
}
