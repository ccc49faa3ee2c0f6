//! The request that is sent to an engine.

use super::routed_request::RoutedRequest;
use crate::{dialect::engine::AnswerShape, upstream::Prompt};

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
