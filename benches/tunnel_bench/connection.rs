//! The client's side of a connection: to the remote itself, or to the port of a tunnel that leads there.

use super::remote::ECHO;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Size of one read or write of the throughput measures, in bytes.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// How often a blocked read or write looks whether its measure is over.
pub const POLL: Duration = Duration::from_millis(200);
/// How long a connect or an echo may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Connects and sends the byte that tells the remote what to do.
pub fn connect(address: SocketAddr, mode: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[mode])?;
    Ok(stream)
}

/// Connects in echo mode and waits for one byte to come back: the connection is then known to reach the remote.
pub fn connect_echo(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = connect(address, ECHO)?;
    ping(&mut stream)?;
    Ok(stream)
}

/// Sends one byte and waits for it.
pub fn ping(stream: &mut TcpStream) -> Result<()> {
    let mut byte = [b'p'];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte).map_err(|error| if is_timeout(&error) { no_answer() } else { error })
}

/// Whether a read or write gave up only because its time was over.
pub fn is_timeout(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn no_answer() -> Error {
    Error::new(ErrorKind::TimedOut, "no answer came")
}
