//! Opening connections to engines, within a time.

use std::{error::Error as StdError, io, time::Duration};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service as _;

use super::{
    ConnectError,
    address::{EngineAddress, Route},
    stream::Transport,
    tls,
};

/// The bytes of an answer that the system takes before they are read (Linux takes twice as many).
/// Without a bound it takes up to 6 MB of each stream whose client does not read.
const READ_AHEAD: usize = 128 * 1024;

/// Opens connections to engines: without a proxy, IPv6 and IPv4 in a race, small writes at once
/// (`TCP_NODELAY`). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    tcp: HttpConnector,
    within: Duration,
}

// === impl Connector ===

impl Connector {
    /// `within` bounds the TCP connection, and once more the TLS handshake on it.
    pub fn new(within: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(within));
        tcp.set_recv_buffer_size(Some(READ_AHEAD));
        Self { tcp, within }
    }

    /// Opens a connection, TLS included.
    pub async fn connect(&self, address: &EngineAddress) -> Result<Transport, ConnectError> {
        match address.route() {
            Route::Tcp(uri) => self.tcp(uri).await.map(Transport::Tcp),
            Route::Tls(uri, name, trust) => {
                let tcp = self.tcp(uri).await?;
                let secured = trust.connector().connect(name.clone(), tcp);
                match timeout(self.within, secured).await {
                    Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
                    Ok(Err(error)) => Err(tls::refused(&error)),
                    Err(_) => Err(ConnectError::Failed(
                        "it took the connection and did not answer the TLS handshake".to_owned(),
                    )),
                }
            }
            #[cfg(unix)]
            Route::Unix(path) => {
                match timeout(self.within, tokio::net::UnixStream::connect(path)).await {
                    Ok(Ok(stream)) => Ok(Transport::Unix(stream)),
                    Ok(Err(error)) => Err(because(&error)),
                    Err(_) => Err(ConnectError::Failed("timed out".to_owned())),
                }
            }
            #[cfg(not(unix))]
            Route::Unix(_) => Err(ConnectError::Failed(
                "this system has no Unix sockets".to_owned(),
            )),
        }
    }

    async fn tcp(&self, uri: &Uri) -> Result<TcpStream, ConnectError> {
        // Always ready: it has no bound, and resolves in threads.
        let connected = self.tcp.clone().call(uri.clone()).await;
        match connected {
            Ok(io) => Ok(io.into_inner()),
            Err(error) => Err(because(&error)),
        }
    }
}

/// The innermost cause tells what happened ("Connection refused"); the outer ones name the step.
fn because(error: &(dyn StdError + 'static)) -> ConnectError {
    let mut innermost = error;
    let mut refused = false;
    loop {
        // A socket that is gone is a child that is gone.
        refused |= innermost.downcast_ref::<io::Error>().is_some_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            )
        });
        match innermost.source() {
            Some(source) => innermost = source,
            None => break,
        }
    }
    let text = innermost.to_string();
    if refused {
        ConnectError::Refused(text)
    } else {
        ConnectError::Failed(text)
    }
}
