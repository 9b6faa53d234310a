//! What TCP sockets are told, and the shape of a session's socket.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection that is idle this long is asked whether it lives …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// … this often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// … and so many times.
const KEEPALIVE_RETRIES: u32 = 4;
/// Sent bytes that nobody acknowledges for this long mean that the peer is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// The socket under a session: TCP, or TLS over it.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// No delay, keepalive, and a limit on silence. A listener hands all of them on to what it accepts (Linux: `tcp(7)`).
pub fn prepare(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Make the socket's close a reset.
pub fn reset_on_close(socket: SockRef<'_>) {
    // A socket that refuses it is closed by the kernel anyway.
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Close with a reset, so that the peer does not take it for an end in order.
pub fn abort(socket: TcpStream) {
    reset_on_close(SockRef::from(&socket));
}
