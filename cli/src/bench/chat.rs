//! Measured requests in OpenAI's chat format, one alone and several at once.

use std::time::Duration;

use crucible_router::transport::EngineAddress;
use eventsource_stream::Eventsource as _;
use futures_util::{TryStreamExt as _, future::try_join_all};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    caller::EngineCaller,
    prompt::{GENERATED_TOKENS, MAX_REQUESTS, prompt},
    stats::RunSample,
};

/// The path of the measured requests.
const PATH: &str = "/v1/chat/completions";
/// The longest wait for a whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// The shortest time in seconds that counts; it keeps rates finite.
const SHORTEST_S: f64 = 1e-6;

/// A client that measures an engine over `/v1/chat/completions`.
pub(super) struct ChatMeter {
    token: Option<String>,
    /// The fields of the request's body beyond OpenAI's, which only this engine knows.
    extra: Value,
}

/// The times and the token counts of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ChatTimings {
    /// The seconds from the request to the first token.
    first_s: f64,
    /// The seconds from the request to the last token.
    last_s: f64,
    prompt: f64,
    generated: f64,
    /// The prompt and the generated tokens per second as llama.cpp itself reports them; `None` on
    /// other engines.
    engine_rates: Option<(f64, f64)>,
}

/// Collects the times and counts of one answer from its events.
#[derive(Default)]
struct ChatTimingsBuilder {
    first_s: Option<f64>,
    last_s: f64,
    usage: Option<(f64, f64)>,
    engine_rates: Option<(f64, f64)>,
}

// === impl ChatMeter ===

impl ChatMeter {
    /// Makes a client that sends `token` as its bearer token, where there is one, and adds the
    /// members of the object `extra` to the body of each request.
    pub(super) fn new(token: Option<String>, extra: Value) -> Self {
        Self { token, extra }
    }

    /// Sends one request alone, whose times are measured; with `parallel` above 1 it then sends
    /// that many at once (999 at most), whose total throughput is measured instead. `run` makes the
    /// prompts unlike those of other runs. The first request that fails ends the run; its error is
    /// a message for people.
    pub(super) async fn measure(
        &self,
        engine: &EngineAddress,
        model: &str,
        parallel: u32,
        run: usize,
    ) -> Result<RunSample, String> {
        let first = run.saturating_mul(MAX_REQUESTS);
        let began = Instant::now();
        let engine = EngineCaller::new(engine.clone(), self.token.clone());
        let alone = self.ask(&engine, model, first).await?;
        let mut tokens = alone.prompt + alone.generated;
        let mut seconds = began.elapsed().as_secs_f64();
        if parallel > 1 {
            let began = Instant::now();
            let parallel = usize::try_from(parallel).unwrap_or(MAX_REQUESTS);
            let numbers = (1..=parallel.min(MAX_REQUESTS - 1)).map(|n| first + n);
            let all = try_join_all(numbers.map(|n| self.ask(&engine, model, n))).await?;
            tokens = all.iter().map(|a| a.prompt + a.generated).sum();
            seconds = began.elapsed().as_secs_f64();
        }
        let (prompt_per_s, generated_per_s) = alone.rates();
        Ok(RunSample {
            first_token_s: alone.first_s,
            prompt_per_s,
            generated_per_s,
            load_s: None,
            memory_bytes: None,
            tokens_per_s: tokens / seconds.max(SHORTEST_S),
        })
    }

    async fn ask(
        &self,
        engine: &EngineCaller,
        model: &str,
        number: usize,
    ) -> Result<ChatTimings, String> {
        let answer = timeout(
            ANSWER_TIMEOUT,
            self.ask_without_timeout(engine, model, number),
        )
        .await;
        answer.unwrap_or_else(|_| Err(engine.message(PATH, &"no whole answer in 10 minutes")))
    }

    async fn ask_without_timeout(
        &self,
        engine: &EngineCaller,
        model: &str,
        number: usize,
    ) -> Result<ChatTimings, String> {
        let mut body = json!({
            "model": model, "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": prompt(number)}],
            "max_tokens": GENERATED_TOKENS, "temperature": 0, "seed": 1,
        });
        if let (Some(body), Some(extra)) = (body.as_object_mut(), self.extra.as_object()) {
            body.extend(extra.clone());
        }
        let began = Instant::now();
        let wrong = |e: &dyn std::fmt::Display| engine.message(PATH, e);
        let answer = engine.post(PATH, &body).await?;
        let status = answer.status;
        if !status.is_success() {
            let text = answer.text().await;
            return Err(wrong(&format!("{status}: {text}")));
        }
        let mut events = answer.chunks().eventsource();
        let mut timings = ChatTimingsBuilder::default();
        while let Some(event) = events.try_next().await.map_err(|e| wrong(&e))? {
            if event.data == "[DONE]" {
                break;
            }
            timings
                .add_event(&event.data, began.elapsed().as_secs_f64())
                .map_err(|e| wrong(&e))?;
        }
        timings.finish().map_err(|e| wrong(&e))
    }
}

// === impl ChatTimings ===

impl ChatTimings {
    /// Returns the prompt and the generated tokens per second: the engine's own figures, else by
    /// the clock, where the first token ends the prompt.
    fn rates(&self) -> (f64, f64) {
        self.engine_rates.unwrap_or_else(|| {
            let generating = (self.last_s - self.first_s).max(SHORTEST_S);
            (
                self.prompt / self.first_s.max(SHORTEST_S),
                (self.generated - 1.0).max(1.0) / generating,
            )
        })
    }
}

// === impl ChatTimingsBuilder ===

impl ChatTimingsBuilder {
    fn add_event(&mut self, data: &str, at: f64) -> Result<(), String> {
        let event: Value = serde_json::from_str(data).map_err(|e| e.to_string())?;
        match &event["error"] {
            Value::Null => {}
            Value::String(text) => return Err(text.clone()),
            error => return Err(error["message"].as_str().unwrap_or("an error").to_owned()),
        }
        let delta = &event["choices"][0]["delta"];
        let token = ["content", "reasoning_content", "reasoning"]
            .iter()
            .any(|key| delta[*key].as_str().is_some_and(|text| !text.is_empty()));
        if token {
            self.first_s.get_or_insert(at);
            self.last_s = at;
        }
        let pair = |of: &Value, a: &str, b: &str| of[a].as_f64().zip(of[b].as_f64());
        let counts = pair(&event["usage"], "prompt_tokens", "completion_tokens");
        self.usage = counts.or(self.usage);
        let timings = &event["timings"];
        let tokens = pair(timings, "prompt_n", "predicted_n");
        let spans = pair(timings, "prompt_ms", "predicted_ms");
        if let (Some((prompt, generated)), Some((prompt_ms, generated_ms))) = (tokens, spans)
            && prompt_ms > 0.0
            && generated_ms > 0.0
        {
            self.engine_rates = Some((
                prompt * 1000.0 / prompt_ms,
                generated * 1000.0 / generated_ms,
            ));
        }
        Ok(())
    }

    fn finish(self) -> Result<ChatTimings, String> {
        let first_s = self.first_s.ok_or("the answer had no token")?;
        let (prompt, generated) = self.usage.ok_or("the answer did not tell its usage")?;
        Ok(ChatTimings {
            first_s,
            last_s: self.last_s,
            prompt,
            generated,
            engine_rates: self.engine_rates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(events: &[(Value, f64)]) -> Result<ChatTimings, String> {
        let mut timings = ChatTimingsBuilder::default();
        for (event, at) in events {
            timings.add_event(&event.to_string(), *at)?;
        }
        timings.finish()
    }

    fn delta(delta: &Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta}]})
    }

    #[test]
    fn the_clock_counts_where_the_engine_tells_no_times() {
        let usage =
            json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 11}});
        let timings = answer(&[
            (delta(&json!({"role": "assistant", "content": null})), 0.1),
            (delta(&json!({"reasoning_content": "a"})), 0.5),
            (delta(&json!({"content": "b"})), 1.5),
            (delta(&json!({})), 9.0),
            (usage, 9.0),
        ]);
        let timings = timings.unwrap();
        assert_eq!((timings.first_s, timings.last_s), (0.5, 1.5));
        assert_eq!(timings.rates(), (200.0, 10.0));
    }

    #[test]
    fn the_engines_own_times_come_first() {
        let last = json!({
            "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 11},
            "timings": {"prompt_n": 90, "prompt_ms": 300.0, "predicted_n": 10, "predicted_ms": 500.0},
        });
        let timings = answer(&[(delta(&json!({"content": "b"})), 0.4), (last, 1.0)]).unwrap();
        assert_eq!(timings.rates(), (300.0, 20.0));
    }

    #[test]
    fn an_error_and_a_silence_are_no_answers() {
        let error = answer(&[(json!({"error": {"message": "no room"}}), 0.1)]);
        assert_eq!(error, Err("no room".to_owned()));
        assert!(answer(&[]).is_err());
        assert!(answer(&[(delta(&json!({"content": "b"})), 0.4)]).is_err());
    }
}
