//! A request of Ollama's API, read into a chat request.
//!
//! The client's own body is kept beside it, for models on an Ollama. Everything that an engine reads of a
//! prompt keeps the client's JSON: texts, schemas, arguments, their order. `docs/ollama-api.md` lists every
//! field and what becomes of it.

#[cfg(test)]
mod bad_input;
mod chat;
mod embed;
mod fields;
mod generate;
mod messages;
mod notes;
mod open_calls;
mod options;
mod residency;
mod sampled;
mod spelling;
#[cfg(test)]
mod tests;
mod written;

use std::sync::Arc;

pub(super) use self::residency::ResidencyWish;
use self::{fields::ClientFields, notes::OllamaNotes, written::TranslatedBody};
use super::writer::OllamaWriter;
use crate::{
    body::{peek::PeekedBody, surrogates},
    dialect::{
        chat::{ChatRequest, NativeApi, NativeRequest, RequestTask},
        client_dialect::ClientRequest,
    },
    error::{Error, ErrorKind},
};

/// The brackets that the chat format opens beyond those of the client's body.
const DEEPER: usize = 8;

/// The note on a body in which half a character was replaced.
const HALF_CHARACTER: &str = "half a character (a lone surrogate) is sent as U+FFFD";

/// Reads a request of one path.
///
/// # Errors
/// The body is malformed, or a field is missing, of the wrong type or not to be served; the error names it
/// as the client wrote it.
pub(super) fn read(api: NativeApi, request: ClientRequest<'_>) -> Result<ChatRequest, Error> {
    let ClientRequest { body, config, .. } = request;
    if body.trim_ascii().is_empty() {
        return Err(Error::new(ErrorKind::InvalidJson, "missing request body"));
    }
    let (mut body, is_mended) = surrogates::mended(body);
    let depth = config.limits.json_depth;
    let top = PeekedBody::of(&body, depth)?;
    let mut notes = OllamaNotes::default();
    if let Some((text, note)) = spelling::exact(api, text_of(&body)?)? {
        body = text.into();
        notes.say(note);
    }
    let fields = ClientFields::of(text_of(&body)?, "")?;
    if is_mended {
        notes.say(HALF_CHARACTER);
    }
    let residency = residency::of(api, &fields)?;
    let mut written = TranslatedBody::with_room(body.len());
    written.set("model", fields.get("model"));
    let task = match api {
        NativeApi::Chat => chat::write(&fields, &mut written, &mut notes)?,
        NativeApi::Generate => generate::write(&fields, &mut written, &mut notes)?,
        NativeApi::Embed | NativeApi::Embeddings => {
            embed::write(api, &fields, &mut written, &mut notes)?
        }
    };
    if fields.get("keep_alive").is_some() && residency.is_none() {
        notes.say("keep_alive is Crucible's: see tuning.lmstudio.model_ttl");
    }
    if samples(task) {
        stream(&fields, &mut written)?;
    }
    let images_beside_raw = task == RequestTask::Completion
        && fields.list("images")?.is_some_and(|list| !list.is_empty());
    let chat = written.finish();
    let peek = PeekedBody::of(&chat, depth.saturating_add(DEEPER))?;
    let model = top.model.or_else(|| config.default_model.clone());
    let writer = OllamaWriter::new(api, model.as_deref(), config.limits.event);
    let residency = residency.map(|wish| writer.without_prompt(wish));
    Ok(ChatRequest {
        task,
        body: chat,
        peek: Arc::new(peek),
        notes: notes.always,
        writer: Some(Arc::new(writer)),
        shared: None,
        native: Some(Arc::new(NativeRequest {
            api,
            body,
            lost: notes.translated,
            images_beside_raw,
            residency,
        })),
    })
}

fn text_of(body: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(body)
        .map_err(|_| Error::new(ErrorKind::InvalidJson, "the body is not valid UTF-8"))
}

const fn samples(task: RequestTask) -> bool {
    matches!(task, RequestTask::Chat | RequestTask::Completion)
}

/// Adds `stream`, which is true where the client says nothing.
fn stream(fields: &ClientFields<'_>, body: &mut TranslatedBody) -> Result<(), Error> {
    if fields.boolean("stream")?.unwrap_or(true) {
        body.set("stream", Some("true"));
        body.set("stream_options", Some(r#"{"include_usage":true}"#));
    }
    Ok(())
}
