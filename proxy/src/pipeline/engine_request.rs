//! The request that is sent to an engine.

use std::collections::HashSet;

use super::routed_request::RoutedRequest;
use crate::{dialect::chat::EngineTranscoder, relay::upstream::Prompt};

/// How the engine's answer becomes the client's.
pub(crate) enum AnswerShape {
    /// Events as they come.
    Stream(Box<dyn EngineTranscoder>),
    /// The engine streams, the client wants one JSON (Ollama is always asked to stream).
    Aggregate(Box<dyn EngineTranscoder>),
    /// One JSON, as the engine wrote it. These ids of tool calls are taken.
    Whole(HashSet<String>),
}

/// A request ready to be sent.
pub(crate) struct EngineRequest {
    pub(crate) routed: Box<RoutedRequest>,
    pub(crate) prompt: Prompt,
    pub(crate) shape: AnswerShape,
    /// Names of what was filled in, the context included.
    pub(crate) defaults: Vec<&'static str>,
    /// What was clamped or dropped.
    pub(crate) notes: Vec<String>,
    /// Names of the parameters that were left out.
    pub(crate) dropped: Vec<&'static str>,
    /// The answer may be a tool call, of which an engine may send nothing until it is whole.
    pub(crate) may_call_tools: bool,
}
