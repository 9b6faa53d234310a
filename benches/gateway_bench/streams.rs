//! What the upstream does on a thread of its own: large bodies, and WebSockets.

use super::http::{DOWNLOAD, SMALL, UPLOAD, invalid};
use super::websocket::{self, ECHO, PING, PONG, SINK, SOURCE, frames};
use crate::common::connection::{BLOCK_BYTES, FarEnd, POLL, read_some, write_some};
use std::io::{Result, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;

/// What a request asks the upstream to do.
pub enum Wish {
    Small,
    /// Send this many bytes.
    Download(u64),
    /// Take this many bytes.
    Upload(u64),
    Socket(Socket),
}

/// A WebSocket, with the value of its `Sec-WebSocket-Accept`.
pub struct Socket {
    mode: String,
    accept: String,
}

impl Wish {
    /// Understands a request's head.
    pub fn parse(head: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(head).map_err(|_| invalid("a head that is not text"))?;
        let path = text.split(' ').nth(1).unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let number = |text: &str| text.parse().map_err(|_| invalid("a number was expected"));
        match last {
            SMALL => Ok(Self::Small),
            UPLOAD => Ok(Self::Upload(number(header(text, "content-length")?)?)),
            SINK | SOURCE | ECHO => Ok(Self::Socket(Socket { mode: last.to_owned(), accept: accept_value(text)? })),
            _ => match last.strip_prefix(DOWNLOAD) {
                Some(bytes) => Ok(Self::Download(number(bytes)?)),
                None => Err(invalid("an unknown path")),
            },
        }
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Result<&'a str> {
    let mut headers = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.trim()).ok_or_else(|| invalid(&format!("no {wanted}")))
}

fn accept_value(head: &str) -> Result<String> {
    let accept = actix_http::ws::hash_key(header(head, "sec-websocket-key")?.as_bytes());
    Ok(String::from_utf8_lossy(&accept).into_owned())
}

/// Does what was asked; `rest` are bytes that came with the head.
pub fn serve(stream: TcpStream, wish: Wish, rest: &[u8], far_end: &FarEnd) -> Result<()> {
    stream.set_read_timeout(Some(POLL))?;
    stream.set_write_timeout(Some(POLL))?;
    let is_over = far_end.end_of_measure();
    match wish {
        Wish::Small => Err(invalid("small requests are answered elsewhere")),
        Wish::Download(bytes) => download(stream, bytes, &is_over),
        Wish::Upload(bytes) => upload(stream, bytes, rest, &is_over),
        Wish::Socket(socket) => serve_socket(stream, &socket, rest, far_end, &is_over),
    }
}

fn download(mut stream: TcpStream, bytes: u64, is_over: &impl Fn() -> bool) -> Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let block = vec![b'd'; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 && !is_over() {
        let length = left.min(block.len() as u64) as usize;
        left -= write_some(&mut stream, &block[..length])? as u64;
    }
    Ok(())
}

fn upload(mut stream: TcpStream, bytes: u64, rest: &[u8], is_over: &impl Fn() -> bool) -> Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut arrived = rest.len() as u64;
    while arrived < bytes {
        match read_some(&mut stream, &mut block, is_over)? {
            0 => return Ok(()),
            length => arrived += length as u64,
        }
    }
    let body = arrived.to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes())
}

fn serve_socket(
    mut stream: TcpStream,
    socket: &Socket,
    rest: &[u8],
    far_end: &FarEnd,
    is_over: &impl Fn() -> bool,
) -> Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        socket.accept
    );
    stream.write_all(head.as_bytes())?;
    match socket.mode.as_str() {
        SINK => {
            far_end.received.fetch_add(rest.len() as u64, Relaxed);
            far_end.sink(stream, is_over)
        }
        SOURCE => websocket::send(stream, &frames(BLOCK_BYTES, false), is_over),
        _ => echo(stream, rest.to_vec(), is_over),
    }
}

/// Answers each message of one byte.
fn echo(mut stream: TcpStream, mut came: Vec<u8>, is_over: &impl Fn() -> bool) -> Result<()> {
    let mut block = [0; 4096];
    loop {
        let whole = came.len() / PING.len();
        stream.write_all(&PONG.repeat(whole))?;
        came.drain(..whole * PING.len());
        match read_some(&mut stream, &mut block, is_over)? {
            0 => return Ok(()),
            length => came.extend_from_slice(&block[..length]),
        }
    }
}
