//! Engines that speak OpenAI's chat completions themselves: LM Studio, llama.cpp's server and
//! OpenAI-compatible servers.
//!
//! A request is the client's bytes with a few spliced edits ([`request`]), and an answer is the engine's
//! bytes, watched on the side ([`passthrough`]). The kinds differ by their [`quirks`].

mod choice;
mod completion;
mod edit_list;
mod event_lines;
mod half_characters;
mod messages;
pub(crate) mod no_answer;
pub mod passthrough;
pub(crate) mod prompt_events;
pub mod quirks;
mod readable;
pub mod request;
mod respelled;
mod response_format;
mod tasks;
mod template_switch;
mod unstreamed;
pub(crate) mod whole;

use crucible_config::checked::EngineKind;

use self::{passthrough::ChatPassthrough, quirks::OpenAiQuirks};
use super::{
    call_ids::CallIds,
    engine_format::{AnswerShape, EngineCall, EngineFormat, EngineTarget},
    validate_chat::validate_chat,
};
use crate::{
    dialect::chat::{ChatRequest, RequestTask, tool_choice},
    error::Error,
};

/// The format of engines that speak OpenAI's chat completions, with the quirks of one kind.
#[derive(Debug)]
pub(crate) struct OpenAiEngine {
    quirks: &'static OpenAiQuirks,
}

// === impl OpenAiEngine ===

impl OpenAiEngine {
    /// Returns the format with the quirks of a kind.
    pub(super) const fn of(kind: EngineKind) -> &'static Self {
        const LM_STUDIO: &OpenAiEngine = &OpenAiEngine::with(&quirks::LM_STUDIO);
        const LLAMA_CPP: &OpenAiEngine = &OpenAiEngine::with(&quirks::LLAMA_CPP);
        const OPENAI_COMPATIBLE: &OpenAiEngine = &OpenAiEngine::with(&quirks::OPENAI_COMPATIBLE);
        match kind {
            EngineKind::Lmstudio => LM_STUDIO,
            EngineKind::Llamacpp => LLAMA_CPP,
            // Ollama is asked in a format of its own; in this one it would be any other server.
            EngineKind::Openai | EngineKind::Ollama => OPENAI_COMPATIBLE,
        }
    }

    const fn with(quirks: &'static OpenAiQuirks) -> Self {
        Self { quirks }
    }
}

impl EngineFormat for OpenAiEngine {
    fn can(&self, task: RequestTask) -> bool {
        task != RequestTask::Rerank || self.quirks.reranks
    }

    fn check_chat(&self, chat: &ChatRequest) -> Result<(), Error> {
        let Self { quirks } = self;
        let words_only = quirks.tool_choice_words_only;
        validate_chat(&chat.body, &chat.peek, &quirks.numbers, words_only)
    }

    fn write_chat(
        &self,
        chat: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        let ChatRequest { body, peek, .. } = chat;
        let edited = request::edit(body, peek, target.instance, target.defaults, self.quirks)?;
        let answer = if peek.stream {
            let kind = self.quirks.kind;
            let stream = ChatPassthrough::new(kind, edited.injected_usage, target.event_limit)
                .with_ids(CallIds::new(edited.call_ids))
                .with_prompt_events(edited.prompt_events)
                .reading_answerer(self.quirks.answers_for_others);
            AnswerShape::Stream(Box::new(stream))
        } else {
            AnswerShape::Whole(edited.call_ids)
        };
        Ok(EngineCall {
            path: "/v1/chat/completions",
            body: edited.body,
            answer,
            defaults: edited.defaults,
            notes: edited.notes,
            dropped: Vec::new(),
            may_call_tools: peek.has_tools(body) && !tool_choice::is_none(body, peek),
            slots: None,
            is_clients: false,
        })
    }

    fn check_completion(&self, request: &ChatRequest) -> Result<(), Error> {
        completion::check(request, self.quirks)
    }

    fn write_completion(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        completion::check(request, self.quirks)?;
        let quirks = completion::for_completions(self.quirks);
        let ChatRequest { body, peek, .. } = request;
        let edited = request::edit(body, peek, target.instance, target.defaults, &quirks)?;
        let answer = if peek.stream {
            let stream =
                ChatPassthrough::new(quirks.kind, edited.injected_usage, target.event_limit)
                    .of_texts()
                    .with_prompt_events(edited.prompt_events)
                    .reading_answerer(quirks.answers_for_others);
            AnswerShape::Stream(Box::new(stream))
        } else {
            AnswerShape::Whole(edited.call_ids)
        };
        Ok(EngineCall {
            path: "/v1/completions",
            body: edited.body,
            answer,
            defaults: edited.defaults,
            notes: edited.notes,
            dropped: Vec::new(),
            may_call_tools: false,
            slots: None,
            is_clients: false,
        })
    }

    fn check_embedding(&self, request: &ChatRequest) -> Result<(), Error> {
        tasks::embedding(request, self.quirks).map(drop)
    }

    fn write_embedding(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        tasks::write_embedding(request, target, self.quirks)
    }

    fn write_rerank(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error> {
        tasks::write_rerank(request, target, self.quirks)
    }

    fn counting_path(&self) -> Option<&'static str> {
        let counts = self.quirks.counts_prompts;
        counts.then_some("/v1/chat/completions/input_tokens")
    }
}
