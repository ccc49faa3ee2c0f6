//! The kinds of endpoints that a request may come to.

use crate::label::labels;

labels! {
    /// The kind of endpoint that a request came to; each client format has its own.
    Endpoint {
        Chat = "chat", Completions = "completions", Embeddings = "embeddings", Rerank = "rerank", Models = "models",
        Responses = "responses", Messages = "messages", Native = "native", Admin = "admin",
        Other = "other",
    }
}

impl Endpoint {
    /// The endpoints of clients' requests, which metrics count; scrapes, probes and the pages of Crucible
    /// itself are not among them.
    pub const OF_CLIENTS: &'static [Self] = &[
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Rerank,
        Self::Models,
        Self::Responses,
        Self::Messages,
        Self::Native,
        Self::Other,
    ];
}
