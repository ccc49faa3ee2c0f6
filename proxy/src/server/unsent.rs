//! The bound of what the system keeps for a client that gets small events now and then.
//!
//! Of each connection the system takes some hundred KiB ahead, which streams of answers fill soon where nobody
//! reads them. A stream of small events would take minutes to do so, in which nobody notices that its reader
//! is gone.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The bytes that wait to be sent before a write has to wait. The system adds what fits into the packet that
/// it has begun; what was sent, and the client's program did not read, is kept by the client's system.
const KEPT: u32 = 16 * 1024;

/// Bounds what is kept for this connection from now on. Linux counts what was not sent; elsewhere what was not
/// acknowledged counts, too.
pub(super) fn bound(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket.set_tcp_notsent_lowat(KEPT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return socket.set_send_buffer_size(KEPT as usize);
}
