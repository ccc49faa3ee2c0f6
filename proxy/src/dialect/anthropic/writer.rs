//! The writer of the answer to one request of `/v1/messages`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{
    answer::{transcoder::MessageTranslator, whole},
    request_facts::MessagesRequestFacts,
};
use crate::{
    dialect::chat::{AnswerWriter, ClientTranscoder, event_translator::TranslatingTranscoder},
    error::Error,
};

/// Writes the answer to one request as a message, whole or as events.
#[derive(Debug)]
pub(super) struct MessagesWriter(Arc<MessagesRequestFacts>);

// === impl MessagesWriter ===

impl MessagesWriter {
    pub(super) fn new(
        model: Option<String>,
        estimate: u64,
        stop_sequences: Vec<String>,
        cap: usize,
    ) -> Self {
        Self(Arc::new(MessagesRequestFacts {
            model: Value::from(model.unwrap_or_default()).to_string(),
            estimate,
            stop_sequences,
            cap,
        }))
    }
}

impl AnswerWriter for MessagesWriter {
    fn transcoder(&self) -> Box<dyn ClientTranscoder> {
        let message = MessageTranslator::new(Arc::clone(&self.0), message_id());
        Box::new(TranslatingTranscoder::new(message))
    }

    fn whole(&self, completion: Bytes) -> Result<Bytes, Error> {
        let text = String::from_utf8_lossy(&completion);
        whole::message(&text, &self.0, &message_id()).map(Bytes::from)
    }
}

/// Makes the id of a message.
fn message_id() -> String {
    format!("msg_{:024x}", rand::random::<u128>() >> 32)
}
