//! An engine that says exactly these bytes, and listeners that must never be called.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How a scripted answer leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Closed with a FIN.
    Fin,
    /// Closed with a RST: what the kernel does for a process that was killed with unread bytes.
    Reset,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Script {
    /// Raw bytes, from the status line on.
    pub bytes: String,
    /// What happens then.
    pub leave: Leave,
}

/// A listener on 127.0.0.1 with a task of its own, ended when it is dropped.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
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
}

// === impl Scripted ===

impl Scripted {
    /// Answers one request per connection with what `script` says for its path.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        Self::reading(move |path, _| script(path)).await
    }

    /// The same for a script that reads the request's body too.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn reading(script: impl Fn(&str, &str) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let script = Arc::new(script);
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
            task,
        }
    }

    /// Nobody should call it; whoever does gets a 200.
    pub async fn canary() -> Self {
        Self::start(|_| Script::json("200 OK", "", "{}")).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, script: &(impl Fn(&str, &str) -> Script + Sync)) {
    let Some((path, body)) = request(&mut stream).await else {
        return;
    };
    let script = script(&path, &body);
    if stream.write_all(script.bytes.as_bytes()).await.is_err() {
        return;
    }
    if script.leave == Leave::Reset {
        // A RST overtakes what the other side has not read yet.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        stream.set_zero_linger().expect("SO_LINGER is known");
    }
}

/// Reads one request and gives its path and its body.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
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
                let path = head.split(' ').nth(1)?;
                return Some((path.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buf).await {
            Ok(n @ 1..) => read.extend_from_slice(&buf[..n]),
            _ => return None,
        }
    }
}
