//! The time limits of an answer whose engine has nothing to read: what is due is done, and the alarm is
//! set for the rest.

use std::task::{Context, Poll};

use bytes::Bytes;
use crucible_router::machine::awake::READ_FIRST;
use http_body::Body;
use tokio::time::Instant;

use super::{RelayBody, turn::Step};
use crate::{
    error::{Error, ErrorKind},
    relay::clocks::{DueClock, Missed},
};

/// The decision about one thing that is due.
enum DueOutcome {
    /// The step of the answer is this one.
    Step(Step),
    /// Something else may be due now.
    Again,
    /// Nothing more is due before this moment.
    Until(Instant),
    /// A question is under way, which wakes the task.
    Asked,
}

// === impl RelayBody ===

impl<B> RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Does what is due while the engine is silent; pending where nothing is, with the task woken when
    /// something is.
    pub(super) fn poll_time_limits(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.alarm.poll_ending(cx).is_ready() {
            let result = self.shut_down();
            return Poll::Ready(self.over(result));
        }
        let now = Instant::now();
        if self.alarm.rests(now, cx) {
            return Poll::Pending;
        }
        if self.alarm.is_late(now) {
            // What came meanwhile was read before this, and there was nothing.
            self.clocks.stood_still(now);
        }
        loop {
            let now = Instant::now();
            let at = match self.do_due(now, cx) {
                DueOutcome::Step(step) => return Poll::Ready(step),
                DueOutcome::Again => continue,
                DueOutcome::Until(at) => at,
                DueOutcome::Asked => return Poll::Pending,
            };
            if self.alarm.poll_until(at, now, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Does the one thing that is due at `now`.
    fn do_due(&mut self, now: Instant, cx: &mut Context<'_>) -> DueOutcome {
        if self.close_at.is_some_and(|at| now >= at) {
            let result = self.finish();
            return DueOutcome::Step(self.over(result));
        }
        match self.clocks.due(now) {
            DueClock::Missed(Missed::Idle | Missed::ToolCall) | DueClock::Look
                if self.prefill.others() =>
            {
                self.clocks.heard(now);
                DueOutcome::Again
            }
            // Nothing more came after all: what there is, is whole.
            DueClock::Missed(_) | DueClock::Look if self.complete => {
                let result = self.finish();
                DueOutcome::Step(self.over(result))
            }
            DueClock::Missed(missed) => self.miss(missed, now),
            DueClock::Look => self.look(cx),
            DueClock::Heartbeat => {
                self.clocks.spoke(now);
                // What is about to be sent keeps the connection alive as well.
                if !self.heartbeats || !self.out.is_empty() {
                    return DueOutcome::Again;
                }
                self.out.extend(self.dialect.heartbeat());
                DueOutcome::Step(Step::Moved)
            }
            DueClock::At(at) => DueOutcome::Until(self.close_at.map_or(at, |close| at.min(close))),
        }
    }

    /// Fails the answer for a missed time limit, once what came meanwhile was read.
    fn miss(&mut self, missed: Missed, now: Instant) -> DueOutcome {
        if missed == Missed::FirstToken && self.reads_on() {
            return DueOutcome::Again;
        }
        if !self.overdue {
            self.overdue = true;
            return DueOutcome::Until(now + READ_FIRST);
        }
        if now < self.alarm.at() {
            return DueOutcome::Until(self.alarm.at());
        }
        let error = self.late(missed, now);
        DueOutcome::Step(self.over(Err(error)))
    }

    /// Asks the engine whether it is at work.
    fn look(&mut self, cx: &mut Context<'_>) -> DueOutcome {
        match self.looks.poll(cx) {
            // It is bounded, and wakes this task when it is done.
            Poll::Pending => DueOutcome::Asked,
            Poll::Ready(Ok(())) => {
                self.clocks.looked(Instant::now());
                DueOutcome::Again
            }
            Poll::Ready(Err(error)) => DueOutcome::Step(self.over(Err(error))),
        }
    }

    /// The end of an answer because Crucible has to end: an error, unless only the engine's end of a whole
    /// answer is waited for.
    fn shut_down(&mut self) -> Result<(), Error> {
        if self.close_at.is_some() {
            return self.finish();
        }
        Err(Error::new(ErrorKind::Draining, "Crucible is shutting down").retry_after(5))
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
}
