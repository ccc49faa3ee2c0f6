//! An engine that ends each connection at its second prompt, and counts how often it did.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const LIST: &str = r#"{"object":"list","data":[{"id":"stale","object":"model"}]}"#;
const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"stale","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

pub(super) struct StaleEngine {
    url: String,
    ended: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

// === impl StaleEngine ===

impl StaleEngine {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let ended = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&count)));
            }
        });
        Self { url, ended, task }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The prompts that came on a connection which had served one, and got no answer.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for StaleEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next whole request of a connection; `None` at its end.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        text += &String::from_utf8_lossy(&buffer[..read]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = lengths.next().and_then(|(_, length)| length.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
    None
}

async fn connection(mut stream: TcpStream, ended: Arc<AtomicU64>) {
    let mut prompts = 0;
    while let Some(request) = request(&mut stream).await {
        let prompt = request.starts_with("POST ");
        if prompt && prompts > 0 {
            ended.fetch_add(1, Ordering::SeqCst);
            return;
        }
        prompts += u32::from(prompt);
        let answer = if prompt { ANSWER } else { LIST };
        let whole = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(whole.as_bytes()).await.is_err() {
            return;
        }
    }
}
