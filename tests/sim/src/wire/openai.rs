//! Chat completions and completions as the three engines write them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::generate::{Answer, Piece, ToolCall};
use crate::http::{self, Reply};
use crate::wire::encode::{Encode, Framing, Totals, joined};

/// Whose hand it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// LM Studio 0.4.25; `gpt_oss` puts thinking into `reasoning`.
    LmStudio { gpt_oss: bool },
    /// Ollama 0.33.0-rc2, `openai/openai.go`.
    Ollama,
    /// llama-server b10488.
    Llama,
}

/// Encodes one answer.
pub(crate) struct OpenAi {
    flavor: Flavor,
    chat: bool,
    model: String,
    id: String,
    created: u64,
    include_usage: bool,
    opened: bool,
    calls: u64,
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A call's id, distinct within a conversation.
fn call_id(index: u64, seq: &str) -> String {
    format!("call_{seq}{index}")
}

/// Tokens per second of a span.
fn rate(tokens: u64, span: std::time::Duration) -> f64 {
    let count = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX));
    if span.is_zero() {
        count * 1000.0
    } else {
        count / span.as_secs_f64()
    }
}

/// llama-server b10488 adds its speeds to the end of each answer.
pub(crate) fn llama_timings(totals: &Totals) -> Value {
    json!({
        "prompt_n": totals.prompt_tokens,
        "prompt_ms": totals.prefill.as_secs_f64() * 1000.0,
        "prompt_per_second": rate(totals.prompt_tokens, totals.prefill),
        "predicted_n": totals.completion_tokens,
        "predicted_ms": totals.generation.as_secs_f64() * 1000.0,
        "predicted_per_second": rate(totals.completion_tokens, totals.generation),
    })
}

// === impl OpenAi ===

impl OpenAi {
    pub(crate) fn new(flavor: Flavor, chat: bool, model: &str, seq: u64, body: &Value) -> Self {
        let prefix = if chat { "chatcmpl" } else { "cmpl" };
        Self {
            flavor,
            chat,
            model: model.to_owned(),
            id: format!("{prefix}-{seq}"),
            created: unix_now(),
            include_usage: super::read::include_usage(body),
            opened: false,
            calls: 0,
        }
    }

    fn object(&self, streamed: bool) -> &'static str {
        match (self.chat, streamed) {
            (true, true) => "chat.completion.chunk",
            (true, false) => "chat.completion",
            (false, _) => "text_completion",
        }
    }

    fn fingerprint(&self) -> &str {
        match self.flavor {
            Flavor::LmStudio { .. } => &self.model,
            Flavor::Ollama => "fp_ollama",
            Flavor::Llama => "b10488",
        }
    }

    fn head(&self, streamed: bool, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": self.object(streamed),
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint(),
            "choices": choices,
        })
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>) -> String {
        let choice = if self.chat {
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish})
        } else {
            let text = delta.get("content").cloned().unwrap_or_else(|| json!(""));
            json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish})
        };
        self.head(true, &json!([choice])).to_string()
    }

    fn reasoning_key(&self) -> &'static str {
        match self.flavor {
            Flavor::Ollama | Flavor::LmStudio { gpt_oss: true } => "reasoning",
            _ => "reasoning_content",
        }
    }

    /// `delta` with the role where this engine puts it. Ollama since 0.32.6: on the first only.
    fn with_role(&mut self, mut delta: Value) -> Value {
        let first = !std::mem::replace(&mut self.opened, true);
        if first
            && self.flavor != Flavor::Llama
            && let Some(delta) = delta.as_object_mut()
        {
            delta.shift_insert(0, "role".to_owned(), json!("assistant"));
        }
        delta
    }

    fn usage(&self, totals: &Totals) -> Value {
        let mut usage = json!({
            "prompt_tokens": totals.prompt_tokens,
            "completion_tokens": totals.completion_tokens,
            "total_tokens": totals.prompt_tokens + totals.completion_tokens,
        });
        // Ollama 0.33.0-rc2 sends no details; LM Studio 0.4.25 does.
        if matches!(self.flavor, Flavor::LmStudio { .. })
            && let Some(usage) = usage.as_object_mut()
        {
            let details = json!({"reasoning_tokens": totals.thinking_tokens});
            usage.insert("completion_tokens_details".to_owned(), details);
        }
        usage
    }

    fn finish_reason(&self, totals: &Totals) -> &'static str {
        // Ollama 0.33.0-rc2: `length` stays `length` even with tool calls.
        if self.chat && totals.calls > 0 && totals.finish == "stop" {
            "tool_calls"
        } else {
            totals.finish
        }
    }

    fn call_value(&self, index: u64, call: &ToolCall) -> Value {
        let mut value = json!({
            "id": call_id(index, &self.id),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments.to_string()},
        });
        if self.flavor == Flavor::Ollama
            && let Some(value) = value.as_object_mut()
        {
            value.insert("index".to_owned(), json!(index));
        }
        value
    }

    /// Ollama sends a call whole; the other two send the name, then the arguments in parts.
    fn call_chunks(&mut self, call: &ToolCall) -> Vec<String> {
        let index = self.calls;
        self.calls += 1;
        if self.flavor == Flavor::Ollama {
            let delta = json!({"content": "", "tool_calls": [self.call_value(index, call)]});
            let delta = self.with_role(delta);
            return vec![self.chunk(&delta, None)];
        }
        let opening = json!({"tool_calls": [{
            "index": index, "id": call_id(index, &self.id), "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }]});
        let opening = self.with_role(opening);
        let mut chunks = vec![self.chunk(&opening, None)];
        let arguments: Vec<char> = call.arguments.to_string().chars().collect();
        for part in arguments.chunks(8) {
            let part: String = part.iter().collect();
            let delta = json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]});
            chunks.push(self.chunk(&delta, None));
        }
        chunks
    }
}

impl Encode for OpenAi {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn open(&mut self) -> Vec<String> {
        if self.flavor == Flavor::Llama && self.chat {
            return vec![self.chunk(&json!({"role": "assistant", "content": null}), None)];
        }
        Vec::new()
    }

    fn progress(&mut self, progress: &Value) -> Vec<String> {
        let mut event = self.chunk(&json!({"role": "assistant", "content": null}), None);
        event.pop();
        // b11549: behind everything else.
        vec![format!("{event},\"prompt_progress\":{progress}}}")]
    }

    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let delta = match piece {
            Piece::Call(call) => return self.call_chunks(call),
            Piece::Text(text) => json!({"content": text}),
            Piece::Thinking(text) => json!({self.reasoning_key(): text}),
        };
        let delta = self.with_role(delta);
        vec![self.chunk(&delta, None)]
    }

    fn close(&mut self, totals: &Totals) -> Vec<String> {
        let mut finish = self.chunk(&json!({}), Some(self.finish_reason(totals)));
        // llama-server b11549: with the finish where no event of usage follows.
        if self.flavor == Flavor::Llama && !self.include_usage {
            finish.pop();
            let timings = llama_timings(totals);
            finish = format!("{finish},\"timings\":{timings}}}");
        }
        let mut events = vec![finish];
        if self.include_usage {
            let mut last = self.head(true, &json!([]));
            if let Some(last) = last.as_object_mut() {
                last.insert("usage".to_owned(), self.usage(totals));
                if self.flavor == Flavor::Llama {
                    last.insert("timings".to_owned(), llama_timings(totals));
                }
            }
            events.push(last.to_string());
        }
        events.push("[DONE]".to_owned());
        events
    }

    fn error(&mut self, message: &str) -> Vec<String> {
        match self.flavor {
            // Ollama 0.33.0-rc2, middleware/openai.go ChatWriter: the error line is decoded as an
            // empty chat response; the text is lost, and neither finish nor [DONE] follows.
            Flavor::Ollama => {
                self.model.clear();
                let delta = self.with_role(json!({"content": ""}));
                vec![self.chunk(&delta, None)]
            }
            // LM Studio since 0.3.18: a chunk with `error` in a 200 stream.
            Flavor::LmStudio { .. } => vec![
                json!({"error": {"message": message, "type": "internal_error"}, "message": message})
                    .to_string(),
            ],
            Flavor::Llama => {
                let error = json!({"code": 500, "message": message, "type": "server_error"});
                vec![json!({"error": error}).to_string()]
            }
        }
    }

    fn whole(&mut self, answer: &Answer, totals: &Totals) -> Value {
        let (thinking, text, calls) = joined(answer);
        let calls: Vec<Value> = (0..)
            .zip(calls)
            .map(|(n, call)| self.call_value(n, call))
            .collect();
        let finish = self.finish_reason(totals);
        let choice = if self.chat {
            let mut message = json!({"role": "assistant", "content": text});
            if let Some(message) = message.as_object_mut() {
                // LM Studio 0.4.25 always has both keys, empty where there is nothing.
                let always = matches!(self.flavor, Flavor::LmStudio { .. });
                if always || !thinking.is_empty() {
                    message.insert(self.reasoning_key().to_owned(), json!(thinking));
                }
                if always || !calls.is_empty() {
                    message.insert("tool_calls".to_owned(), json!(calls));
                }
            }
            json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish})
        } else {
            json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish})
        };
        let mut body = self.head(false, &json!([choice]));
        if let Some(body) = body.as_object_mut() {
            body.insert("usage".to_owned(), self.usage(totals));
            match self.flavor {
                // LM Studio 0.4.25: the speeds are in v0 only, here the object is empty.
                Flavor::LmStudio { .. } => body.insert("stats".to_owned(), json!({})),
                Flavor::Llama => body.insert("timings".to_owned(), llama_timings(totals)),
                Flavor::Ollama => None,
            };
        }
        body
    }

    fn failed(&self, message: &str) -> Reply {
        match self.flavor {
            Flavor::Ollama => crate::ollama::errors::openai(500, message),
            // LM Studio 0.4.x: its own faults come as 400 with a bare string.
            Flavor::LmStudio { .. } => http::json(400, &json!({"error": message})),
            Flavor::Llama => crate::llamacpp::error(500, "server_error", message),
        }
    }
}
