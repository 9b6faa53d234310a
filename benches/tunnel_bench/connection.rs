//! The client's side of a connection: to the remote itself, or to the port of a tunnel that leads there.

use super::remote::ECHO;
use crate::common::connection::{self, is_timeout, no_answer};
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

/// Connects and sends the byte that tells the remote what to do.
pub fn connect(address: SocketAddr, mode: u8) -> Result<TcpStream> {
    let mut stream = connection::connect(address)?;
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
