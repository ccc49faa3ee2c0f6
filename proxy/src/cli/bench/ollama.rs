//! One run on an Ollama: unload, load, generate. What it did not load itself it does not touch.

use std::time::Duration;

use crucible_router::engine::{Tuple, ollama_options, physical_cores};
use futures_util::{TryStreamExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{
    io::AsyncBufReadExt as _,
    time::{Instant, sleep},
};
use tokio_util::io::StreamReader;

use super::{
    prompt::{GENERATED, prompt},
    stats::Sample,
    subject::{Driver, Missed, Place, Plan},
    tune::{self, Axes},
    variant::{Change, Fixed, Setting, variants},
};
use crate::cli::Failure;

/// Longest wait for a load or an answer.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks for an unload's end.
const LOOK: Duration = Duration::from_millis(50);
/// Looks for an unload's end.
const LOOKS: u32 = 600;
/// Keeps the model for the next request of a run.
const KEEP: &str = "10m";
const CHANGES: [Change; 4] = [
    Change::Threads,
    Change::Batch,
    Change::Context,
    Change::Mmap,
];
/// Ollama 0.33 reads these from its own environment when it starts.
const FIXED: [Fixed; 3] = [
    Fixed {
        setting: "flash attention",
        why: "OLLAMA_FLASH_ATTENTION is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "K/V type",
        why: "OLLAMA_KV_CACHE_TYPE is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "parallel",
        why: "OLLAMA_NUM_PARALLEL is read when Ollama starts; bench does not restart it",
    },
];

/// An Ollama and the model that is measured.
pub(super) struct Ollama {
    client: reqwest::Client,
    base: String,
    model: String,
}

pub(super) fn plan(place: &Place) -> Plan {
    let profile = place.profile();
    // Which device is used is no setting of the profile: the defaults stay on the same one.
    let bare = Setting::of(Tuple {
        gpu_layers: profile.tuple.gpu_layers,
        ..Tuple::default()
    });
    Plan {
        variants: variants(bare, profile, &CHANGES),
        fixed: FIXED.to_vec(),
        profile,
        axes: Axes {
            threads: tune::threads(physical_cores()),
            batch: tune::BATCHES.to_vec(),
            parallel: Vec::new(),
            notes: vec![
                "parallel was not searched: Ollama reads OLLAMA_NUM_PARALLEL when it starts",
            ],
        },
    }
}

// === impl Ollama ===

impl Ollama {
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|e| Failure::wrong(e.to_string()))?;
        let base = place.view.url.trim_end_matches('/').trim_end_matches("/v1");
        Ok(Self {
            client,
            base: base.to_owned(),
            model: place.model.id.to_string(),
        })
    }

    async fn run(&self, tuple: &Tuple, run: usize) -> Result<Sample, Missed> {
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
        let began = Instant::now();
        let (first_token_s, last) = self.generate(&body).await?;
        let seconds = began.elapsed().as_secs_f64();
        let sample = sample(&last, first_token_s, seconds).ok_or_else(|| {
            Missed::Over(format!(
                "{} did not tell its counts and durations: {last}",
                self.base
            ))
        })?;
        Ok(Sample {
            load_s: Some(load_s),
            memory_bytes: Some(memory_bytes),
            ..sample
        })
    }

    /// Unloads a model and waits until it is gone.
    async fn unload(&self, model: &str) -> Result<(), Missed> {
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
        Err(Missed::Over(format!("{model} did not unload within 30 s")))
    }

    /// Refuses to go on when somebody loaded another model: a load of ours might push it out.
    async fn alone(&self) -> Result<(), Missed> {
        let loaded = self.loaded().await?;
        match loaded.into_iter().find(|name| *name != self.model) {
            None => Ok(()),
            Some(other) => Err(Missed::Over(format!("somebody loaded {other} meanwhile"))),
        }
    }

    async fn loaded(&self) -> Result<Vec<String>, Missed> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let names = models.iter().filter_map(|m| m["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    async fn memory(&self) -> Result<f64, Missed> {
        let ps = self.ps().await?;
        let models = ps["models"].as_array().map_or(&[][..], Vec::as_slice);
        let own = models.iter().find(|m| m["name"] == *self.model);
        own.and_then(|m| m["size"].as_f64())
            .ok_or_else(|| Missed::Over(format!("{} was loaded and is not listed", self.model)))
    }

    async fn ps(&self) -> Result<Value, Missed> {
        let url = format!("{}/api/ps", self.base);
        let wrong = |e: reqwest::Error| Missed::Over(format!("{url}: {e}"));
        let answer = self.client.get(&url).send().await.map_err(wrong)?;
        answer.json().await.map_err(wrong)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response, Missed> {
        let url = format!("{}{path}", self.base);
        let wrong = |e: reqwest::Error| Missed::Over(format!("{url}: {e}"));
        let answer = self.client.post(&url).json(body).send().await;
        let answer = answer.map_err(wrong)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        Err(Missed::Refused(format!("{url}: {status}: {text}")))
    }

    /// Seconds to the first token, and the last line.
    async fn generate(&self, body: &Value) -> Result<(f64, Value), Missed> {
        let began = Instant::now();
        let answer = self.post("/api/generate", body).await?;
        let stream = answer.bytes_stream().map_err(std::io::Error::other);
        let mut lines = StreamReader::new(stream).lines();
        let mut first = None;
        let broken = |e: String| Missed::Over(format!("the answer broke off: {e}"));
        while let Some(line) = lines.next_line().await.map_err(|e| broken(e.to_string()))? {
            let line: Value = serde_json::from_str(&line).map_err(|e| broken(e.to_string()))?;
            if let Some(error) = line["error"].as_str() {
                return Err(Missed::Refused(error.to_owned()));
            }
            let token = line["response"].as_str().is_some_and(|t| !t.is_empty());
            if token && first.is_none() {
                first = Some(began.elapsed().as_secs_f64());
            }
            if line["done"] == true {
                let first = first.ok_or("the answer had no token".to_owned());
                return Ok((first.map_err(Missed::Refused)?, line));
            }
        }
        Err(broken("it has no end".to_owned()))
    }
}

impl Driver for Ollama {
    fn measure<'a>(
        &'a self,
        setting: &'a Setting,
        run: usize,
    ) -> BoxFuture<'a, Result<Sample, Missed>> {
        Box::pin(self.run(&setting.tuple, run))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            match self.unload(&self.model).await {
                Ok(()) => Ok(()),
                Err(Missed::Refused(words) | Missed::Over(words)) => Err(words),
            }
        })
    }

    fn options(&self, setting: &Setting) -> Value {
        Value::Object(ollama_options(&setting.tuple))
    }
}

/// Rates from the engine's own counts and durations in ns; `None` where one is missing. `seconds`
/// is what the whole answer took.
fn sample(last: &Value, first_token_s: f64, seconds: f64) -> Option<Sample> {
    let number = |key: &str| last[key].as_f64().filter(|n| *n > 0.0);
    let (prompt, generated) = (number("prompt_eval_count")?, number("eval_count")?);
    let prompt_s = number("prompt_eval_duration")? / 1e9;
    let generated_s = number("eval_duration")? / 1e9;
    Some(Sample {
        first_token_s,
        prompt_per_s: prompt / prompt_s,
        generated_per_s: generated / generated_s,
        load_s: None,
        memory_bytes: None,
        tokens_per_s: (prompt + generated) / seconds,
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
        let of = sample(&last, 0.6, 2.0).unwrap();
        assert!((of.prompt_per_s - 200.0).abs() < 1e-9);
        assert!((of.generated_per_s - 50.0).abs() < 1e-9);
        assert!((of.tokens_per_s - 75.0).abs() < 1e-9);
        assert_eq!(sample(&json!({"eval_count": 5}), 0.6, 2.0), None);
    }
}
