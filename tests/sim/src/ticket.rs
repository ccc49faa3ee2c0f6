//! One inference request's record: if it is dropped before it was closed, the client left
//! (hyper drops the handler, or the body, when the connection ends).

use std::sync::Arc;

use serde_json::Value;

use crate::log::{CompletionEntry, Log, Phase};

/// Lives as long as the request; knows where it is.
pub(crate) struct Ticket {
    log: Arc<Log>,
    pub(crate) seq: u64,
    model: String,
    pub(crate) phase: Phase,
    pub(crate) tokens: u64,
    /// Whether it wants an answer (else a load).
    pub(crate) answers: bool,
    closed: bool,
}

// === impl Ticket ===

impl Ticket {
    pub(crate) fn new(log: &Arc<Log>, seq: u64, model: &str) -> Self {
        log.enter();
        Self {
            log: Arc::clone(log),
            seq,
            model: model.to_owned(),
            phase: Phase::Queue,
            tokens: 0,
            answers: true,
            closed: false,
        }
    }

    /// The engine ended the request itself (an error, a fault).
    pub(crate) fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.log.leave();
        }
    }

    /// The whole answer went out.
    pub(crate) fn complete(
        &mut self,
        instance: &str,
        prompt_tokens: u64,
        finish: &str,
        options: Value,
    ) {
        self.log.completion(CompletionEntry {
            order: 0,
            seq: self.seq,
            at_ms: 0,
            instance: instance.to_owned(),
            prompt_tokens,
            completion_tokens: self.tokens,
            finish: finish.to_owned(),
            options,
        });
        self.close();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.closed {
            self.log
                .disconnect(self.seq, &self.model, self.phase, self.tokens);
            self.close();
        }
    }
}
