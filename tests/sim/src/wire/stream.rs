//! Plays a streamed answer: prefix, tokens at their pace, the end; ends early when the resident is
//! killed; lets the armed faults act on events and bytes. Dropping the body drops everything it
//! holds (slot, ticket), so a client that leaves frees its slot at once.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;

use crate::faults::{Fault, FaultKind};
use crate::generate::Piece;
use crate::http::{self, Reply};
use crate::log::Phase;
use crate::wire::play::{Play, pause, said};

/// One thing to put on the wire.
enum Part {
    Bytes(Bytes),
    Pause(Duration),
    /// Nothing more until the client leaves.
    Silence,
    /// Break the connection.
    Break,
}

struct Playing {
    play: Play,
    faults: Vec<Fault>,
    /// Position in the pieces.
    next: usize,
    ready: VecDeque<Part>,
    events: u64,
    bytes: u64,
    /// Tokens of the prompt that are told as read.
    read: Option<u64>,
    opened: bool,
    over: bool,
    started: Instant,
}

// === impl Play ===

impl Play {
    /// The reply. A streamed one starts at once (the caller has waited for load and prefill).
    pub(crate) async fn reply(mut self) -> Reply {
        self.ticket.phase = Phase::Stream;
        let faults = self.core.faults.take_for_answer(&self.path);
        for fault in &faults {
            self.core.log.fault(self.ticket.seq, &fault.kind.name());
        }
        if self.streamed {
            let content_type = self.encoder.framing().content_type();
            let playing = Playing {
                play: self,
                faults,
                next: 0,
                ready: VecDeque::new(),
                events: 0,
                bytes: 0,
                read: None,
                opened: false,
                over: false,
                started: Instant::now(),
            };
            return http::stream(content_type, stream::unfold(playing, Playing::step));
        }
        self.whole(&faults).await
    }

    /// Gives the slot back before the answer is over.
    #[expect(
        clippy::used_underscore_binding,
        reason = "it is held for its end, not for its value"
    )]
    fn free(&mut self) {
        self._hold = Box::new(());
        self.prompt = None;
    }

    /// Stands still until the resident is killed (or the client leaves and this is dropped).
    async fn ticket_silent(&mut self) {
        self.kill.struck().await;
        self.ticket.close();
    }
}

// === impl Playing ===

impl Playing {
    fn find(&self, kind: FaultKind) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.kind == kind)
    }

    async fn step(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        loop {
            match self.ready.pop_front() {
                Some(Part::Bytes(bytes)) => return Some((Ok(bytes), self)),
                Some(Part::Pause(time)) => {
                    // Even a pause of nothing lets hyper flush what came before.
                    tokio::task::yield_now().await;
                    pause(time).await;
                }
                Some(Part::Silence) => {
                    self.play.ticket_silent().await;
                    self.over = true;
                }
                Some(Part::Break) => {
                    tokio::task::yield_now().await;
                    self.play.ticket.close();
                    self.over = true;
                    return Some((Err(io::Error::other("cut")), self));
                }
                None if self.over => {
                    self.play.ticket.close();
                    return None;
                }
                None => self.advance().await,
            }
        }
    }

    /// Makes the next event ready.
    async fn advance(&mut self) {
        if self.find(FaultKind::CommentsOnly).is_some() {
            return self.comment();
        }
        if let Some(payloads) = self.progress().await {
            // Faults count the events of the answer.
            for payload in payloads {
                self.bytes_out(&self.play.encoder.framing().frame(&payload));
            }
            return;
        }
        let payloads = if !self.opened {
            self.opened = true;
            self.play.encoder.open()
        } else if let Some(piece) = self.play.answer.pieces.get(self.next).cloned() {
            // The first token follows the prefill at once.
            let pace = if self.next == 0 {
                Duration::ZERO
            } else {
                self.play.core.options.pace(&self.play.options)
            };
            tokio::select! {
                biased;
                words = self.play.kill.struck() => return self.fail(&words),
                () = pause(pace) => {}
            }
            self.next += 1;
            self.play.ticket.tokens += 1;
            self.play.encoder.piece(&piece)
        } else {
            let totals = self
                .play
                .totals(self.play.ticket.tokens, self.started.elapsed());
            self.over = true;
            self.play.encoder.close(&totals)
        };
        for payload in payloads {
            if !self.event(&payload) {
                return;
            }
        }
        if self.over {
            self.play.complete();
        }
    }

    /// The next event about the prompt; `None` where none is told, or all of it is read.
    async fn progress(&mut self) -> Option<Vec<String>> {
        let prompt = self.play.prompt.as_ref()?;
        if !self.play.tells_progress || self.read == Some(prompt.total()) {
            return None;
        }
        let (read, progress) = prompt.next(self.read).await;
        self.read = Some(read);
        Some(self.play.encoder.progress(&progress))
    }

    fn comment(&mut self) {
        let every = self
            .find(FaultKind::CommentsOnly)
            .and_then(|fault| fault.delay_ms);
        let comment = self.play.encoder.framing().comment();
        self.ready
            .push_back(Part::Bytes(Bytes::from_static(comment.as_bytes())));
        self.ready.push_back(Part::Pause(Duration::from_millis(
            every.unwrap_or(1000).max(1),
        )));
    }

    fn fail(&mut self, words: &str) {
        let framing = self.play.encoder.framing();
        for payload in self.play.encoder.error(words) {
            self.bytes_out(&framing.frame(&payload));
        }
        self.over = true;
        self.play.ticket.close();
    }

    /// Sends one event through the faults; false ends the stream.
    fn event(&mut self, payload: &str) -> bool {
        self.events += 1;
        let frame = self.frame(payload);
        let ending = self.faults.iter().find(|fault| {
            matches!(
                fault.kind,
                FaultKind::Stall
                    | FaultKind::Lost
                    | FaultKind::Cut
                    | FaultKind::Eof
                    | FaultKind::ErrorEvent
                    | FaultKind::Crash
            )
        });
        match ending.cloned() {
            Some(fault) if fault.kind == FaultKind::Cut => self.cut(&fault, &frame),
            Some(fault) if self.events > fault.events() => self.end_by(&fault, &frame),
            _ => {
                self.bytes_out(&frame);
                true
            }
        }
    }

    /// One event as it goes out: itself, or what a fault puts in its place.
    fn frame(&mut self, payload: &str) -> String {
        let framing = self.play.encoder.framing();
        let is = |fault: Option<&Fault>, events: u64| fault.is_some_and(|f| f.events() == events);
        let mut frame = framing.frame(payload);
        if is(self.find(FaultKind::Garbage), self.events) {
            frame = framing.frame("{\"choices\":[{\"delta\":");
        }
        if is(self.find(FaultKind::BigEvent), self.events) {
            let bytes = self
                .find(FaultKind::BigEvent)
                .and_then(|fault| fault.after_bytes);
            let size = usize::try_from(bytes.unwrap_or(1 << 20)).unwrap_or(1 << 20);
            let big = Piece::Text("x".repeat(size.min(1 << 28)));
            let payloads = self.play.encoder.piece(&big);
            frame = payloads
                .iter()
                .map(|payload| framing.frame(payload))
                .collect();
        }
        frame
    }

    /// Ends the stream as the fault says; true where it goes on after a pause.
    fn end_by(&mut self, fault: &Fault, frame: &str) -> bool {
        match fault.kind {
            FaultKind::Stall => match fault.delay_ms {
                Some(delay) => {
                    self.faults.retain(|other| other.kind != FaultKind::Stall);
                    self.ready
                        .push_back(Part::Pause(Duration::from_millis(delay)));
                    self.bytes_out(frame);
                    return true;
                }
                None => self.ready.push_back(Part::Silence),
            },
            FaultKind::Lost => {
                self.play.free();
                self.ready.push_back(Part::Silence);
            }
            FaultKind::Eof => {
                self.over = true;
                self.play.ticket.close();
            }
            FaultKind::Crash => {
                self.play.core.crash();
                self.fail("model runner has unexpectedly stopped");
            }
            _ => self.fail(said(fault)),
        }
        false
    }

    fn cut(&mut self, fault: &Fault, frame: &str) -> bool {
        let size = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let at = match fault.after_bytes {
            Some(limit) if self.bytes + size > limit => limit.saturating_sub(self.bytes),
            None if self.events > fault.events() => size / 2,
            _ => {
                self.bytes_out(frame);
                return true;
            }
        };
        let at = usize::try_from(at).unwrap_or(0).min(frame.len());
        let bytes = frame.as_bytes().get(..at).unwrap_or_default();
        if !bytes.is_empty() {
            self.ready
                .push_back(Part::Bytes(Bytes::copy_from_slice(bytes)));
        }
        self.ready.push_back(Part::Break);
        false
    }

    fn bytes_out(&mut self, frame: &str) {
        self.bytes += u64::try_from(frame.len()).unwrap_or(0);
        let frame = if self.find(FaultKind::Crlf).is_some() {
            frame.replace('\n', "\r\n")
        } else {
            frame.to_owned()
        };
        let Some(split) = self.find(FaultKind::Split) else {
            self.ready.push_back(Part::Bytes(Bytes::from(frame)));
            return;
        };
        let size = usize::try_from(split.after_bytes.unwrap_or(1))
            .unwrap_or(1)
            .max(1);
        let between = Duration::from_millis(split.delay_ms.unwrap_or(0));
        for part in frame.as_bytes().chunks(size) {
            self.ready
                .push_back(Part::Bytes(Bytes::copy_from_slice(part)));
            self.ready.push_back(Part::Pause(between));
        }
    }
}
