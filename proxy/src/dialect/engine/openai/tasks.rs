//! Texts to be embedded and documents to be ranked, for engines that speak OpenAI's API.
//!
//! LM Studio (0.4) cuts a text to its context without a word, knows no lists of tokens and ranks nothing;
//! llama.cpp's server (tried with b11549) refuses a text that is longer than its batch.

use super::quirks::OpenAiQuirks;
use crate::{
    body::edit::{self, BodyEdit, NewValue},
    dialect::{
        chat::ChatRequest,
        engine::{
            embeddings::{EmbeddingRequest, LengthenedInputs, VectorReader, VectorSource},
            engine_format::{EngineCall, EngineTarget},
            rerank::{RankingReader, RerankRequest},
        },
    },
    error::Error,
};

/// Reads an embeddings request and checks it for an engine with these quirks.
pub(super) fn embedding<'a>(
    request: &'a ChatRequest,
    quirks: &OpenAiQuirks,
) -> Result<EmbeddingRequest<'a>, Error> {
    let read = EmbeddingRequest::read(request)?;
    if !quirks.token_lists {
        read.need_texts(quirks.kind.profile().product)?;
    }
    Ok(read)
}

/// Writes an embeddings request. Vectors are always asked for as numbers, which every engine answers.
pub(super) fn write_embedding(
    request: &ChatRequest,
    target: &EngineTarget<'_>,
    quirks: &OpenAiQuirks,
) -> Result<EngineCall, Error> {
    let ChatRequest { body, peek, .. } = request;
    let read = embedding(request, quirks)?;
    let model = peek.model.as_deref().unwrap_or(target.model);
    let mut reader = VectorReader::new(quirks.kind, VectorSource::OpenAi, &read, model);
    let mut edits = vec![
        BodyEdit::Set("model", NewValue::Text(target.instance)),
        BodyEdit::Remove("encoding_format"),
        BodyEdit::Remove("stream"),
    ];
    let lengthened;
    if quirks.cuts_inputs {
        /// The least that embedding models have, where the engine does not tell.
        const LEAST: u64 = 512;
        let context = target.context;
        reader = reader.with_copies(Vec::new(), context);
        lengthened = LengthenedInputs::of(&read.inputs, context.unwrap_or(LEAST));
        match &lengthened {
            Ok(None) => {}
            Ok(Some(lengthened)) => {
                edits.push(BodyEdit::Set("input", NewValue::Raw(&lengthened.list)));
                reader = reader.with_copies(lengthened.copied.clone(), context);
            }
            Err(at) => return Err(reader.too_long(*at, "")),
        }
    }
    let body = edit::apply(body, peek, &edits);
    Ok(EngineCall::of_document("/v1/embeddings", body, reader))
}

/// Writes a rerank request.
pub(super) fn write_rerank(
    request: &ChatRequest,
    target: &EngineTarget<'_>,
    quirks: &OpenAiQuirks,
) -> Result<EngineCall, Error> {
    let ChatRequest { body, peek, .. } = request;
    let read = RerankRequest::read(request)?;
    let mut edits = vec![
        BodyEdit::Set("model", NewValue::Text(target.instance)),
        BodyEdit::Remove("stream"),
    ];
    if let Some(documents) = &read.plain_documents {
        edits.push(BodyEdit::Set("documents", NewValue::Raw(documents)));
    }
    let body = edit::apply(body, peek, &edits);
    Ok(EngineCall::of_document(
        "/v1/rerank",
        body,
        RankingReader::new(quirks.kind, read),
    ))
}
