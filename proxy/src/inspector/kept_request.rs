//! One request as the inspector keeps it, and its documents.

use std::sync::Arc;

use crucible_documents::inspector::{
    InspectedAttemptDoc, InspectedDoc, InspectedEndDoc, InspectedRowDoc, TurnDifferenceDoc,
};

use super::{curl, kept_text::KeptText, redaction::KeptHead};
use crate::{dialect::assembled, prefix::tracer::ConversationId};

/// The most attempts of a request that are kept; of more the last ones.
const MOST_ATTEMPTS: usize = 3;
/// The most bytes that are kept of the engine's answer to an attempt that failed.
const MOST_FAILED_ANSWER: usize = 64 << 10;

/// A request that is kept. A clone shares the bodies.
#[derive(Clone, Debug)]
pub(super) struct KeptRequest {
    /// The number of the request.
    pub(super) number: u64,
    /// Its id.
    pub(super) id: Arc<str>,
    /// When it came, in milliseconds since 1970.
    pub(super) at_ms: u64,
    /// Its client.
    pub(super) client: Arc<str>,
    /// Its method, path and headers.
    pub(super) head: Arc<KeptHead>,
    /// The body that the client sent.
    pub(super) received: Option<Arc<KeptText>>,
    /// What was sent to engines.
    pub(super) attempts: Vec<KeptAttempt>,
    /// The answer, as far as it went to the client.
    pub(super) answer: Arc<KeptText>,
    /// The facts of its end.
    pub(super) end: Option<Arc<KeptEnd>>,
    /// How many requests had ended before it; 0 until it ends.
    pub(super) ended_after: u64,
    /// The comparison with the previous turn; `None` before it is made.
    pub(super) compared: Option<ComparedTurn>,
}

/// What was sent to an engine.
#[derive(Clone, Debug)]
pub(super) struct KeptAttempt {
    /// The engine's name.
    pub(super) engine: Arc<str>,
    /// The engine's name of the model.
    pub(super) model: Arc<str>,
    /// The path on the engine.
    pub(super) path: String,
    /// The names of the values that were filled in.
    pub(super) defaults: Vec<String>,
    /// What was changed for this engine.
    pub(super) notes: Vec<String>,
    /// The error that ended it.
    pub(super) error: Option<String>,
    /// The body.
    pub(super) body: Arc<KeptText>,
    /// The status of the engine's answer.
    pub(super) status: Option<u16>,
    /// The engine's answer as it came; empty for one that was passed on.
    pub(super) answer: Arc<KeptText>,
    /// Whether the client got the bytes of that answer as they were, so that they are kept once.
    pub(super) is_passed_on: bool,
}

/// The facts of the end of a request.
#[derive(Clone, Debug)]
pub(crate) struct KeptEnd {
    /// The facts that the row shows.
    pub(crate) facts: InspectedEndDoc,
    /// The conversation; `None` for what is none.
    pub(crate) conversation: Option<ConversationId>,
    /// Where its hashes differ from the previous turn, in words, whether that turn is kept or not.
    pub(crate) diverged: Option<String>,
    /// What to do about that.
    pub(crate) fix: Option<String>,
    /// What was changed in the request, and why this candidate answered.
    pub(crate) notes: Vec<String>,
}

/// The comparison of a request with the previous turn of its conversation.
#[derive(Clone, Debug)]
pub(super) struct ComparedTurn {
    /// The comparison in one sentence, which the list shows.
    pub(super) change: Arc<str>,
    /// All of it; `None` where there is no turn to compare with.
    pub(super) difference: Option<Arc<TurnDifferenceDoc>>,
}

// === impl KeptRequest ===

impl KeptRequest {
    /// Returns the bytes of memory of its bodies.
    pub(super) fn size(&self) -> usize {
        let of_attempt = |attempt: &KeptAttempt| attempt.body.size() + attempt.answer.size();
        let attempts = self.attempts.iter().map(of_attempt);
        let received = self.received.as_ref().map_or(0, |body| body.size());
        received + attempts.sum::<usize>() + self.answer.size()
    }

    /// Adds an attempt; the first ones go where there are too many.
    pub(super) fn add_attempt(&mut self, attempt: KeptAttempt) {
        if self.attempts.len() == MOST_ATTEMPTS {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// Notes the facts of its end. An answer of the engine that went to the client as it was is kept once.
    pub(super) fn end(&mut self, end: KeptEnd, ended_after: u64) {
        self.ended_after = ended_after;
        if let Some(last) = self.attempts.last_mut()
            && last.answer.bytes() > 0
            && last.answer == self.answer
        {
            last.answer = Arc::default();
            last.is_passed_on = true;
        }
        self.end = Some(Arc::new(end));
    }

    /// Returns the request in short.
    pub(super) fn row(&self) -> InspectedRowDoc {
        let change = self.compared.as_ref().map(|compared| &compared.change);
        InspectedRowDoc {
            number: self.number,
            request_id: Arc::clone(&self.id),
            at_ms: self.at_ms,
            asked: format!("{} {}", self.head.method, self.head.target).into(),
            client: Arc::clone(&self.client),
            ended: self.end.as_ref().map(|end| end.facts.clone()),
            received_bytes: self.received.as_ref().map(|body| body.bytes()),
            sent_bytes: self.attempts.last().map(|attempt| attempt.body.bytes()),
            answer_bytes: self.answer.bytes(),
            change: change.map_or_else(|| "".into(), Arc::clone),
        }
    }

    /// Returns the whole request. `address` is the Crucible that the command of the document asks.
    pub(super) fn document(&self, address: &str) -> InspectedDoc {
        let difference = self.compared.as_ref();
        let difference = difference.and_then(|compared| compared.difference.as_deref());
        // What differs only in what was taken out before it was sent is no break.
        let is_broken = difference.is_none_or(|found| found.broken_at.is_some());
        let body = curl::body(&self.head, self.received.as_deref());
        let curl_note = body.err().or_else(|| curl::left_out(&self.head));
        let curl = body.map(|body| curl::command(&self.head, body, address));
        InspectedDoc {
            row: self.row(),
            headers: self.head.headers.clone(),
            notes: self
                .end
                .as_ref()
                .map_or_else(Vec::new, |end| end.notes.clone()),
            received: self.received.as_ref().map(|body| body.document()),
            attempts: self.attempts.iter().map(KeptAttempt::document).collect(),
            answer: (self.answer.bytes() > 0).then(|| self.answer.document()),
            assembled: assembled(self.answer.beginning()),
            difference: difference.cloned(),
            fix: self
                .end
                .as_ref()
                .filter(|_| is_broken)
                .and_then(|end| end.fix.clone()),
            curl: curl.ok(),
            curl_note: curl_note.map(str::to_owned),
        }
    }
}

// === impl KeptAttempt ===

impl KeptAttempt {
    /// Notes the error that ended it. The beginning of what the engine said is enough then.
    pub(super) fn fail(&mut self, error: String) {
        self.error = Some(error);
        Arc::make_mut(&mut self.answer).cut(MOST_FAILED_ANSWER);
    }

    fn document(&self) -> InspectedAttemptDoc {
        InspectedAttemptDoc {
            engine: Arc::clone(&self.engine),
            model: Arc::clone(&self.model),
            path: self.path.clone(),
            defaults: self.defaults.clone(),
            notes: self.notes.clone(),
            error: self.error.clone(),
            body: self.body.document(),
            status: self.status,
            answer: (self.answer.bytes() > 0).then(|| self.answer.document()),
            answer_passed_on: self.is_passed_on,
        }
    }
}
