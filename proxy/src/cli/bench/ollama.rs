//! One run on an Ollama: unload, load, generate. What it did not load itself it does not touch.

use std::time::Duration;

use crucible_router::engine::{Tuple, ollama_options};
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::{
    io::AsyncBufReadExt as _,
    time::{Instant, sleep},
};
use tokio_util::io::StreamReader;

use super::stats::Sample;

/// Longest wait for a load or an answer.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks for an unload's end.
const LOOK: Duration = Duration::from_millis(50);
/// Looks for an unload's end.
const LOOKS: u32 = 600;
/// Keeps the model for the next request of a run.
const KEEP: &str = "10m";
/// Tokens that are generated.
const GENERATED: u32 = 48;

/// An Ollama and the model that is measured.
pub(super) struct Ollama {
    client: reqwest::Client,
    base: String,
    model: String,
}

/// Why a run did not give a sample, in words.
type Words = String;

// === impl Ollama ===

impl Ollama {
    pub(super) fn new(url: &str, model: &str) -> Result<Self, Words> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|e| e.to_string())?;
        let base = url.trim_end_matches('/').trim_end_matches("/v1");
        Ok(Self {
            client,
            base: base.to_owned(),
            model: model.to_owned(),
        })
    }

    /// Loads the model with the options of a variant and measures one answer; `run` makes the
    /// prompt unlike any other.
    pub(super) async fn measure(&self, tuple: &Tuple, run: usize) -> Result<Sample, Words> {
        self.alone().await?;
        self.unload(&self.model).await?;
        let options = ollama_options(tuple);
        let began = Instant::now();
        let load = json!({"model": self.model, "keep_alive": KEEP, "options": options});
        self.post("/api/generate", &load).await?;
        let load_s = began.elapsed().as_secs_f64();
        let memory_bytes = self.memory().await?;
        let mut options = options;
        for (key, value) in [
            ("num_predict", json!(GENERATED)),
            ("temperature", json!(0)),
            ("seed", json!(1)),
        ] {
            options.insert(key.to_owned(), value);
        }
        let body = json!({
            "model": self.model, "prompt": prompt(run), "raw": true, "stream": true,
            "keep_alive": KEEP, "options": options,
        });
        let (first_token_s, last) = self.generate(&body).await?;
        sample(&last, first_token_s, load_s, memory_bytes).ok_or_else(|| {
            format!(
                "{} did not tell its counts and durations: {last}",
                self.base
            )
        })
    }

    /// Unloads the measured model.
    pub(super) async fn clear(&self) -> Result<(), Words> {
        self.unload(&self.model).await
    }

    /// Unloads a model and waits until it is gone.
    async fn unload(&self, model: &str) -> Result<(), Words> {
        if !self.loaded().await?.iter().any(|name| name == model) {
            return Ok(());
        }
        let body = json!({"model": model, "keep_alive": 0});
        self.post("/api/generate", &body).await?;
        for _ in 0..LOOKS {
            if !self.loaded().await?.iter().any(|name| name == model) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(format!("{model} did not unload within 30 s"))
    }

    /// Refuses to go on when somebody loaded another model: a load of ours might push it out.
    async fn alone(&self) -> Result<(), Words> {
        let loaded = self.loaded().await?;
        match loaded.into_iter().find(|name| *name != self.model) {
            None => Ok(()),
            Some(other) => Err(format!("somebody loaded {other} meanwhile")),
        }
    }

    async fn loaded(&self) -> Result<Vec<String>, Words> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let names = models.iter().filter_map(|m| m["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    async fn memory(&self) -> Result<f64, Words> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let own = models.iter().find(|m| m["name"] == *self.model);
        own.and_then(|m| m["size"].as_f64())
            .ok_or_else(|| format!("{} was loaded and is not listed", self.model))
    }

    async fn ps(&self) -> Result<Value, Words> {
        let url = format!("{}/api/ps", self.base);
        let wrong = |e: reqwest::Error| format!("{url}: {e}");
        let answer = self.client.get(&url).send().await.map_err(wrong)?;
        answer.json().await.map_err(wrong)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response, Words> {
        let url = format!("{}{path}", self.base);
        let wrong = |e: reqwest::Error| format!("{url}: {e}");
        let answer = self.client.post(&url).json(body).send().await;
        let answer = answer.map_err(wrong)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        Err(format!("{url}: {status}: {text}"))
    }

    /// Seconds to the first token, and the last line.
    async fn generate(&self, body: &Value) -> Result<(f64, Value), Words> {
        let began = Instant::now();
        let answer = self.post("/api/generate", body).await?;
        let stream = answer.bytes_stream().map_err(std::io::Error::other);
        let mut lines = StreamReader::new(stream).lines();
        let mut first = None;
        while let Some(line) = lines.next_line().await.map_err(|e| e.to_string())? {
            let line: Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
            if let Some(error) = line["error"].as_str() {
                return Err(error.to_owned());
            }
            let token = line["response"].as_str().is_some_and(|t| !t.is_empty());
            if token && first.is_none() {
                first = Some(began.elapsed().as_secs_f64());
            }
            if line["done"] == true {
                let first = first.ok_or("the answer had no token")?;
                return Ok((first, line));
            }
        }
        Err("the answer broke off".to_owned())
    }
}

/// About 400 tokens; the number comes first, so that no cached beginning is of use.
fn prompt(run: usize) -> String {
    let line = "A crucible is a vessel in which metals are melted at a very high heat. ";
    format!("Run {run}. {}Tell what it is made of.", line.repeat(22))
}

/// Rates from the engine's own counts and durations in ns; `None` where one is missing.
fn sample(last: &Value, first_token_s: f64, load_s: f64, memory_bytes: f64) -> Option<Sample> {
    let number = |key: &str| last[key].as_f64().filter(|n| *n > 0.0);
    let (prompt, generated) = (number("prompt_eval_count")?, number("eval_count")?);
    let prompt_s = number("prompt_eval_duration")? / 1e9;
    let generated_s = number("eval_duration")? / 1e9;
    Some(Sample {
        first_token_s,
        prompt_per_s: prompt / prompt_s,
        generated_per_s: generated / generated_s,
        load_s,
        memory_bytes,
        tokens_per_s: (prompt + generated) / (prompt_s + generated_s),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_the_counts_and_durations_of_the_last_line() {
        let last = json!({
            "prompt_eval_count": 100, "prompt_eval_duration": 500_000_000_u64,
            "eval_count": 50, "eval_duration": 1_000_000_000_u64,
        });
        let of = sample(&last, 0.6, 1.5, 2e9).unwrap();
        assert!((of.prompt_per_s - 200.0).abs() < 1e-9);
        assert!((of.generated_per_s - 50.0).abs() < 1e-9);
        assert!((of.tokens_per_s - 100.0).abs() < 1e-9);
        assert_eq!(sample(&json!({"eval_count": 5}), 0.6, 1.5, 2e9), None);
        assert_ne!(prompt(1), prompt(2));
    }
}
