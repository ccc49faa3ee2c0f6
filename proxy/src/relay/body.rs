//! The response body of a streamed answer. It relays the engine's frames as they come, enforces the
//! time limits, owns the permit and reports to an observer how the answer goes.
//!
//! The engine is polled before the clocks, so that a frame that has arrived never becomes a
//! timeout. Only frames that are ready are joined, up to the size of the buffer; nothing is held
//! back.

mod looks;
mod parts;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use crucible_router::machine::awake::{LATE, READ_FIRST};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub(crate) use crate::relay::body::{
    looks::Look,
    parts::{End, Parts, Watch},
};
use crate::{
    dialect::{
        ClientDialect,
        chat::{EngineTranscoder, StreamProgress},
    },
    error::{Error, ErrorKind, UpstreamError},
    relay::{
        body::looks::Looks,
        clocks::{Clocks, DueClock, Missed},
        prefill::Prefill,
    },
};

/// The number of ready frames in a row after which other streams get their turn.
const TURN: u32 = 16;

/// The time that an engine has to close its body after an end behind which nothing can follow.
const CLOSING: Duration = Duration::from_secs(1);

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
    alarm: Pin<Box<Sleep>>,
    alarm_at: Instant,
    watch: Box<dyn Watch>,
    guard: Option<Box<dyn Send>>,
    prefill: Prefill,
    looks: Looks,
    ending: CancellationToken,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The task that the alarm and the cancellation wake.
    waker: Option<Waker>,
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

/// The result of polling the engine once.
enum Step {
    /// More bytes came, or a heartbeat was due.
    Moved,
    /// The answer ended, properly or with an error.
    Ended(Result<(), Error>),
}

// === impl RelayBody ===

impl<B> RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Makes the body that the client reads; the clock of the first token runs since
    /// `parts.sent_at`.
    pub(crate) fn new(parts: Parts<B>) -> Box<Self> {
        let clocks = Clocks::new(parts.budgets, parts.sent_at);
        let alarm_at = parts.sent_at + parts.budgets.first_token;
        Box::new(Self {
            upstream: Some(parts.upstream),
            transcode: parts.transcode,
            dialect: parts.dialect,
            out: VecDeque::new(),
            buffer: parts.buffer.max(1),
            clocks,
            alarm: Box::pin(sleep_until(alarm_at)),
            alarm_at,
            watch: parts.watch,
            guard: Some(parts.guard),
            prefill: parts.prefill,
            looks: Looks::new(parts.look),
            cancelled: Box::pin(parts.ending.clone().cancelled_owned()),
            ending: parts.ending,
            waker: None,
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

    /// Waits for the engine's first complete event, so that an error in its place still gets a
    /// status of its own.
    pub(crate) async fn started(mut self: Box<Self>) -> Result<Box<Self>, Error> {
        std::future::poll_fn(|cx| {
            loop {
                if self.poll_turn(cx).is_pending() {
                    return Poll::Pending;
                }
                match std::task::ready!(self.poll_step(cx)) {
                    Step::Moved if self.events > 0 => return Poll::Ready(Ok(())),
                    // Comments of an engine that has not begun are kept only as far as is free.
                    Step::Moved if self.ready_bytes() > self.buffer => self.out.clear(),
                    Step::Moved => {}
                    Step::Ended(Ok(())) => return Poll::Ready(Ok(())),
                    Step::Ended(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
        .inspect_err(|error| self.fail(error))?;
        self.heartbeats = true;
        Ok(self)
    }

    /// Returns the model that the engine's first event names; `None` where it names none.
    pub(crate) fn answerer(&self) -> Option<&str> {
        self.transcode.answerer()
    }

    /// Ends an answer of which nothing was handed out yet with this error.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.fail(error);
    }

    /// Reads the answer to its end and returns it as one piece, for a client that asked for no
    /// stream.
    pub(crate) async fn gathered(mut self: Box<Self>) -> Result<Bytes, Error> {
        std::future::poll_fn(|cx| {
            loop {
                if self.poll_turn(cx).is_pending() {
                    return Poll::Pending;
                }
                match std::task::ready!(self.poll_step(cx)) {
                    Step::Moved => {}
                    Step::Ended(result) => return Poll::Ready(result),
                }
            }
        })
        .await
        .inspect_err(|error| self.fail(error))?;
        self.end(End::Complete);
        let mut whole = BytesMut::new();
        for part in self.out.drain(..) {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// Returns pending once after [`TURN`] ready frames in a row, so that other streams get their
    /// turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn < TURN {
            return Poll::Ready(());
        }
        self.turn = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Some(upstream) = &mut self.upstream else {
            return Poll::Ready(Step::Ended(Ok(())));
        };
        match Pin::new(upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.turn += 1;
                let now = Instant::now();
                self.clocks.heard(now);
                self.looks.forget();
                self.overdue = false;
                let Ok(data) = frame.into_data() else {
                    return Poll::Ready(Step::Moved);
                };
                let pushed = self.transcode.push(data, &mut self.out);
                Poll::Ready(match pushed {
                    Ok(progress) => {
                        self.take(progress, now);
                        Step::Moved
                    }
                    Err(error) => self.over(Err(error)),
                })
            }
            Poll::Ready(Some(Err(_))) => {
                let mut cut = Error::new(
                    ErrorKind::EngineCut,
                    "the connection to the engine broke during its answer",
                );
                if self.events == 0 {
                    cut = cut.upstream(UpstreamError::Reset);
                }
                let result = if self.complete {
                    self.finish()
                } else {
                    Err(cut)
                };
                Poll::Ready(self.over(result))
            }
            Poll::Ready(None) => {
                let result = self.finish();
                Poll::Ready(self.over(result))
            }
            Poll::Pending => {
                self.turn = 0;
                self.poll_clocks(cx)
            }
        }
    }

    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        // A chunk brings several looks: what is set for this task is not set again at each.
        let set = self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
        let ending = if set {
            self.ending.is_cancelled()
        } else {
            self.cancelled.as_mut().poll(cx).is_ready()
        };
        if ending && self.close_at.is_some() {
            // The answer is whole, and only the engine's end of it is waited for.
            let result = self.finish();
            return Poll::Ready(self.over(result));
        }
        if ending {
            let error = Error::new(ErrorKind::Draining, "Crucible is shutting down").retry_after(5);
            return Poll::Ready(self.over(Err(error)));
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.alarm_at) >= LATE {
            // What came meanwhile was read before this, and there was nothing.
            self.clocks.stood_still(now);
        }
        loop {
            let now = Instant::now();
            if self.close_at.is_some_and(|at| now >= at) {
                let result = self.finish();
                return Poll::Ready(self.over(result));
            }
            let at = match self.clocks.due(now) {
                DueClock::Missed(Missed::Idle | Missed::ToolCall) | DueClock::Look
                    if self.prefill.others() =>
                {
                    self.clocks.heard(now);
                    continue;
                }
                // Nothing more came after all: what there is, is whole.
                DueClock::Missed(_) | DueClock::Look if self.complete => {
                    let result = self.finish();
                    return Poll::Ready(self.over(result));
                }
                DueClock::Missed(Missed::FirstToken) if self.reads_on() => continue,
                DueClock::Missed(_) if !self.overdue => {
                    self.overdue = true;
                    now + READ_FIRST
                }
                DueClock::Missed(_) if now < self.alarm_at => self.alarm_at,
                DueClock::Missed(missed) => {
                    let error = self.late(missed, now);
                    return Poll::Ready(self.over(Err(error)));
                }
                DueClock::Look => match self.looks.poll(cx) {
                    // It is bounded, and wakes this task when it is done.
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {
                        self.clocks.looked(Instant::now());
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(self.over(Err(error))),
                },
                DueClock::Heartbeat if self.heartbeats => {
                    self.clocks.spoke(now);
                    self.out.extend(self.dialect.heartbeat());
                    return Poll::Ready(Step::Moved);
                }
                DueClock::Heartbeat => {
                    self.clocks.spoke(now);
                    continue;
                }
                DueClock::At(at) => self.close_at.map_or(at, |close| at.min(close)),
            };
            // Moving the alarm later can wait until it rings: frames come far more often.
            let moved = at < self.alarm_at || self.alarm_at <= now;
            if moved {
                self.alarm_at = at;
                self.alarm.as_mut().reset(at);
            }
            if set && !moved {
                return Poll::Pending;
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.alarm_at = now;
        }
    }

    /// Whether the engine has read on in the prompt since the clock of the first token was set, which
    /// sets it anew.
    fn reads_on(&mut self) -> bool {
        let reading = self.watch.reading();
        reading.is_some_and(|reading| self.clocks.read_on(reading.grew_at))
    }

    /// Returns the error of a missed time limit, with how far the prompt was read.
    fn late(&self, missed: Missed, now: Instant) -> Error {
        let error = missed.into();
        match self.watch.reading() {
            Some(reading) => reading.told_by(error, now),
            None => error,
        }
    }

    fn take(&mut self, progress: StreamProgress, now: Instant) {
        if let Some(prompt) = progress.prompt {
            self.watch.prompt(prompt, now);
        }
        if self.events == 0 && progress.events > 0 {
            self.watch.began();
        }
        self.events += u64::from(progress.events);
        self.calls |= progress.calls;
        if progress.events > 0 {
            self.clocks.begun();
        }
        if progress.content > 0 {
            self.clocks.token();
            self.prefill.leave();
            self.watch.content(progress.content, now);
        }
        if let Some(usage) = progress.usage {
            self.watch.usage(usage);
        }
        if progress.complete {
            self.complete = true;
            // An answer without a token is over too, and only the gap is left to wait for.
            self.clocks.token();
            if !progress.open {
                self.close_at.get_or_insert(now + CLOSING);
            }
        } else if progress.content > 0 {
            self.complete = false;
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let progress = self.transcode.finish(&mut self.out)?;
        self.take(progress, Instant::now());
        Ok(())
    }

    /// Ends the work with the engine, whose connection and permit are free before the client has
    /// read the rest.
    fn over(&mut self, result: Result<(), Error>) -> Step {
        self.upstream = None;
        self.prefill.leave();
        // First: whoever is granted the permit next is to know it.
        match &result {
            Err(error) => self.tell(error),
            Ok(()) if self.calls => self.watch.called_tools(),
            Ok(()) => {}
        }
        self.guard = None;
        Step::Ended(result)
    }

    fn fail(&mut self, error: &Error) {
        self.tell(error);
        self.end(End::Failed(error.kind));
    }

    fn tell(&mut self, error: &Error) {
        if !self.ended {
            self.watch.failed(error);
        }
    }

    fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.ended, true) {
            self.watch.ended(end);
        }
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
        self.out.iter().map(Bytes::len).sum()
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(at) = self.handed_out.take() {
            let pause = at.elapsed();
            self.clocks.excuse(pause);
            if pause > STALE_LOOK {
                self.looks.forget();
            }
            if pause >= LATE {
                // That the alarm was not heard is the client's doing, no pause of the process.
                self.alarm_at = self.alarm_at.max(at + pause);
            }
        }
        while !self.ended && self.ready_bytes() < self.buffer && self.turn < TURN {
            match self.poll_step(cx) {
                Poll::Ready(Step::Moved) => {}
                Poll::Ready(Step::Ended(Ok(()))) => self.end(End::Complete),
                Poll::Ready(Step::Ended(Err(error))) => {
                    let error = self.watch.worded(error);
                    let written = self.transcode.fail(&error);
                    let event = written.unwrap_or_else(|| self.dialect.in_band(&error));
                    if !event.is_empty() {
                        self.out.push_back(event);
                    }
                    self.fail(&error);
                }
                Poll::Pending => break,
            }
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
