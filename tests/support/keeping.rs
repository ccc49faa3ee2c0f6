//! An engine that keeps its connections from one request to the next, and ends one under a prompt.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle, time::sleep};

use crate::{process::listen, scripted};

/// The end of a connection in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It is closed with a FIN at once.
    Closed,
    /// It is closed with a RST, so much later.
    Reset(Duration),
}

/// An `OpenAI` server with one model and a task of its own, ended when it is dropped.
#[derive(Debug)]
pub struct KeepingEngine {
    address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    prompts: AtomicUsize,
    ended: AtomicUsize,
}

/// What every connection is served by.
struct Service<E> {
    model: String,
    end: E,
    counts: Arc<Counts>,
}

// === impl KeepingEngine ===

impl KeepingEngine {
    /// Starts one with this model. `end` is asked at each prompt with the number of prompts that its connection has
    /// answered before; where it gives an end, the prompt has no answer.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(
        model: &str,
        end: impl Fn(usize) -> Option<ConnectionEnd> + Send + Sync + 'static,
    ) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let service = Arc::new(Service {
            model: model.to_owned(),
            end,
            counts: Arc::clone(&counts),
        });
        #[expect(clippy::disallowed_methods, reason = "aborted when this is dropped")]
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = Arc::clone(&service);
                #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
                tokio::spawn(async move { service.serve(stream).await });
            }
        });
        Self {
            address,
            counts,
            task,
        }
    }

    /// Returns the address of the server, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of prompts so far.
    pub fn prompts(&self) -> usize {
        self.counts.prompts.load(Ordering::SeqCst)
    }

    /// Returns the number of prompts so far that had no answer.
    pub fn ended(&self) -> usize {
        self.counts.ended.load(Ordering::SeqCst)
    }
}

impl Drop for KeepingEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Service ===

impl<E: Fn(usize) -> Option<ConnectionEnd>> Service<E> {
    async fn serve(&self, mut stream: TcpStream) {
        let mut answered = 0;
        while let Some(asked) = scripted::request(&mut stream).await {
            let is_prompt = asked.path == "/v1/chat/completions";
            if is_prompt {
                self.counts.prompts.fetch_add(1, Ordering::SeqCst);
                if let Some(end) = (self.end)(answered) {
                    self.counts.ended.fetch_add(1, Ordering::SeqCst);
                    if let ConnectionEnd::Reset(after) = end {
                        sleep(after).await;
                        stream.set_zero_linger().expect("SO_LINGER is known");
                    }
                    return;
                }
                answered += 1;
            }
            let (kind, answer) = self.answer(is_prompt, asked.body.contains("\"stream\":true"));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: ");
            let text = format!("{head}{}\r\n\r\n{answer}", answer.len());
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// The type and the body of an answer: the list of models, or one word as a document or as a stream.
    fn answer(&self, is_prompt: bool, streamed: bool) -> (&'static str, String) {
        let model = &self.model;
        let common = format!("\"id\":\"c\",\"created\":1,\"model\":\"{model}\"");
        let choice = "\"index\":0,\"finish_reason\":\"stop\"";
        let word = "{\"role\":\"assistant\",\"content\":\"hello\"}";
        match (is_prompt, streamed) {
            (false, _) => (
                "application/json",
                format!(
                    "{{\"object\":\"list\",\"data\":[{{\"id\":\"{model}\",\"object\":\"model\"}}]}}"
                ),
            ),
            (true, false) => (
                "application/json",
                format!(
                    "{{{common},\"object\":\"chat.completion\",\"choices\":[{{{choice},\"message\":{word}}}],\
                     \"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}}}"
                ),
            ),
            (true, true) => (
                "text/event-stream",
                format!(
                    "data: {{{common},\"object\":\"chat.completion.chunk\",\
                     \"choices\":[{{{choice},\"delta\":{word}}}]}}\n\ndata: [DONE]\n\n"
                ),
            ),
        }
    }
}
