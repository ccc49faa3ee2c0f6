//! The trait that every engine format implements, and what a request becomes in it.

use std::{collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;
use crucible_config::checked::{PrefixSettings, RequestDefaults};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};

use crate::{
    dialect::{
        chat::{ChatRequest, EngineTranscoder, RequestTask, SharedFormat},
        engine::{document::DocumentReader, rerank::RerankRequest},
    },
    error::Error,
    metrics::DroppedParam,
    usage::SlotReadings,
};

/// A format in which engines are asked and answer.
///
/// An implementation has no state of its own; it is a static in the table of
/// [`format_of`](super::format_of).
pub(crate) trait EngineFormat: fmt::Debug + Send + Sync {
    /// Reports whether engines of this kind can do a task at all.
    fn can(&self, task: RequestTask) -> bool;

    /// Checks what an engine of this kind needs of a request, before a permit is waited for.
    ///
    /// # Errors
    /// `missing_field`, `invalid_type` and `unsupported_value`, each with the path of the field.
    fn check(&self, request: &ChatRequest) -> Result<(), Error> {
        match request.task {
            RequestTask::Chat => self.check_chat(request),
            RequestTask::Completion => self.check_completion(request),
            RequestTask::Embedding => self.check_embedding(request),
            RequestTask::Rerank => self.check_rerank(request),
        }
    }

    /// Writes a request for an engine.
    ///
    /// # Errors
    /// Those of [`Self::check`], and a part of the request that this format cannot express.
    fn write(&self, request: &ChatRequest, target: &EngineTarget<'_>) -> Result<EngineCall, Error> {
        match request.task {
            RequestTask::Chat => self.write_chat(request, target),
            RequestTask::Completion => self.write_completion(request, target),
            RequestTask::Embedding => self.write_embedding(request, target),
            RequestTask::Rerank => self.write_rerank(request, target),
        }
    }

    /// Checks a conversation, as [`Self::check`].
    fn check_chat(&self, request: &ChatRequest) -> Result<(), Error>;

    /// Writes a conversation, as [`Self::write`].
    fn write_chat(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error>;

    /// Checks a raw prompt, as [`Self::check`].
    fn check_completion(&self, request: &ChatRequest) -> Result<(), Error>;

    /// Writes a raw prompt, as [`Self::write`]. Its answer becomes events, or a whole answer, of OpenAI's
    /// `text_completion`.
    fn write_completion(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error>;

    /// Checks texts to be embedded, as [`Self::check`].
    fn check_embedding(&self, request: &ChatRequest) -> Result<(), Error>;

    /// Writes texts to be embedded, as [`Self::write`].
    fn write_embedding(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error>;

    /// Checks documents to be ranked, as [`Self::check`].
    fn check_rerank(&self, request: &ChatRequest) -> Result<(), Error> {
        RerankRequest::read(request).map(drop)
    }

    /// Writes documents to be ranked, as [`Self::write`].
    fn write_rerank(
        &self,
        request: &ChatRequest,
        target: &EngineTarget<'_>,
    ) -> Result<EngineCall, Error>;

    /// Returns the path of the question how many tokens the prompt of a request has, which takes the body
    /// of [`Self::write`] and answers with `input_tokens`; `None` where the engine does not count.
    fn counting_path(&self) -> Option<&'static str> {
        None
    }
}

/// The engine, model and settings for which a chat request is written.
pub(crate) struct EngineTarget<'a> {
    /// The engine's name of the model.
    pub(crate) model: &'a str,
    /// The engine's name of the resident that answers, which is the model's where it has no other.
    pub(crate) instance: &'a str,
    /// The context of the whole resident in tokens, where that is known.
    pub(crate) context: Option<u64>,
    /// The load options of the resident.
    pub(crate) tuple: &'a LoadTuple,
    /// The sampling values that fill the gaps of the request.
    pub(crate) defaults: &'a RequestDefaults,
    /// The breakers of prefix caches that are taken out.
    pub(crate) prefix: PrefixSettings,
    /// Looks up what the model can do; only some formats need it.
    pub(crate) capabilities: &'a dyn Fn() -> Capabilities,
    /// The most bytes that one event or line of the answer may have (`limits.event`).
    pub(crate) event_limit: usize,
}

/// A request in an engine's format, and how its answer is read.
pub(crate) struct EngineCall {
    /// The path below the engine's address.
    pub(crate) path: &'static str,
    /// The body that is sent.
    pub(crate) body: Bytes,
    /// The way in which the engine's answer becomes chat events or a chat completion.
    pub(crate) answer: AnswerShape,
    /// The names of the sampling values that were filled in.
    pub(crate) defaults: Vec<&'static str>,
    /// Sentences for the header `x-crucible-note` about what was changed or left out.
    pub(crate) notes: Vec<String>,
    /// The names of the parameters that the format has no place for.
    pub(crate) dropped: Vec<DroppedParam>,
    /// Whether the answer may be a tool call, of which an engine may send nothing until it is whole.
    pub(crate) may_call_tools: bool,
    /// Takes the readings of the engine's slots during the answer; `None` where the answer itself says how
    /// much of the prompt was cached.
    pub(crate) slots: Option<Arc<SlotReadings>>,
    /// Whether the answer is in the client's own format as it comes, so that nobody writes it anew.
    pub(crate) is_clients: bool,
}

/// The ways in which an engine's answer is read.
pub(crate) enum AnswerShape {
    /// The engine streams and the client wants a stream.
    Stream(Box<dyn EngineTranscoder>),
    /// The engine streams and the client wants one JSON, which comes at the end.
    Aggregate(Box<dyn EngineTranscoder>),
    /// The engine answers with one chat completion. The set holds the ids of tool calls that the
    /// conversation has already.
    Whole(HashSet<String>),
    /// The engine answers with one JSON in the client's own format.
    Passed(SharedFormat),
    /// The engine answers with one document that is no completion.
    Document(Box<dyn DocumentReader>),
}

// === impl EngineCall ===

impl EngineCall {
    /// A request whose answer is one document, without sampling values.
    pub(crate) fn of_document(
        path: &'static str,
        body: Bytes,
        reader: impl DocumentReader + 'static,
    ) -> Self {
        Self {
            path,
            body,
            answer: AnswerShape::Document(Box::new(reader)),
            defaults: Vec::new(),
            notes: Vec::new(),
            dropped: Vec::new(),
            may_call_tools: false,
            slots: None,
            is_clients: false,
        }
    }
}
