//! The detector of wedged engines, which answer their polls and no request.

use super::{ProbeResult, RequestOutcome, WEDGED_AFTER, distinct_clients::DistinctClients};
use crate::{client::ClientId, view::Health};

/// The detector of a wedged engine: one that takes requests without ending them although it answers
/// its polls, as Ollama 0.33 does once its scheduler waits for ever. Only a restart of the engine
/// may help.
///
/// One client's long prompts look like silence too, so it takes the requests of two clients, or
/// Crucible's own probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WedgeDetector {
    /// Silent requests in a row.
    silent_requests: u32,
    /// The clients that met them.
    clients: DistinctClients,
    /// Whether Crucible's own probe met silence too.
    confirmed_by_probe: bool,
}

// === impl WedgeDetector ===

impl WedgeDetector {
    /// Whether the engine takes requests and answers none.
    pub fn is_wedged(&self) -> bool {
        self.silent_requests >= WEDGED_AFTER
            && (self.clients.are_several() || self.confirmed_by_probe)
    }

    /// Whether one client met silence often enough, so that only a probe of Crucible's own can
    /// tell.
    pub fn is_suspected(&self) -> bool {
        self.silent_requests >= WEDGED_AFTER && !self.is_wedged()
    }

    /// Takes the outcome of a request to an engine whose polls show `health`. An answer resets the
    /// detector, and silence counts where the engine is up; all other outcomes are ignored.
    pub fn note_request(&mut self, client: &ClientId, outcome: RequestOutcome, health: Health) {
        match outcome {
            RequestOutcome::Answered => *self = Self::default(),
            RequestOutcome::Silent if health == Health::Up => {
                self.silent_requests = self.silent_requests.saturating_add(1);
                self.clients.add(client);
            }
            _ => {}
        }
    }

    /// Takes the result of Crucible's own probe.
    pub fn note_probe(&mut self, found: ProbeResult) {
        match found {
            ProbeResult::Answers => *self = Self::default(),
            ProbeResult::Failing { silent } => self.confirmed_by_probe |= silent,
            ProbeResult::Unknown => {}
        }
    }

    /// Takes a poll: an engine that went down comes back as another process.
    pub fn note_poll(&mut self, health: Health) {
        if health == Health::Down {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The detector after a request to which nothing came.
    fn silent(detector: &WedgeDetector, client: &ClientId, health: Health) -> WedgeDetector {
        with(detector, |d| {
            d.note_request(client, RequestOutcome::Silent, health);
        })
    }

    /// The detector after what `act` notes.
    fn with(detector: &WedgeDetector, act: impl Fn(&mut WedgeDetector)) -> WedgeDetector {
        let mut next = detector.clone();
        act(&mut next);
        next
    }

    #[test]
    fn an_engine_that_answers_polls_but_no_request_is_wedged() {
        let (a, b) = (ClientId::of_key("a"), ClientId::of_key("b"));
        let once = silent(&WedgeDetector::default(), &a, Health::Up);
        assert!(!once.is_wedged() && !once.is_suspected());
        // One client's long prompts alone prove nothing.
        let twice = silent(&once, &a, Health::Up);
        assert!(!twice.is_wedged() && twice.is_suspected());
        assert!(!with(&twice, |s| s.note_probe(ProbeResult::Unknown)).is_wedged());
        assert!(
            !with(&twice, |s| s
                .note_probe(ProbeResult::Failing { silent: false }))
            .is_wedged()
        );
        assert_eq!(
            with(&twice, |s| s.note_probe(ProbeResult::Answers)),
            WedgeDetector::default()
        );
        let sure = with(&twice, |s| {
            s.note_probe(ProbeResult::Failing { silent: true });
        });
        let other = silent(
            &with(&once, |s| {
                s.note_request(&b, RequestOutcome::Began, Health::Up);
            }),
            &b,
            Health::Up,
        );
        for wedged in [sure, other] {
            assert!(wedged.is_wedged() && !wedged.is_suspected());
            // It is still the same process, and may be silent again.
            assert!(with(&wedged, |s| s.note_poll(Health::Degraded)).is_wedged());
            assert!(!with(&wedged, |s| s.note_poll(Health::Down)).is_wedged());
            let answered = with(&wedged, |s| {
                s.note_request(&a, RequestOutcome::Answered, Health::Up);
            });
            assert!(!answered.is_wedged());
        }
        // Who answers no polls either is down, not wedged.
        assert!(!silent(&once, &b, Health::Degraded).is_wedged());
        assert!(
            !with(&once, |s| s.note_request(
                &b,
                RequestOutcome::ServerFailed,
                Health::Up
            ))
            .is_wedged()
        );
    }
}
