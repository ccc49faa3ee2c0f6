//! An engine that says exactly these bytes, and listeners that must never be called.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::process::listen;

/// The way in which a scripted answer leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Closed with a FIN.
    Fin,
    /// Open for as long as the other side keeps it.
    Stay,
    /// Closed with a RST: what the kernel does for a process that was killed with unread bytes.
    Reset,
}

/// One answer of the script: its bytes and its end.
#[derive(Clone, Debug)]
pub struct Script {
    /// Raw bytes, from the status line on.
    pub bytes: String,
    /// The way in which the connection is left behind the answer.
    pub leave: Leave,
}

/// One request as the server read it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path of the request.
    pub path: String,
    /// The body of the request as text.
    pub body: String,
}

/// A listener on 127.0.0.1 with a task of its own, ended when it is dropped.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

// === impl Script ===

impl Script {
    /// 200 with a body of this type, which ends with the connection.
    pub fn typed(content_type: &str, body: &str) -> Self {
        Self {
            bytes: format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n{body}"
            ),
            leave: Leave::Fin,
        }
    }

    /// A whole JSON answer.
    pub fn json(status: &str, headers: &str, body: &str) -> Self {
        Self {
            bytes: format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 {headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            leave: Leave::Fin,
        }
    }

    /// These bytes, and then that.
    pub fn raw(bytes: &str, leave: Leave) -> Self {
        Self {
            bytes: bytes.to_owned(),
            leave,
        }
    }
}

// === impl Scripted ===

impl Scripted {
    /// Answers one request per connection with what `script` says for its path.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        Self::start_by_request(move |asked| script(&asked.path)).await
    }

    /// The same for a script that reads the request's body too.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn reading(script: impl Fn(&str, &str) -> Script + Send + Sync + 'static) -> Self {
        Self::start_by_request(move |asked| script(&asked.path, &asked.body)).await
    }

    async fn start_by_request(script: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let noted = Arc::clone(&asked);
        let script = Arc::new(move |request: Asked| {
            let answer = script(&request);
            noted.lock().push(request);
            answer
        });
        #[expect(clippy::disallowed_methods, reason = "aborted when this is dropped")]
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
                tokio::spawn(async move { Box::pin(play(stream, &*script)).await });
            }
        });
        Self {
            address,
            calls,
            asked,
            task,
        }
    }

    /// Nobody should call it; whoever does gets a 200.
    pub async fn canary() -> Self {
        Self::start(|_| Script::json("200 OK", "", "{}")).await
    }

    /// Returns the address of the server, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whole requests for a path so far.
    ///
    /// # Panics
    /// After a panic of its script.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let all = self.asked.lock();
        all.iter().filter(|r| r.path == path).cloned().collect()
    }

    /// Returns the number of connections so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, script: &(impl Fn(Asked) -> Script + Sync)) {
    let Some(asked) = request(&mut stream).await else {
        return;
    };
    let script = script(asked);
    if stream.write_all(script.bytes.as_bytes()).await.is_err() {
        return;
    }
    if script.leave == Leave::Stay {
        // Until the other side closes.
        let _ = stream.read(&mut [0; 16]).await;
    }
    if script.leave == Leave::Reset {
        // A RST overtakes what the other side has not read yet.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.set_zero_linger().expect("SO_LINGER is known");
    }
}

/// Reads one request with its body; `None` at the end of the connection.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<Asked> {
    let mut read = Vec::new();
    let mut buf = vec![0_u8; 16 * 1024];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse().ok())
                .unwrap_or(0_usize);
            if body.len() >= length {
                return Some(Asked {
                    path: head.split(' ').nth(1)?.to_owned(),
                    body: body.to_owned(),
                });
            }
        }
        match stream.read(&mut buf).await {
            Ok(n @ 1..) => read.extend_from_slice(&buf[..n]),
            _ => return None,
        }
    }
}
