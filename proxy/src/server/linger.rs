//! A connection that closes while its client still sends.
//!
//! A socket that is closed with unread bytes answers with a reset, which takes from the client what
//! it has not read yet: the refusal. So the write side is closed first, and what comes is dropped
//! until the client closes too, for a bounded time and a bounded number of bytes (RFC 9112 section
//! 9.6).

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// The longest time without a byte from the client.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// The longest time that a connection lingers.
const LONGEST_LINGER: Duration = Duration::from_secs(30);
/// The bytes that are read at once, onto the stack, so that a thousand clients that are refused
/// cost no buffers.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces that are read in a row before other tasks have their turn.
const PIECES_PER_TURN: usize = 64;

/// The last part of a connection, in which it reads and drops what the client still sends.
pub(super) struct LingeringClose {
    /// The bytes that may still come before the connection is cut.
    left: u64,
    ends: Instant,
    clock: Pin<Box<Sleep>>,
    shut: bool,
}

// === impl LingeringClose ===

impl LingeringClose {
    /// Drops at most so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let now = Instant::now();
        Self {
            left: bytes,
            ends: now + LONGEST_LINGER,
            clock: Box::pin(sleep_until(now + LONGEST_SILENCE)),
            shut: false,
        }
    }

    /// Ready when the socket may be closed: the client has closed, or a bound was reached.
    pub(super) fn poll(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            self.shut = true;
        }
        let mut space = [const { MaybeUninit::uninit() }; PIECE_BYTES];
        for _ in 0..PIECES_PER_TURN {
            let mut piece = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *stream).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) => match piece.filled().len() as u64 {
                    0 => return Poll::Ready(Ok(())),
                    came if came >= self.left => return Poll::Ready(Ok(())),
                    came => {
                        self.left -= came;
                        let silent = Instant::now() + LONGEST_SILENCE;
                        self.clock.as_mut().reset(silent.min(self.ends));
                    }
                },
                // The client is gone.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.clock.as_mut().poll(cx).map(Ok),
            }
        }
        if Instant::now() >= self.ends {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    async fn linger(mut stream: TcpStream, bytes: u64) {
        let mut linger = LingeringClose::new(bytes);
        poll_fn(|cx| linger.poll(&mut stream, cx)).await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_is_thrown_away_until_the_client_closes() {
        let (mut client, server) = pair().await;
        let sends = async move {
            client.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
            let mut rest = Vec::new();
            // It sees the end at once, and no reset.
            client.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty());
        };
        tokio::join!(sends, linger(server, 4_000_000));
    }

    #[tokio::test]
    async fn a_client_that_never_stops_is_cut() {
        let (mut client, server) = pair().await;
        let sends = async move {
            let piece = vec![b'x'; 65_536];
            let mut sent = 0_u64;
            while client.write_all(&piece).await.is_ok() {
                sent += 65_536;
                assert!(sent < 1 << 30, "it is never cut");
            }
        };
        tokio::join!(sends, linger(server, 1_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_and_a_dripping_one_are_cut_after_a_while() {
        let (client, server) = pair().await;
        let began = Instant::now();
        linger(server, 1_000_000).await;
        assert_eq!(began.elapsed().as_secs(), LONGEST_SILENCE.as_secs());
        drop(client);
        let (mut client, server) = pair().await;
        let drips = async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let began = Instant::now();
        tokio::select! {
            () = linger(server, 1_000_000) => {}
            () = drips => {}
        }
        let took = began.elapsed();
        assert!(
            took <= LONGEST_LINGER + LONGEST_SILENCE && took >= LONGEST_SILENCE,
            "{took:?}"
        );
    }
}
