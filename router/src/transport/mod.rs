//! Connections to engines (plain TCP, TLS over TCP, or a Unix socket), and HTTP requests on them.
//!
//! Everything that talks to an engine opens its connections here, so that whether an engine speaks TLS,
//! and whom it is trusted by, is decided in one place: requests for answers, polls, loads, probes and
//! the WebSocket of LM Studio.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use crucible_router::transport::{Connector, EngineAddress};
//!
//! let engine = EngineAddress::new("http://127.0.0.1:11434".parse()?, None)?;
//! let connector = Connector::new(Duration::from_secs(2));
//! // A `tokio::io::AsyncRead + AsyncWrite`, whatever the scheme of the address is.
//! let stream = connector.connect(&engine).await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod answer;
mod connect;
mod connect_error;
mod connection;
mod exchange;
mod halves;
mod idle;
mod stream;
mod tls;
mod wire;

pub use self::{
    address::{AddressError, EngineAddress},
    answer::AnswerBody,
    connect::Connector,
    connect_error::{ConnectError, tls_trouble},
    connection::Broken,
    exchange::{exchange, exchange_again},
    idle::IdleConnection,
    stream::Transport,
};
