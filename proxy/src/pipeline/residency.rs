//! The answer to a request without a prompt, by which clients of Ollama's API load or unload a
//! model.
//!
//! A load goes through the scheduler like that of any prompt: it waits for its turn and evicts by
//! the same rules, and the answer comes once the model is loaded. An unload is answered and not
//! carried out, because one client would take the model from all others.

use std::sync::Arc;

use axum::response::Response;
use crucible_config::Config;
use crucible_router::plan::Candidate;
use http::HeaderMap;
use tokio::time::Instant;

use super::{demand, plan};
use crate::{
    dialect::chat::{ChatRequest, ResidencyRequest},
    error::{Error, ErrorKind},
    guard::AdmittedClient,
    reply::AnswerHead,
    request::{ActiveRequest, RequestPhase, waits},
    state::AppState,
};

/// The note for a client that asked for an unload.
const STAYS: &str = "keep_alive 0: the model stays in memory, since Crucible decides what is loaded; see \
                     tuning.lmstudio.model_ttl";

/// A request without a prompt, which asks only that a model be loaded or unloaded, with all that its answer needs.
pub(super) struct AskedModel<'a> {
    /// The state of the instance.
    app: &'a AppState,
    /// The configuration that the request was received under.
    config: &'a Config,
    /// The record of the request.
    active: &'a Arc<ActiveRequest>,
    /// The headers of the request.
    headers: &'a HeaderMap,
    /// The request in the middle format.
    chat: &'a ChatRequest,
    /// The client, as the guard recognised it.
    admitted: &'a AdmittedClient,
}

// === impl AskedModel ===

impl<'a> AskedModel<'a> {
    /// Puts the parts together once the body is read and known to have no prompt.
    pub(super) const fn of(
        app: &'a AppState,
        config: &'a Config,
        active: &'a Arc<ActiveRequest>,
        headers: &'a HeaderMap,
        chat: &'a ChatRequest,
        admitted: &'a AdmittedClient,
    ) -> Self {
        Self {
            app,
            config,
            active,
            headers,
            chat,
            admitted,
        }
    }

    /// Loads the model where that is the wish, and answers.
    ///
    /// # Errors
    /// No model has the name, or it cannot be loaded now.
    pub(super) async fn answer(&self, wish: &ResidencyRequest) -> Result<Response, Error> {
        let Self {
            app,
            config,
            active,
            headers,
            chat,
            admitted,
        } = self;
        let mut demand = demand::of(headers, chat, config, &active.id, admitted)?;
        demand.stream = false;
        let planned = async {
            plan::first_refresh(&app.router).await;
            app.router.plan_asking(&demand).await
        };
        let plan = waits::for_lists(active, planned).await?;
        let mut candidates = plan.candidates.into_iter();
        let Some(candidate) = candidates.next() else {
            return Err(Error::new(ErrorKind::Internal, "the plan is empty"));
        };
        self.note(&candidate);
        let mut notes: Vec<String> = chat.notes.iter().map(ToString::to_string).collect();
        if wish.loads {
            let permit = app.router.acquire(&candidate, &demand).await?;
            active.note(|record| {
                record.granted_at = Some(Instant::now());
                record.loaded = permit.loaded;
                record.context = permit.context;
            });
        } else {
            notes.push(STAYS.to_owned());
        }
        let head = AnswerHead {
            engine: candidate.engine,
            model: candidate.model,
            reason: candidate.reason,
            defaults: Vec::new(),
            notes,
        };
        Ok(head.whole(wish.answer.clone()))
    }

    fn note(&self, candidate: &Candidate) {
        self.active.note(|record| {
            record.engine = Some(Arc::clone(&candidate.engine));
            record.model = Some(Arc::clone(&candidate.model));
            record.reason = Some(candidate.reason);
            record.phase = RequestPhase::Queue;
            record.queued_at = Some(Instant::now());
            record.is_document = true;
        });
    }
}
