//! One client connection over hyper's HTTP/1.1.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::{
    Bounds,
    phase::{Phase, Phased},
    socket::Socket,
};

/// The client's address, as a request extension.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves one connection to its end, then drops `held`.
///
/// Not an `async fn`, and with the answer's future in a box of its own, which goes when the head is
/// out: a future keeps room for each of its arguments and of what it awaited, as long as it lives.
pub(super) fn serve<S, B, H>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    bounds: Bounds,
    stop: CancellationToken,
    kill: CancellationToken,
    held: H,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = std::convert::Infallible>
        + Clone
        + Send
        + Unpin
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    H: Send + 'static,
{
    // Without it the last small event of a stream waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let phase = Phase::default();
    let socket = Socket::new(stream, phase.clone(), bounds.header, bounds.client_stall);
    let handler = service_fn(move |mut request: Request<Incoming>| {
        let busy = phase.begin();
        request.extensions_mut().insert(Peer(peer));
        let answer = service.clone().oneshot(request);
        Box::pin(answer.map_ok(|r| r.map(|body| Phased::new(body, busy))))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(bounds.header_bytes)
        .serve_connection(TokioIo::new(socket), handler);
    async move {
        let _held = held;
        // A connection that came during the drain may ask once; its answer closes it.
        let stopped = async {
            if stop.is_cancelled() {
                std::future::pending::<()>().await;
            }
            stop.cancelled().await;
        };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = kill.cancelled() => Ok(()),
            () = stopped => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = kill.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}
