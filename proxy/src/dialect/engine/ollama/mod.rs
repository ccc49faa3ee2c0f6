//! Ollama's native chat format, `/api/chat` (Ollama 0.33).
//!
//! Ollama's own OpenAI layer loses the context size, `max_completion_tokens`, overflow errors and errors
//! in mid-stream; the native API keeps them. A request is translated ([`request`]), always asked as a
//! stream, and the lines of the answer become chat events or one chat completion ([`response`]).

mod embed;
mod generate;
mod native;
pub mod request;
pub mod response;
mod think;

use std::sync::Arc;

use crate::{
    dialect::{
        chat::{ChatRequest, RequestTask},
        engine::{
            engine_format::{AnswerShape, EngineCall, EngineFormat, EngineTarget},
            validate_chat::validate_chat,
        },
    },
    error::{Error, ErrorKind},
    usage::SlotReadings,
};

use self::{
    request::{NUMBERS, to_ollama},
    response::{ConversationState, OllamaAggregate, OllamaStream, created},
};

/// The engine format of Ollama's native API: `/api/chat`, `/api/generate` and `/api/embed`.
#[derive(Debug)]
pub(crate) struct OllamaChat;

// === impl OllamaChat ===

impl EngineFormat for OllamaChat {
    fn can(&self, task: RequestTask) -> bool {
        task != RequestTask::Rerank
    }

    fn write(&self, request: &ChatRequest, target: &EngineTarget<'_>) -> Result<EngineCall, Error> {
        if let Some(native) = &request.native {
            self.check(request)?;
            return native::write(native, request, target);
        }
        match request.task {
            RequestTask::Chat => self.write_chat(request, target),
            RequestTask::Completion => self.write_completion(request, target),
            RequestTask::Embedding => self.write_embedding(request, target),
            RequestTask::Rerank => self.write_rerank(request, target),
        }
    }

    fn check_chat(&self, chat: &ChatRequest) -> Result<(), Error> {
        validate_chat(&chat.body, &chat.peek, &NUMBERS, true)
    }

    fn write_chat(
        &self,
        chat: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        let translated = to_ollama(
            &chat.body,
            &chat.peek,
            target.model,
            target.tuple,
            target.defaults,
            (target.capabilities)(),
            target.prefix,
        )?;
        let slots = Arc::<SlotReadings>::default();
        let conversation = ConversationState {
            slots: Arc::clone(&slots),
            call_ids: translated.call_ids,
            hides_thinking: translated.hides_thinking,
        };
        let asked = chat.peek.model.as_deref().unwrap_or(target.model);
        let (created, limit) = (created(), target.event_limit);
        let answer = if chat.peek.stream {
            let stream = OllamaStream::new(asked, created, translated.include_usage, limit);
            AnswerShape::Stream(Box::new(stream.after(conversation)))
        } else {
            let whole = OllamaAggregate::new(asked, created, limit);
            AnswerShape::Aggregate(Box::new(whole.after(conversation)))
        };
        Ok(EngineCall {
            path: "/api/chat",
            body: translated.body,
            answer,
            defaults: translated.defaults,
            notes: translated.notes,
            dropped: translated.dropped,
            may_call_tools: translated.has_tools,
            slots: Some(slots),
            is_clients: false,
        })
    }

    fn check_completion(&self, request: &ChatRequest) -> Result<(), Error> {
        generate::check(request).map(drop)
    }

    fn write_completion(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        generate::write(request, target)
    }

    fn check_embedding(&self, request: &ChatRequest) -> Result<(), Error> {
        embed::embedding(request).map(drop)
    }

    fn write_embedding(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        embed::write(request, target)
    }

    fn write_rerank(&self, _: &ChatRequest, _: &EngineTarget<'_>) -> Result<EngineCall, Error> {
        Err(Error::new(
            ErrorKind::UnknownEndpoint,
            "Ollama ranks no documents",
        ))
    }
}
