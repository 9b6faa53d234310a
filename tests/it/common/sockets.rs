//! A user's plain TCP socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// A read or write that takes longer than this has failed.
const SOCKET_LIMIT: Duration = Duration::from_secs(60);

pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&local(port), SOCKET_LIMIT);
    with_limits(stream.unwrap_or_else(|error| panic!("connect to port {port}: {error}")))
}

pub fn with_limits(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_read_timeout(Some(SOCKET_LIMIT)).expect("a read limit");
    stream.set_write_timeout(Some(SOCKET_LIMIT)).expect("a write limit");
    stream
}

pub fn is_refused(port: u16) -> bool {
    TcpStream::connect_timeout(&local(port), SOCKET_LIMIT).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

/// Could another program listen there?
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

/// Send eight bytes to an echo and wait for them.
pub fn ping(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    stream.write_all(b"12345678").expect("the ping goes out");
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).expect("the ping comes back");
    assert_eq!(&answer, b"12345678");
    start.elapsed()
}

/// How a connection ended: `Ok` for a FIN, with what came before; otherwise the error.
pub fn read_end(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).map(|_| all).map_err(|error| error.kind())
}

/// Wait until the connection has ended, by FIN or by reset, whichever.
pub fn wait_end(stream: &mut TcpStream) {
    let end = read_end(stream);
    let timed_out = matches!(end, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!timed_out, "the connection is still open");
}

/// Connect and wait until the server has ended the connection. A reset may come before it is even reported.
pub fn visit(port: u16) {
    match TcpStream::connect_timeout(&local(port), SOCKET_LIMIT) {
        Ok(stream) => wait_end(&mut with_limits(stream)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "connect to port {port}: {error}"),
    }
}

/// Connect to where nobody may stay. The end may come before the connection is even reported.
pub fn is_turned_away(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, SOCKET_LIMIT) {
        Ok(stream) => matches!(read_end(&mut with_limits(stream)), Err(ErrorKind::ConnectionReset)),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Close so that the peer sees a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
}
