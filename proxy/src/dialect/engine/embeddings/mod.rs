//! Texts that become vectors: the request in OpenAI's form of `/v1/embeddings`, and the reader that makes
//! an answer in that form of what an engine says.
//!
//! Vectors are encoded here and not by the engine, because some engines answer numbers whatever encoding
//! they are asked for (LM Studio 0.4). No text is cut: an engine that would cut one without a word is
//! asked in a way that shows it ([`truncation`]).

mod reader;
mod request;
mod truncation;
mod vectors;

pub(crate) use self::{
    reader::{VectorReader, VectorSource},
    request::EmbeddingRequest,
    truncation::LengthenedInputs,
};
