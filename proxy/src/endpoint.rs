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
