//! How far the server is with the prompts that it reads: batch by batch, as `GET /slots` shows it and as
//! streams with `return_progress` tell it (llama-server b11549, `tools/server/README.md`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::options::Options;

/// The prompts in the slots, by the number of the task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompts(Arc<Mutex<BTreeMap<u64, Prompt>>>);

/// One prompt; its slot shows it until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldPrompt {
    all: Prompts,
    task: u64,
    prompt: Prompt,
}

#[derive(Clone, Copy, Debug)]
struct Prompt {
    total: u64,
    batch: u64,
    began: Instant,
    /// Tokens per second; 0 is at once.
    rate: u32,
    /// The tokens after which the server reads no further.
    stops_at: Option<u64>,
}

// === impl Prompts ===

impl Prompts {
    pub(crate) fn hold(&self, task: u64, total: u64, options: &Options) -> HeldPrompt {
        let prompt = Prompt {
            total,
            batch: options.batch.max(1),
            began: Instant::now(),
            rate: options.prefill,
            stops_at: options.prefill_stops_at,
        };
        self.0.lock().insert(task, prompt);
        HeldPrompt {
            all: self.clone(),
            task,
            prompt,
        }
    }

    /// What `GET /slots` answers, without the parameters of the requests.
    pub(crate) fn slots(&self, count: usize, context: u64) -> Value {
        let prompts = self.0.lock();
        let mut busy = prompts.iter();
        let slot = |id: usize| match busy.next() {
            None => {
                json!({"id": id, "n_ctx": context, "speculative": false, "is_processing": false})
            }
            Some((task, prompt)) => {
                let read = prompt.read();
                json!({
                    "id": id, "n_ctx": context, "speculative": false, "is_processing": true,
                    "id_task": task, "n_prompt_tokens": prompt.total.min(read + prompt.batch),
                    "n_prompt_tokens_processed": read, "n_prompt_tokens_cache": 0,
                    "next_token": [{"n_decoded": u64::from(read == prompt.total)}],
                })
            }
        };
        (0..count).map(slot).collect()
    }
}

// === impl HeldPrompt ===

impl HeldPrompt {
    /// Waits until this many tokens are read, or for ever where the server stops before.
    async fn until(&self, tokens: u64) {
        if self.prompt.stops_at.is_some_and(|stop| tokens > stop) {
            std::future::pending::<()>().await;
        }
        let due = self.prompt.began + self.prompt.time(tokens);
        // No timer fires at once.
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
    }

    pub(crate) async fn all_read(&self) {
        self.until(self.prompt.total).await;
    }

    /// Waits for the next batch after `before` tokens; gives how many are read then, and its
    /// `prompt_progress`. Nothing is read at the first.
    pub(crate) async fn next(&self, before: Option<u64>) -> (u64, Value) {
        let Prompt { total, batch, .. } = self.prompt;
        let read = before.map_or(0, |before| total.min(before + batch));
        self.until(read).await;
        let time = self.prompt.time(read).as_millis();
        let progress = json!({"total": total, "cache": 0, "processed": read, "time_ms": time});
        (read, progress)
    }

    pub(crate) fn total(&self) -> u64 {
        self.prompt.total
    }
}

impl Drop for HeldPrompt {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.task);
    }
}

// === impl Prompt ===

impl Prompt {
    fn time(&self, tokens: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(tokens.saturating_mul(1_000_000) / u64::from(self.rate))
    }

    /// The tokens of the batches that are read now.
    fn read(&self) -> u64 {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let read = match self.rate {
            0 => self.total,
            rate => (micros.saturating_mul(rate.into()) / 1_000_000).min(self.total),
        };
        let whole = if read == self.total {
            read
        } else {
            read / self.batch * self.batch
        };
        self.stops_at.map_or(whole, |stop| whole.min(stop))
    }
}
