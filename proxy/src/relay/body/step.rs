//! One step of an answer: a frame of the engine, its end, or what its time limits ask for.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use super::{
    End, RelayBody,
    turn::{Step, TURN},
};
use crate::{
    dialect::chat::StreamProgress,
    error::{Error, ErrorKind, UpstreamError},
};

/// The time that an engine has to close its body after an end behind which nothing can follow.
pub(super) const CLOSING: Duration = Duration::from_secs(1);

// === impl RelayBody ===

impl<B> RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Returns pending once after [`TURN`] ready frames in a row, so that other streams get their
    /// turn.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn < TURN {
            return Poll::Ready(());
        }
        self.turn = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one frame of the engine; where none is ready, the time limits are looked at.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
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
                let result = self.cut();
                Poll::Ready(self.over(result))
            }
            Poll::Ready(None) => {
                let result = self.finish();
                Poll::Ready(self.over(result))
            }
            Poll::Pending => {
                self.turn = 0;
                self.poll_time_limits(cx)
            }
        }
    }

    /// The end of an answer whose connection broke: an error, unless the answer was complete.
    fn cut(&mut self) -> Result<(), Error> {
        if self.complete {
            return self.finish();
        }
        let cut = Error::new(
            ErrorKind::EngineCut,
            "the connection to the engine broke during its answer",
        );
        Err(if self.events == 0 {
            cut.upstream(UpstreamError::Reset)
        } else {
            cut
        })
    }

    /// Notes how far the answer is.
    fn take(&mut self, progress: StreamProgress, now: Instant) {
        if let Some(prompt) = progress.prompt {
            self.watch.prompt(prompt, now);
        }
        if self.events == 0 && progress.events > 0 {
            self.watch.began();
            self.clocks.begun();
            self.alarm.may_be_earlier();
        }
        self.events += u64::from(progress.events);
        self.calls |= progress.calls;
        if progress.content > 0 {
            self.note_token();
            self.prefill.leave();
            self.watch.content(progress.content, now);
        }
        if let Some(usage) = progress.usage {
            self.watch.usage(usage);
        }
        if progress.complete {
            self.complete = true;
            // An answer without a token is over too, and only the gap is left to wait for.
            self.note_token();
            if !progress.open {
                self.close_at.get_or_insert(now + CLOSING);
                self.alarm.may_be_earlier();
            }
        } else if progress.content > 0 {
            self.complete = false;
        }
    }

    /// Notes that there is no first token to wait for any more, only the gap behind the last frame.
    fn note_token(&mut self) {
        if self.clocks.token() {
            self.alarm.may_be_earlier();
        }
    }

    /// Takes the end of the engine's body.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let progress = self.transcode.finish(&mut self.out)?;
        self.take(progress, Instant::now());
        Ok(())
    }

    /// Ends the work with the engine, whose connection and permit are free before the client has
    /// read the rest.
    pub(super) fn over(&mut self, result: Result<(), Error>) -> Step {
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

    /// Ends the answer with this error.
    pub(super) fn fail(&mut self, error: &Error) {
        self.tell(error);
        self.end(End::Failed(error.kind));
    }

    fn tell(&mut self, error: &Error) {
        if !self.ended {
            self.watch.failed(error);
        }
    }

    /// Notes the end of the answer, once.
    pub(super) fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.ended, true) {
            self.watch.ended(end);
        }
    }
}
