//! How far prompts are read: what engines report in their streams, and what their slots show.
//!
//! llama.cpp's server reports in the stream itself; one task asks the slots of the others that have some
//! (an Ollama of this machine, and llama.cpp where no stream was asked for). It sleeps while nothing is
//! being read, asks each engine for one thing at a time, and nobody waits for it.

use std::{collections::HashSet, pin::pin, sync::Arc, time::Duration};

use crucible_documents::state::PrefillSource;
use crucible_router::{engine::SlotPrompt, predict};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    request::{ActiveRequest, PromptReading, RequestPhase},
    state::AppState,
    usage::PromptProgress,
};

/// The time between two looks at an engine's slots; a prompt that is read within it is not looked at.
const EVERY: Duration = Duration::from_millis(750);

/// How many times the estimated tokens of a prompt a slot may have that is taken for it.
const MOST_DIFFERENCE: u64 = 8;

/// A request whose prompt is being read.
struct UnreadPrompt {
    active: Arc<ActiveRequest>,
    engine: Arc<str>,
    instance: Arc<str>,
    source: PrefillSource,
    sent_at: Instant,
    /// The estimated tokens of the prompt.
    tokens: u64,
}

/// Notes a report on the prompt of a request that came at `now`, as long as no token came.
pub(super) fn note(
    active: &ActiveRequest,
    progress: PromptProgress,
    source: PrefillSource,
    now: Instant,
) {
    active.note(|record| {
        if record.phase == RequestPhase::Prefill
            && let Some(sent_at) = record.sent_at
        {
            let moments = (sent_at, now);
            let reading = PromptReading::after(record.reading, progress, source, moments);
            record.reading = Some(reading);
        }
    });
}

/// Asks for the slots of engines while they read prompts, until `stop`.
pub(crate) async fn run(app: AppState, stop: CancellationToken) {
    let looking = async {
        let mut asked: HashSet<Arc<str>> = HashSet::new();
        let mut answers = FuturesUnordered::new();
        loop {
            app.prefills.began().await;
            loop {
                let mut pause = pin!(sleep(EVERY));
                loop {
                    tokio::select! {
                        Some(engine) = answers.next() => asked.remove::<Arc<str>>(&engine),
                        () = &mut pause => break,
                    };
                }
                let unread = by_engine(unread(&app));
                if unread.is_empty() && answers.is_empty() {
                    break;
                }
                for prompts in unread {
                    let engine = Arc::clone(&prompts[0].engine);
                    if asked.insert(Arc::clone(&engine)) {
                        answers.push(look(&app, engine, prompts));
                    }
                }
            }
        }
    };
    stop.run_until_cancelled(looking).await;
}

/// Reads the slots of an engine once, and notes in the requests what they show.
async fn look(app: &AppState, engine: Arc<str>, prompts: Vec<UnreadPrompt>) -> Arc<str> {
    let slots = app.router.prompts(&engine, &prompts[0].instance).await;
    let now = Instant::now();
    for (prompt, slot) in matched(&prompts, slots) {
        let before = prompt.active.note(|record| record.reading);
        let progress = match (slot, before) {
            (Some(slot), _) => progress_of(&slot, prompt.tokens),
            // Its slot was there and has begun to answer, of which a whole answer shows nothing.
            (None, Some(before)) => PromptProgress {
                processed: before.progress.total,
                ..before.progress
            },
            (None, None) => continue,
        };
        if prompt.active.note(|record| record.sent_at) == Some(prompt.sent_at) {
            note(&prompt.active, progress, prompt.source, now);
        }
    }
    engine
}

/// The requests whose prompts are being read by engines that show it in their slots only.
fn unread(app: &AppState) -> Vec<UnreadPrompt> {
    let view = app.router.view();
    let unread = |active: Arc<ActiveRequest>| {
        let (engine, model, instance, (sent_at, estimate)) = active.note(|record| {
            let told = record.reading.map(|reading| reading.source);
            if record.phase != RequestPhase::Prefill
                || told == Some(PrefillSource::Engine) && record.stream
            {
                return None;
            }
            let instance = Arc::clone(&record.target.as_ref()?.instance);
            let engine = record.engine.clone()?;
            let model = record.model.clone()?;
            let sent = (record.sent_at?, record.prompt_tokens);
            Some((engine, model, instance, sent))
        })?;
        // An engine without slots shows none, and nothing is noted.
        let source = if view.engine(&engine)?.kind.profile().has_runners {
            PrefillSource::Runner
        } else {
            PrefillSource::Engine
        };
        let tokens = predict::prompt_tokens(&view.measurements, &engine, &model, estimate);
        Some(UnreadPrompt {
            active,
            engine,
            instance,
            source,
            sent_at,
            tokens,
        })
    };
    app.active.all().into_iter().filter_map(unread).collect()
}

/// The requests of each engine, in the order in which they were sent.
fn by_engine(mut prompts: Vec<UnreadPrompt>) -> Vec<Vec<UnreadPrompt>> {
    prompts.sort_by(|a, b| (&a.engine, a.sent_at).cmp(&(&b.engine, b.sent_at)));
    let mut engines: Vec<Vec<UnreadPrompt>> = Vec::new();
    for prompt in prompts {
        match engines.last_mut() {
            Some(last) if last[0].engine == prompt.engine => last.push(prompt),
            _ => engines.push(vec![prompt]),
        }
    }
    engines
}

/// Gives each request the slot that reads its prompt. A slot does not say whose prompt it has, nor how
/// long that is: slots and requests are taken in the order in which they began, and no slot is taken that
/// has far more than the prompt.
fn matched(
    prompts: &[UnreadPrompt],
    mut slots: Vec<SlotPrompt>,
) -> Vec<(&UnreadPrompt, Option<SlotPrompt>)> {
    slots.sort_by_key(|slot| slot.task);
    let mut choose = |prompt: &UnreadPrompt| {
        let most = prompt.tokens.saturating_mul(MOST_DIFFERENCE);
        let own = slots.iter().position(|slot| slot.begun <= most)?;
        Some(slots.remove(own))
    };
    prompts
        .iter()
        .map(|prompt| (prompt, choose(prompt)))
        .collect()
}

/// The progress that a slot shows of a prompt that has about so many `tokens`.
fn progress_of(slot: &SlotPrompt, tokens: u64) -> PromptProgress {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let total = count(tokens.max(slot.begun));
    PromptProgress {
        total,
        cached: count(slot.cached).min(total),
        processed: count(slot.cached.saturating_add(slot.read)).min(total),
        time_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect, endpoint::Endpoint};

    fn prompt(engine: &str, after: u64, tokens: u64, start: Instant) -> UnreadPrompt {
        UnreadPrompt {
            active: Arc::new(ActiveRequest::new(
                "r".into(),
                Endpoint::Chat,
                dialect::unasked(),
            )),
            engine: engine.into(),
            instance: "m".into(),
            source: PrefillSource::Runner,
            sent_at: start + Duration::from_secs(after),
            tokens,
        }
    }

    fn slot(task: u64, begun: u64) -> SlotPrompt {
        SlotPrompt {
            task,
            begun,
            cached: 10,
            read: 20,
        }
    }

    #[test]
    fn slots_go_to_requests_in_the_order_in_which_they_began() {
        let start = Instant::now();
        let prompts = [
            prompt("e", 0, 100, start),
            prompt("e", 1, 1000, start),
            prompt("e", 2, 100, start),
            prompt("e", 3, 90_000, start),
        ];
        // The first one is no prompt of 100 tokens.
        let slots = vec![slot(9, 110), slot(7, 900), slot(8, 512)];
        let tasks: Vec<_> = matched(&prompts, slots)
            .into_iter()
            .map(|(_, slot)| slot.map(|slot| slot.task))
            .collect();
        assert_eq!(tasks, [Some(8), Some(7), Some(9), None]);
    }

    #[test]
    fn requests_are_grouped_by_engine_and_the_first_sent_comes_first() {
        let start = Instant::now();
        let grouped = by_engine(vec![
            prompt("b", 0, 1, start),
            prompt("a", 2, 2, start),
            prompt("a", 1, 3, start),
        ]);
        let tokens: Vec<Vec<u64>> = grouped
            .iter()
            .map(|prompts| prompts.iter().map(|prompt| prompt.tokens).collect())
            .collect();
        assert_eq!(tokens, [vec![3, 2], vec![1]]);
    }

    #[test]
    fn a_slot_shows_what_it_read_and_the_estimate_how_long_the_prompt_is() {
        let progress = progress_of(&slot(1, 30), 100);
        let PromptProgress {
            total,
            cached,
            processed,
            ..
        } = progress;
        assert_eq!((total, cached, processed), (100, 10, 30));
        // The estimate was too small.
        assert_eq!(progress_of(&slot(1, 512), 100).total, 512);
    }
}
