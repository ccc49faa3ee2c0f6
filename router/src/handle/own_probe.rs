//! Crucible's own probe of an engine that fails the requests of one client: one token of the same
//! model. If it comes, the requests are at fault; if not, the engine is.
//!
//! It waits for a permit like a request, so an engine never works on more than it has permits for,
//! and it is content with what is loaded: it never loads, unloads or grows anything.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::EngineKind;
use serde_json::Value;
use tokio::time::timeout;

use super::RouterHandle;
use crate::{
    demand::Demand,
    engine::{self, EngineEndpoint, EngineError, ask_for_one_token, is_an_answer},
    health::ProbeResult,
    permit::{EngineAttempt, Permit},
    plan::{Candidate, Reason},
};

/// The shortest prompt that every chat template takes.
const PROMPT: &str = "Hi";
/// The longest wait for a permit.
const WAIT: Duration = Duration::from_secs(10);
/// The longest wait for the token; a shorter `timeouts.first_token` is kept.
const BUDGET: Duration = Duration::from_secs(30);
/// The tokens of the probe's prompt, with those of the chat template.
const PROMPT_TOKENS: u64 = 64;

// === impl RouterHandle ===

impl RouterHandle {
    /// Asks in a task of its own because `failed` did, and tells the breaker what it found.
    pub(super) fn probe_itself(&self, failed: &EngineAttempt, number: u64) {
        let candidate = Candidate {
            engine: Arc::clone(&failed.engine),
            model: Arc::clone(&failed.model),
            reason: Reason::Exact,
            predicted: None,
        };
        let (router, failed) = (self.clone(), failed.ticket);
        self.0.tracker.spawn(async move {
            let probing = router.own_probe(&candidate, failed);
            // After the end nobody is refused for it.
            let ended = router.0.cancel.run_until_cancelled(probing).await;
            let found = ended.unwrap_or(ProbeResult::Unknown);
            let (engine, model) = (&*candidate.engine, &*candidate.model);
            tracing::info!(
                engine,
                model,
                ?found,
                "asked for one token by Crucible itself"
            );
            router.0.fleet.found(engine, number, found);
        });
    }

    /// Asks for one token and judges what comes. `failed` is the ticket of the request whose failure
    /// is looked into.
    async fn own_probe(&self, candidate: &Candidate, failed: u64) -> ProbeResult {
        let demand = Demand {
            request_id: "own-probe".into(),
            model: candidate.model.to_string(),
            prompt_tokens: PROMPT_TOKENS,
            max_tokens: Some(1),
            ..Demand::default()
        };
        let Ok(mut arrival) = self.permit_request(candidate, &demand) else {
            return ProbeResult::Unknown;
        };
        arrival.resident_only = true;
        let Ok(permit) = self.queue(arrival, WAIT).await else {
            return ProbeResult::Unknown;
        };
        // Of these, it may stand behind some: an engine can have fewer slots than it has permits. The
        // failed request is over, though its permit comes back after its report.
        let running = self.0.scheduler.tickets_out(&candidate.engine);
        let others = running
            .iter()
            .any(|ticket| ![permit.ticket, failed].contains(ticket));
        let timeouts = &(self.0.config)().timeouts;
        let budget = BUDGET.min(timeouts.first_token);
        let asking = one_token(&permit, timeouts.connect);
        let answer = timeout(budget, asking).await;
        let found = judge(permit.kind, answer.unwrap_or(Err(EngineError::Timeout)));
        if found != (ProbeResult::Failing { silent: true }) {
            return found;
        }
        let longest = timeouts.first_token.max(timeouts.response);
        let fleet = &self.0.fleet;
        if fleet.may_be_working(&candidate.engine, others, longest) {
            ProbeResult::Unknown
        } else {
            found
        }
    }
}

async fn one_token(permit: &Permit, connect: Duration) -> Result<Value, EngineError> {
    let client = engine::client(connect);
    let endpoint = EngineEndpoint::new(client, permit.address.clone(), permit.token.as_deref());
    let model = if permit.kind.profile().residents.named_by_load {
        &permit.model
    } else {
        &permit.instance
    };
    ask_for_one_token(&endpoint, permit.kind, model, PROMPT, &permit.tuple).await
}

/// Judges an engine by its answer. One that answers, even without a word, is well. One that finds fault
/// with so plain a prompt says nothing about itself, unless it calls its own faults that.
fn judge(kind: EngineKind, answer: Result<Value, EngineError>) -> ProbeResult {
    let failing = ProbeResult::Failing { silent: false };
    match answer {
        Ok(answer) => {
            if is_an_answer(kind, &answer) {
                ProbeResult::Answers
            } else {
                failing
            }
        }
        Err(EngineError::Timeout) => ProbeResult::Failing { silent: true },
        Err(EngineError::Refused { status: 400, .. }) if kind.profile().blames_requests => failing,
        Err(EngineError::Refused { status, .. }) if (400..500).contains(&status) => {
            ProbeResult::Unknown
        }
        Err(EngineError::Unsupported(_) | EngineError::HeldSmaller(_)) => ProbeResult::Unknown,
        Err(
            EngineError::Refused { .. }
            | EngineError::NobodyListens(_)
            | EngineError::Unreachable(_)
            | EngineError::Absent(_)
            | EngineError::Unexpected(_),
        ) => failing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_it_says_of_the_engine() {
        use EngineKind::{Llamacpp, Lmstudio, Ollama, Openai};
        let failing = ProbeResult::Failing { silent: false };
        let refused = |status| {
            let message = "no".to_owned();
            Err(EngineError::Refused { status, message })
        };
        for (kind, answer, found) in [
            (
                Ollama,
                Ok(json!({"message": {"content": ""}})),
                ProbeResult::Answers,
            ),
            (Ollama, Ok(json!({"choices": [1]})), failing),
            (Openai, Ok(json!({"choices": [{}]})), ProbeResult::Answers),
            (Openai, Ok(json!({"choices": []})), failing),
            (Llamacpp, Ok(json!({})), failing),
            (Llamacpp, refused(500), failing),
            (Llamacpp, refused(503), failing),
            (Lmstudio, refused(200), failing),
            (Lmstudio, refused(400), failing),
            // A model that wants another name for its bound, one that is gone, a limit of its own.
            (Openai, refused(400), ProbeResult::Unknown),
            (Ollama, refused(404), ProbeResult::Unknown),
            (Openai, refused(429), ProbeResult::Unknown),
            (
                Openai,
                Err(EngineError::Timeout),
                ProbeResult::Failing { silent: true },
            ),
            (
                Openai,
                Err(EngineError::NobodyListens(String::new())),
                failing,
            ),
            (Openai, Err(EngineError::Unexpected(String::new())), failing),
        ] {
            let told = format!("{kind:?} {answer:?}");
            assert_eq!(judge(kind, answer), found, "{told}");
        }
    }
}
