//! A WebSocket by hand, for an agent that misbehaves or a reader of events. Shares no code with the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::connect;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Kinds of version 2.
pub const OPEN: u8 = 1;
pub const OPENED: u8 = 2;
pub const DATA: u8 = 4;
pub const RESET: u8 = 7;
pub const HELLO: u8 = 0x10;

/// What a read from the server brought; pings are answered on the way.
#[derive(Debug, PartialEq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    /// A WebSocket Close with its code.
    Close(u16),
    /// The connection ended without one.
    End,
}

/// A server pings every 15 s; what has not come between so many pings does not come.
const MOST_PINGS: usize = 4;

pub struct RawWs {
    reader: BufReader<TcpStream>,
    writer: Writer,
}

/// The sending side, for several threads: what is written at once, a frame, stays in one piece.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<TcpStream>>);

impl Writer {
    pub fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().expect("no writer panics").write_all(bytes)
    }

    pub fn set_limit(&self, limit: Duration) {
        self.0.lock().expect("no writer panics").set_write_timeout(Some(limit)).expect("a limit");
    }
}

impl RawWs {
    /// Log in; the HTTP status when the server refuses.
    pub fn log_in(port: u16, client_id: &str, token: &str, binary: bool) -> Result<Self, u16> {
        let subprotocol = if binary { "Sec-WebSocket-Protocol: dockway.v2\r\n" } else { "" };
        let login = format!("Authorization: Bearer {token}\r\nX-Client-Id: {client_id}\r\n");
        let (session, head) = Self::open(port, "/api/agent/ws", &format!("{subprotocol}{login}"))?;
        let agreed = head.iter().any(|line| line.to_lowercase().starts_with("sec-websocket-protocol: dockway.v2"));
        assert_eq!(agreed, binary, "{head:?}");
        Ok(session)
    }

    /// Open any WebSocket; it and the answer's head, or the HTTP status when the server refuses.
    pub fn open(port: u16, path: &str, headers: &str) -> Result<(Self, Vec<String>), u16> {
        let mut writer = connect(port);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        writer.write_all(request.as_bytes()).expect("the request goes out");
        let mut reader = BufReader::new(writer.try_clone().expect("a second handle"));
        let head = read_head(&mut reader);
        let status = head[0].split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line");
        if status != 101 {
            return Err(status);
        }
        Ok((Self { reader, writer: Writer(Arc::new(Mutex::new(writer))) }, head))
    }

    /// Log in with version 2 and exchange HELLOs.
    pub fn greeted(port: u16, client_id: &str, token: &str) -> Self {
        let mut session = Self::log_in(port, client_id, token, true).expect("the token is right");
        let hello = json!({ "versions": [2], "features": [], "limits": {} });
        session.send_frame(HELLO, 0, hello.to_string().as_bytes());
        session.wait_frame(HELLO);
        session
    }

    /// Close so that the server sees a reset.
    pub fn reset(self) {
        super::sockets::reset(self.reader.into_inner());
    }

    /// The address of this end.
    pub fn local(&self) -> SocketAddr {
        self.reader.get_ref().local_addr().expect("an address")
    }

    /// How long a read may take.
    pub fn set_read_limit(&self, limit: Duration) {
        self.reader.get_ref().set_read_timeout(Some(limit)).expect("a limit");
    }

    /// Bytes that have come and are not read, up to the length of `room`.
    pub fn unread(&self, room: &mut [u8]) -> usize {
        self.reader.get_ref().peek(room).unwrap_or(0)
    }

    /// A handle for writing from another thread.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    pub fn send_text(&mut self, text: &str) {
        self.write(&header(true, TEXT, text.len() as u64));
        self.write(text.as_bytes());
    }

    /// A frame of version 2 in a binary message.
    pub fn send_frame(&mut self, kind: u8, channel: u32, payload: &[u8]) {
        self.write(&message(kind, channel, payload));
    }

    /// Write bytes as they are. A server that has hung up is seen at the next read.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.writer.write(bytes).is_ok()
    }

    pub fn read(&mut self) -> Got {
        for _ in 0..MOST_PINGS {
            let Ok((opcode, payload)) = self.read_message() else { return Got::End };
            match opcode {
                TEXT => return Got::Text(String::from_utf8(payload).expect("text is UTF-8")),
                BINARY => return Got::Binary(payload),
                CLOSE => return Got::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
                PING => drop(self.write(&[header(true, PONG, payload.len() as u64), payload].concat())),
                _ => {}
            }
        }
        panic!("nothing comes but {MOST_PINGS} pings or pongs");
    }

    /// Read until a frame of this kind comes; its channel and payload.
    pub fn wait_frame(&mut self, kind: u8) -> (u32, Vec<u8>) {
        loop {
            match self.read() {
                Got::Binary(frame) if frame[0] == kind => return (channel_of(&frame), frame[5..].to_vec()),
                Got::Binary(_) => {}
                other => panic!("waiting for frame {kind:#x}, got {other:?}"),
            }
        }
    }

    /// The next OPEN: its channel and its JSON.
    pub fn wait_open(&mut self) -> (u32, Value) {
        let (channel, payload) = self.wait_frame(OPEN);
        (channel, serde_json::from_slice(&payload).expect("OPEN carries JSON"))
    }

    /// The code with which the server closes, whatever it sends before.
    pub fn wait_close(&mut self) -> u16 {
        loop {
            match self.read() {
                Got::Close(code) => return code,
                Got::End => panic!("the connection ended without a Close"),
                _ => {}
            }
        }
    }

    /// The server's messages are neither masked nor fragmented.
    fn read_message(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head)?;
        assert_eq!(head[0] & 0x70, 0, "reserved bits");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.read_array()?)),
            127 => u64::from_be_bytes(self.read_array()?),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        self.reader.read_exact(&mut payload)?;
        Ok((head[0] & 0x0f, payload))
    }

    fn read_array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A masked frame's header with the key zero, under which the payload stays as it is.
pub fn header(last: bool, opcode: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

/// A whole version 2 frame as it goes over the socket.
pub fn message(kind: u8, channel: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(true, BINARY, 5 + payload.len() as u64);
    bytes.push(kind);
    bytes.extend(channel.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn channel_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]])
}

pub fn read_head(reader: &mut impl BufRead) -> Vec<String> {
    let lines = reader.lines().map(|line| line.expect("an answer"));
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(!head.is_empty(), "the server hung up");
    head
}
