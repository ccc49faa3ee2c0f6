//! A client that says exactly these bytes.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::process::PATIENCE;

/// What came back on a raw connection.
#[derive(Debug)]
pub struct Answer {
    /// Everything received.
    pub text: String,
    /// The server closed the connection.
    pub closed: bool,
}

impl Answer {
    /// Status of the first answer.
    pub fn status(&self) -> u16 {
        self.text
            .split_whitespace()
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_default()
    }
}

/// Sends the bytes and reads until the server closes or `quiet` passes without a byte.
///
/// # Panics
/// If there is no connection.
pub async fn talk(addr: &str, bytes: &[u8], quiet: Duration) -> Answer {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    // A server that closed early already said why; that is read below.
    let _ = stream.write_all(bytes).await;
    read(&mut stream, quiet).await
}

/// Reads until the server closes or `quiet` passes without a byte.
pub async fn read(stream: &mut TcpStream, quiet: Duration) -> Answer {
    let mut text = Vec::new();
    let mut buf = vec![0_u8; 16 * 1024];
    let closed = loop {
        match timeout(quiet.min(PATIENCE), stream.read(&mut buf)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(n)) => text.extend_from_slice(&buf[..n]),
        }
    };
    Answer {
        text: String::from_utf8_lossy(&text).into_owned(),
        closed,
    }
}
