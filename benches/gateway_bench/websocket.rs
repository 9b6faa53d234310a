//! WebSockets as far as the benchmark needs them: the handshake, and whole binary frames (RFC 6455).

use super::http::{Client, PLAIN_PREFIX, invalid, read_head};
use crate::common::connection::{is_timeout, no_answer, write_some};
use std::io::{Read, Result, Write};
use std::net::TcpStream;

/// The last part of the path: what comes is counted.
pub const SINK: &str = "ws-sink";
/// The last part of the path: frames come as fast as they are taken.
pub const SOURCE: &str = "ws-source";
/// The last part of the path: each frame is answered.
pub const ECHO: &str = "ws-echo";

/// A message of one byte from a client. The masking key is zero, which costs its sender nothing; nobody between knows.
pub const PING: [u8; 7] = [FINAL_BINARY, MASKED | 1, 0, 0, 0, 0, b'p'];
/// The answer to it.
pub const PONG: [u8; 3] = [FINAL_BINARY, 1, b'p'];

/// Bytes of one frame of a stream, header included.
const FRAME_BYTES: usize = 32 * 1024;
const FINAL_BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// Stands for a length of two bytes that follows.
const LENGTH_16: u8 = 126;

/// Any 16 bytes in base64.
const KEY: &[u8] = b"AAECAwQFBgcICQoLDA0ODw==";

/// Opens a WebSocket to the plain upstream.
pub fn open(client: &Client, mode: &str) -> Result<TcpStream> {
    let key = String::from_utf8_lossy(KEY);
    let headers = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
         Origin: http://{}\r\n",
        client.address
    );
    let mut stream = client.send("GET", &format!("{PLAIN_PREFIX}{mode}"), &headers)?;
    let (head, rest) = read_head(&mut stream)?;
    head.expect(101)?;
    // A source may have sent frames with its head; they are not counted.
    if rest.is_empty() || mode == SOURCE { Ok(stream) } else { Err(invalid("bytes after the handshake")) }
}

/// Sends a message and waits for its echo.
pub fn ping(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&PING)?;
    let mut answer = [0; PONG.len()];
    stream.read_exact(&mut answer).map_err(|error| if is_timeout(&error) { no_answer() } else { error })?;
    if answer == PONG { Ok(()) } else { Err(invalid("the echo is another message")) }
}

/// As many whole frames as fill `bytes`, from a client (masked) or from a server.
pub fn frames(bytes: usize, is_client: bool) -> Vec<u8> {
    let header_bytes = if is_client { 8 } else { 4 };
    let payload = (FRAME_BYTES - header_bytes) as u16;
    let [high, low] = payload.to_be_bytes();
    let mask = if is_client { MASKED } else { 0 };
    let mut frame = vec![FINAL_BINARY, mask | LENGTH_16, high, low, 0, 0, 0, 0];
    frame.truncate(header_bytes);
    frame.resize(FRAME_BYTES, b'd');
    frame.repeat(bytes / FRAME_BYTES)
}

/// Sends the block again and again, each time from where the last write ended, so that frames stay whole.
pub fn send(mut stream: TcpStream, block: &[u8], is_over: impl Fn() -> bool) -> Result<()> {
    let mut at = 0;
    while !is_over() {
        at = (at + write_some(&mut stream, &block[at..])?) % block.len();
    }
    Ok(())
}
