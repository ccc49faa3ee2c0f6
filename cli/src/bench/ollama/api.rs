//! Loading, generating and unloading over Ollama's own API.

use std::time::Duration;

use crucible_router::{engine::ollama_options, transport::EngineAddress};
use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};
use tokio::{
    io::AsyncBufReadExt as _,
    time::{Instant, sleep, timeout},
};
use tokio_util::io::StreamReader;

use crate::bench::{
    caller::{CallerAnswer, EngineCaller},
    driver::RunFailure,
    prompt::{GENERATED_TOKENS, MAX_REQUESTS, prompt},
    stats::RunSample,
    variant::BenchSetting,
};

/// The longest wait for a load or an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// The time between two questions whether an unloaded model is gone.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The number of questions after which an unload has failed: 30 seconds in all.
const MAX_POLLS: u32 = 600;
/// The `keep_alive` that keeps the model loaded between the requests of one run.
const KEEP_ALIVE: &str = "10m";

/// The connection to an Ollama, with the name of the measured model.
#[derive(Clone)]
pub(super) struct OllamaApi {
    engine: EngineCaller,
    base: String,
    model: String,
}

/// The counts and times of one answer. The engine reports its own prompt and generation times in
/// seconds; the time to the first token and the whole time are measured here.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GenerateTimings {
    first_s: f64,
    seconds: f64,
    prompt: f64,
    prompt_s: f64,
    generated: f64,
    generated_s: f64,
}

// === impl OllamaApi ===

impl OllamaApi {
    /// Makes a client that measures `model` on the Ollama at the address `engine`. Nothing is sent
    /// yet.
    pub(super) fn new(engine: EngineAddress, model: &str) -> Self {
        let base = engine.url().as_str().trim_end_matches('/').to_owned();
        Self {
            engine: EngineCaller::new(engine, None),
            base,
            model: model.to_owned(),
        }
    }

    /// Loads the model with the options of a variant and measures it.
    pub(super) async fn run(
        &self,
        setting: &BenchSetting,
        run: usize,
    ) -> Result<RunSample, RunFailure> {
        self.check_no_other().await?;
        self.unload().await?;
        let options = ollama_options(&setting.tuple);
        let began = Instant::now();
        let load = json!({"model": self.model, "keep_alive": KEEP_ALIVE, "options": options});
        self.post("/api/generate", &load).await?;
        let load_s = began.elapsed().as_secs_f64();
        let memory_bytes = self.memory().await?;
        let first = run.saturating_mul(MAX_REQUESTS);
        let alone = self.ask(&options, first).await?;
        let mut tokens = alone.prompt + alone.generated;
        let mut seconds = alone.seconds;
        if setting.parallel > 1 {
            let began = Instant::now();
            let parallel = usize::try_from(setting.parallel).unwrap_or(MAX_REQUESTS);
            let numbers = (1..=parallel.min(MAX_REQUESTS - 1)).map(|n| first + n);
            let all = try_join_all(numbers.map(|n| self.ask(&options, n))).await?;
            tokens = all.iter().map(|a| a.prompt + a.generated).sum();
            seconds = began.elapsed().as_secs_f64();
        }
        Ok(RunSample {
            first_token_s: alone.first_s,
            prompt_per_s: alone.prompt / alone.prompt_s,
            generated_per_s: alone.generated / alone.generated_s,
            load_s: Some(load_s),
            memory_bytes: Some(memory_bytes),
            tokens_per_s: tokens / seconds,
        })
    }

    /// Asks for one answer to the prompt with this number and returns its counts and times.
    async fn ask(
        &self,
        options: &Map<String, Value>,
        number: usize,
    ) -> Result<GenerateTimings, RunFailure> {
        let mut options = options.clone();
        for (key, value) in [
            ("num_predict", json!(GENERATED_TOKENS)),
            ("temperature", json!(0)),
            ("seed", json!(1)),
        ] {
            options.insert(key.to_owned(), value);
        }
        let body = json!({
            "model": self.model, "prompt": prompt(number), "raw": true, "stream": true,
            "keep_alive": KEEP_ALIVE, "options": options,
        });
        let began = Instant::now();
        let generated = timeout(ANSWER_TIMEOUT, self.generate(&body)).await;
        let late = || RunFailure::Final(format!("{}: no whole answer in 10 minutes", self.base));
        let (first_s, last) = generated.map_err(|_| late())??;
        generate_timings(&last, first_s, began.elapsed().as_secs_f64()).ok_or_else(|| {
            RunFailure::Final(format!(
                "{} did not tell its counts and durations: {last}",
                self.base
            ))
        })
    }

    /// Unloads the measured model and waits until it is gone.
    pub(super) async fn unload(&self) -> Result<(), RunFailure> {
        if !self.has_loaded().await? {
            return Ok(());
        }
        let body = json!({"model": self.model, "keep_alive": 0});
        self.post("/api/generate", &body).await?;
        for _ in 0..MAX_POLLS {
            if !self.has_loaded().await? {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
        let words = format!("{} did not unload within 30 s", self.model);
        Err(RunFailure::Final(words))
    }

    async fn has_loaded(&self) -> Result<bool, RunFailure> {
        Ok(self.loaded().await?.contains(&self.model))
    }

    /// Returns an error when somebody loaded another model in the meantime, because the next load
    /// might evict it.
    async fn check_no_other(&self) -> Result<(), RunFailure> {
        let loaded = self.loaded().await?;
        match loaded.into_iter().find(|name| *name != self.model) {
            None => Ok(()),
            Some(other) => Err(RunFailure::Final(format!(
                "somebody loaded {other} meanwhile"
            ))),
        }
    }

    async fn loaded(&self) -> Result<Vec<String>, RunFailure> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let names = models.iter().filter_map(|m| m["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    async fn memory(&self) -> Result<f64, RunFailure> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let own = models.iter().find(|m| m["name"] == *self.model);
        own.and_then(|m| m["size"].as_f64()).ok_or_else(|| {
            RunFailure::Final(format!("{} was loaded and is not listed", self.model))
        })
    }

    async fn ps(&self) -> Result<Value, RunFailure> {
        let path = "/api/ps";
        let answer = self.engine.get(path).await.map_err(RunFailure::Final)?;
        let read = serde_json::from_str(&answer.text().await);
        read.map_err(|e| RunFailure::Final(self.engine.message(path, &e)))
    }

    async fn post(&self, path: &'static str, body: &Value) -> Result<CallerAnswer, RunFailure> {
        let answer = timeout(ANSWER_TIMEOUT, self.engine.post(path, body)).await;
        let late = || RunFailure::Final(self.engine.message(path, &"no answer in 10 minutes"));
        let answer = answer.map_err(|_| late())?.map_err(RunFailure::Final)?;
        let status = answer.status;
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await;
        let words = self.engine.message(path, &format!("{status}: {text}"));
        Err(RunFailure::Refused(words))
    }

    /// Streams one answer. Returns the seconds to the first token and the last line of the stream.
    async fn generate(&self, body: &Value) -> Result<(f64, Value), RunFailure> {
        let began = Instant::now();
        let answer = self.post("/api/generate", body).await?;
        let mut lines = StreamReader::new(answer.chunks()).lines();
        let mut first = None;
        let broken = |e: String| RunFailure::Final(format!("the answer broke off: {e}"));
        while let Some(line) = lines.next_line().await.map_err(|e| broken(e.to_string()))? {
            let line: Value = serde_json::from_str(&line).map_err(|e| broken(e.to_string()))?;
            if let Some(error) = line["error"].as_str() {
                return Err(RunFailure::Refused(error.to_owned()));
            }
            let token = line["response"].as_str().is_some_and(|t| !t.is_empty());
            if token && first.is_none() {
                first = Some(began.elapsed().as_secs_f64());
            }
            if line["done"] == true {
                let first = first.ok_or("the answer had no token".to_owned());
                return Ok((first.map_err(RunFailure::Refused)?, line));
            }
        }
        Err(broken("it has no end".to_owned()))
    }
}

/// Reads counts and durations (in nanoseconds) from the last line of a stream; `None` where one is
/// missing.
fn generate_timings(last: &Value, first_s: f64, seconds: f64) -> Option<GenerateTimings> {
    let number = |key: &str| last[key].as_f64().filter(|n| *n > 0.0);
    Some(GenerateTimings {
        first_s,
        seconds,
        prompt: number("prompt_eval_count")?,
        prompt_s: number("prompt_eval_duration")? / 1e9,
        generated: number("eval_count")?,
        generated_s: number("eval_duration")? / 1e9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_counts_is_none() {
        let last = json!({
            "prompt_eval_count": 100, "prompt_eval_duration": 500_000_000_u64,
            "eval_count": 50, "eval_duration": 1_000_000_000_u64,
        });
        let of = generate_timings(&last, 0.6, 2.0).unwrap();
        assert_eq!((of.prompt, of.prompt_s), (100.0, 0.5));
        assert_eq!((of.generated, of.generated_s), (50.0, 1.0));
        assert_eq!(generate_timings(&json!({"eval_count": 5}), 0.6, 2.0), None);
    }
}
