//! An answer that is ready to be played, and its playing in one piece. The armed faults act on it, and it ends
//! early when its resident is killed.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::header::CONTENT_LENGTH;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::faults::{Fault, FaultKind};
use crate::generate::{Answer, Piece};
use crate::http::{self, Reply};
use crate::llamacpp::prompts::HeldPrompt;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::encode::{Encode, Totals};

/// Ends the answers of a resident, with the engine's words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kill {
    token: CancellationToken,
    words: Arc<OnceLock<String>>,
}

/// An answer ready to be played.
pub(crate) struct Play {
    pub(crate) core: Arc<Core>,
    pub(crate) ticket: Ticket,
    pub(crate) encoder: Box<dyn Encode>,
    pub(crate) answer: Answer,
    pub(crate) instance: String,
    /// What the engine used of the request, for the log.
    pub(crate) options: Value,
    pub(crate) kill: Kill,
    /// Slot and lease: dropped with the body.
    pub(crate) _hold: Box<dyn Send>,
    /// llama-server: its place in the slots, until the answer is over.
    pub(crate) prompt: Option<HeldPrompt>,
    /// llama-server: the stream begins with how far the prompt is read.
    pub(crate) tells_progress: bool,
    pub(crate) began: Instant,
    pub(crate) load: Duration,
    pub(crate) prefill: Duration,
    pub(crate) streamed: bool,
    pub(crate) path: String,
}

// === impl Kill ===

impl Kill {
    pub(crate) fn strike(&self, words: &str) {
        // The first words stay.
        self.words.get_or_init(|| words.to_owned());
        self.token.cancel();
    }

    pub(crate) async fn struck(&self) -> String {
        self.token.cancelled().await;
        self.words.get().cloned().unwrap_or_default()
    }
}

// === impl Play ===

impl Play {
    /// The numbers of the answer once so many tokens were made in this time.
    pub(super) fn totals(&self, tokens: u64, generation: Duration) -> Totals {
        let count = |kind: fn(&&Piece) -> bool| {
            u64::try_from(self.answer.pieces.iter().filter(kind).count()).unwrap_or(u64::MAX)
        };
        Totals {
            finish: self.answer.finish,
            prompt_tokens: self.answer.prompt_tokens,
            completion_tokens: tokens,
            thinking_tokens: count(|piece| matches!(piece, Piece::Thinking(_))),
            calls: count(|piece| matches!(piece, Piece::Call(_))),
            total: self.began.elapsed(),
            load: self.load,
            prefill: self.prefill,
            generation,
        }
    }

    /// Notes in the log that the answer was made whole.
    pub(super) fn complete(&mut self) {
        let options = std::mem::take(&mut self.options);
        let (tokens, finish) = (self.answer.prompt_tokens, self.answer.finish);
        self.ticket
            .complete(&self.instance, tokens, finish, options);
    }

    /// The non-streamed answer: all pauses first, then the body.
    pub(super) async fn whole(mut self, faults: &[Fault]) -> Reply {
        let started = Instant::now();
        let pace = self.core.options.pace(&self.options);
        let has = |kind| faults.iter().find(|fault| fault.kind == kind);
        if has(FaultKind::Crash).is_some() {
            self.core.crash();
        }
        if let Some(fault) = has(FaultKind::ErrorEvent) {
            self.ticket.close();
            return self.encoder.failed(said(fault));
        }
        for _ in 0..self.answer.pieces.len() {
            tokio::select! {
                biased;
                words = self.kill.struck() => {
                    self.ticket.close();
                    return self.encoder.failed(&words);
                }
                () = pause(pace) => self.ticket.tokens += 1,
            }
        }
        let totals = self.totals(self.ticket.tokens, started.elapsed());
        let mut body = self.encoder.whole(&self.answer, &totals).to_string();
        if has(FaultKind::Garbage).is_some() {
            let half = body.len() / 2;
            body = body.chars().take(half).collect();
        }
        let cut = has(FaultKind::Cut)
            .or_else(|| has(FaultKind::Eof))
            .or_else(|| has(FaultKind::Stall));
        let Some(fault) = cut else {
            self.complete();
            return http::full(200, "application/json; charset=utf-8", body);
        };
        self.belied(fault, body)
    }

    /// A body that its Content-Length belies: cut off, or standing still.
    fn belied(mut self, fault: &Fault, body: String) -> Reply {
        let length = body.len();
        let at = fault
            .after_bytes
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(length / 2);
        let mut bytes = Bytes::from(body);
        bytes.truncate(at.min(length));
        let stalls = fault.kind == FaultKind::Stall;
        if !stalls {
            self.ticket.close();
        }
        let stall = stalls.then_some(self);
        let rest = stream::unfold((Some(bytes), stall), |(bytes, stall)| async move {
            if let Some(bytes) = bytes {
                return Some((Ok(bytes), (None, stall)));
            }
            if stall.is_some() {
                std::future::pending::<()>().await;
            }
            // Lets hyper write what it has before the connection breaks.
            tokio::task::yield_now().await;
            Some((Err(io::Error::other("cut")), (None, None)))
        });
        let mut reply = http::stream("application/json; charset=utf-8", rest);
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
        reply
    }
}

/// The words of an error in an answer.
pub(super) fn said(fault: &Fault) -> &str {
    let own = "the engine failed while generating";
    fault.text.as_deref().unwrap_or(own)
}

/// Lets a time pass.
pub(super) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
