//! The response body of a streamed answer. It relays the engine's frames as they come, enforces the
//! time limits, owns the permit and reports to an observer how the answer goes.
//!
//! The engine is polled before the clocks, so that a frame that has arrived never becomes a
//! timeout. Only frames that are ready are joined, up to the size of the buffer; nothing is held
//! back.

mod alarm;
mod looks;
mod parts;
mod step;
mod time_limits;
mod turn;
mod unsent;
mod wake;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::Instant;

pub(crate) use crate::relay::body::{
    looks::Look,
    parts::{End, Parts, Watch},
};
use crate::{
    dialect::{ClientDialect, chat::EngineTranscoder},
    relay::{
        body::{
            alarm::Alarm,
            looks::Looks,
            turn::{Step, TURN},
            wake::AnswerWaker,
        },
        clocks::Clocks,
        prefill::Prefill,
    },
};

/// The pause of a reading client after which an unfinished question to the engine is dropped.
const STALE_LOOK: Duration = Duration::from_millis(200);

/// One answer on its way from its engine to its client.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of an answer"
)]
pub(crate) struct RelayBody<B> {
    upstream: Option<B>,
    transcode: Box<dyn EngineTranscoder>,
    dialect: &'static dyn ClientDialect,
    out: VecDeque<Bytes>,
    buffer: usize,
    clocks: Clocks,
    alarm: Alarm,
    wake: AnswerWaker,
    watch: Box<dyn Watch>,
    guard: Option<Box<dyn Send>>,
    prefill: Prefill,
    looks: Looks,
    heartbeats: bool,
    /// The number of the engine's events so far.
    events: u64,
    /// The number of frames in a row that were ready.
    turn: u32,
    complete: bool,
    /// Whether the answer calls tools.
    calls: bool,
    /// Whether a time limit has passed and the engine is polled once more before the answer fails.
    overdue: bool,
    /// The moment after which the end of the engine's body is not awaited any more; `None` before
    /// the answer's end.
    close_at: Option<Instant>,
    /// The moment at which the last poll returned bytes; the time since then is the client's.
    handed_out: Option<Instant>,
    ended: bool,
}

// === impl RelayBody ===

impl<B> RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Makes the body that the client reads; the clock of the first token runs since
    /// `parts.sent_at`.
    pub(crate) fn new(parts: Parts<B>) -> Box<Self> {
        let first = parts.sent_at + parts.budgets.first_token;
        Box::new(Self {
            upstream: Some(parts.upstream),
            transcode: parts.transcode,
            dialect: parts.dialect,
            out: VecDeque::new(),
            buffer: parts.buffer.max(1),
            clocks: Clocks::new(parts.budgets, parts.sent_at),
            alarm: Alarm::new(first, parts.ending),
            wake: AnswerWaker::new(),
            watch: parts.watch,
            guard: Some(parts.guard),
            prefill: parts.prefill,
            looks: Looks::new(parts.look),
            heartbeats: false,
            events: 0,
            turn: 0,
            complete: false,
            calls: false,
            overdue: false,
            close_at: None,
            handed_out: None,
            ended: false,
        })
    }

    /// Returns bytes that are ready, joined up to the size of the buffer; a larger piece goes
    /// alone.
    fn join(&mut self) -> Option<Bytes> {
        let first = self.out.pop_front()?;
        let fits = |len: usize, next: Option<&Bytes>| {
            next.is_some_and(|next| len + next.len() <= self.buffer)
        };
        if !fits(first.len(), self.out.front()) {
            return Some(first);
        }
        let mut joined = BytesMut::with_capacity(self.buffer);
        joined.extend_from_slice(&first);
        while fits(joined.len(), self.out.front()) {
            if let Some(next) = self.out.pop_front() {
                joined.extend_from_slice(&next);
            }
        }
        Some(joined.freeze())
    }

    fn ready_bytes(&self) -> usize {
        // Nothing is ready at most looks.
        if self.out.is_empty() {
            return 0;
        }
        self.out.iter().map(Bytes::len).sum()
    }

    /// Reads what is ready, up to the size of the buffer; pending where nothing more is.
    fn poll_engine(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended && self.ready_bytes() < self.buffer && self.turn < TURN {
            match std::task::ready!(self.poll_step(cx)) {
                Step::Moved => {}
                Step::Ended(Ok(())) => self.end(End::Complete),
                Step::Ended(Err(error)) => {
                    let error = self.watch.worded(error);
                    let written = self.transcode.fail(&error);
                    let event = written.unwrap_or_else(|| self.dialect.in_band(&error));
                    if !event.is_empty() {
                        self.out.push_back(event);
                    }
                    self.fail(&error);
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(at) = self.handed_out.take() {
            let pause = at.elapsed();
            self.clocks.excuse(pause);
            if pause > STALE_LOOK {
                self.looks.forget();
                self.wake.stay_awake();
            }
            self.alarm.excuse(at, pause);
        }
        if let Some(waker) = self.wake.woken(cx)
            && self
                .poll_engine(&mut Context::from_waker(&waker))
                .is_ready()
        {
            self.wake.stay_awake();
        }
        if let Some(bytes) = self.join() {
            let now = Instant::now();
            self.clocks.spoke(now);
            self.watch.sent(bytes.len());
            self.handed_out = Some(now);
            return Poll::Ready(Some(bytes));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        // hyper reads on for as long as there is something: the others have their turn once all
        // that was read is handed out.
        let _ = self.poll_turn(cx);
        Poll::Pending
    }
}

impl<B> Body for RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.get_mut()
            .poll_bytes(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    /// Is true with the last frame, so that hyper writes it together with the end of the body.
    fn is_end_stream(&self) -> bool {
        self.ended && self.out.is_empty()
    }
}

impl<B> Drop for RelayBody<B> {
    fn drop(&mut self) {
        if !self.ended {
            self.watch.ended(End::ClientGone);
        }
    }
}

#[cfg(test)]
mod tests;
