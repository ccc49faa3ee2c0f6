//! A client that does not read its answer.

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

use crate::{chat::body, process::Crucible};

/// The buffer of a socket that holds as little as the system lets it, so that what a test's own sockets take in does
/// not count.
pub const SMALL_BUFFER: u32 = 4096;

/// Asks for a stream that does not end in a test's time, and reads nothing of it.
///
/// # Panics
/// If the request cannot be sent.
pub async fn never_reading(crucible: &Crucible, model: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(SMALL_BUFFER)
        .expect("a small buffer");
    let address = crucible.addr().parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    let mut want = body(model, "repeat 3000000");
    want["stream"] = true.into();
    let want = want.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        want.len()
    );
    let request = head + &want;
    stream.write_all(request.as_bytes()).await.expect("written");
    stream
}
