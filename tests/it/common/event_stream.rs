//! A reader of `/api/events` by hand: over a WebSocket, or by server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::raw_ws::{Got, RawWs, read_head};
use super::sockets::reset;
use super::{SOON, Server, connect};

/// How a test reads events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    WebSocket,
    Sse,
}

pub const BOTH_WAYS: [Way; 2] = [Way::WebSocket, Way::Sse];

pub enum EventStream {
    WebSocket(RawWs),
    Sse(BufReader<TcpStream>),
}

impl EventStream {
    /// Open one and read its `hello`; the HTTP status when the server refuses.
    pub fn try_open(server: &Server, token: &str, way: Way) -> Result<Self, u16> {
        let mut stream = Self::request(server.port, way, &format!("Authorization: Bearer {token}\r\n"))?;
        assert_eq!(stream.next(), Some(json!({ "type": "hello" })));
        Ok(stream)
    }

    pub fn open(server: &Server, token: &str, way: Way) -> Self {
        Self::try_open(server, token, way).unwrap_or_else(|status| panic!("{way:?} is refused: {status}"))
    }

    /// Open one with these headers, and read nothing of it.
    pub fn request(port: u16, way: Way, headers: &str) -> Result<Self, u16> {
        if way == Way::WebSocket {
            return RawWs::open(port, "/api/events", headers).map(|(socket, _)| Self::WebSocket(socket));
        }
        let mut socket = connect(port);
        let request = format!("GET /api/events HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).expect("the request goes out");
        let mut reader = BufReader::new(socket);
        let head = read_head(&mut reader);
        let status = head[0].split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line");
        if status == 200 { Ok(Self::Sse(reader)) } else { Err(status) }
    }

    /// Hang up so that the server sees it at once. A mere FIN leaves a client that may still listen to an answer.
    pub fn reset(self) {
        match self {
            Self::WebSocket(socket) => socket.reset(),
            Self::Sse(reader) => reset(reader.into_inner()),
        }
    }

    /// The next event; None at the end.
    pub fn next(&mut self) -> Option<Value> {
        match self {
            Self::WebSocket(socket) => match socket.read() {
                Got::Text(text) => Some(serde_json::from_str(&text).expect("JSON")),
                Got::Close(_) | Got::End => None,
                Got::Binary(bytes) => panic!("binary: {bytes:x?}"),
            },
            Self::Sse(reader) => next_sse(reader),
        }
    }

    /// Read until this event of this object comes; others may come before.
    pub fn wait(&mut self, kind: &str, id: &str) -> Value {
        let give_up = Instant::now() + SOON;
        let mut seen = Vec::new();
        loop {
            let event = self.next().unwrap_or_else(|| panic!("no {kind} of {id} before the end, but {seen:?}"));
            if event["type"] == kind && event["id"] == id {
                return event;
            }
            seen.push(event);
            assert!(Instant::now() < give_up, "no {kind} of {id}, but {seen:?}");
        }
    }

    /// What comes before the end, and how long the end took.
    pub fn until_end(&mut self) -> (Vec<Value>, Duration) {
        let start = Instant::now();
        let events = std::iter::from_fn(|| self.next()).collect();
        (events, start.elapsed())
    }

    /// The code with which the WebSocket closes.
    pub fn wait_close(&mut self) -> u16 {
        match self {
            Self::WebSocket(socket) => socket.wait_close(),
            Self::Sse(_) => panic!("server-sent events have no close code"),
        }
    }
}

/// The next event of a stream; its name and its data agree.
fn next_sse(reader: &mut impl BufRead) -> Option<Value> {
    let (mut name, mut data) = (None, None);
    loop {
        let mut line = String::new();
        if reader.by_ref().read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("event", text)) => name = Some(text.to_owned()),
            Some(("data", text)) => data = Some(serde_json::from_str::<Value>(text).expect("JSON")),
            Some(("", _)) => {}
            // A comment without text, or the empty line at the end of a comment.
            None if data.is_none() => {}
            None => {
                assert_eq!(data.as_ref().map(|data| &data["type"]), name.map(Value::from).as_ref());
                return data;
            }
            Some(other) => panic!("an unknown line: {other:?}"),
        }
    }
}
