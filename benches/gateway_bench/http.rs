//! HTTP as far as both ends of the benchmark need it: what a client asks, and the head of an answer.

use crate::common::Outcome;
use crate::common::connection;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

/// Where the gateways find the plain upstream; they pass the path on with or without this prefix.
pub const PLAIN_PREFIX: &str = "/desktop/bench-plain/";
/// Where they find the upstream with TLS.
pub const TLS_PREFIX: &str = "/desktop/bench-tls/";
/// The last part of the path of a small request.
pub const SMALL: &str = "small";
/// Before the number of bytes in the last part of a download's path.
pub const DOWNLOAD: &str = "download-";
/// The last part of an upload's path; the answer's body is the number of bytes that arrived.
pub const UPLOAD: &str = "upload";

/// More than any head has here.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// What a browser sends with a small request, about.
const USUAL_HEADERS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1\r\nAccept: */*\r\n\
    Accept-Language: en-GB,en;q=0.8\r\nAccept-Encoding: gzip, deflate\r\n";

/// Who asks whom: the same for every subject, so that none has less to read.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// The token of the desktops' owner.
    pub token: String,
}

impl Client {
    /// A request's head; `headers` are lines with their ends.
    pub fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let Self { address, token } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{USUAL_HEADERS}Authorization: Bearer {token}\r\n{headers}\r\n"
        )
    }

    /// Connects and sends a head. Returns the connection.
    pub fn send(&self, method: &str, path: &str, headers: &str) -> Result<TcpStream> {
        let mut stream = connection::connect(self.address)?;
        stream.write_all(self.head(method, path, headers).as_bytes())?;
        Ok(stream)
    }

    /// Makes one small request on a connection of its own and looks at the answer.
    pub fn try_small(&self, prefix: &str) -> Outcome<()> {
        let mut stream = self.send("GET", &format!("{prefix}{SMALL}"), "")?;
        let (head, _) = read_head(&mut stream)?;
        Ok(head.expect(200)?)
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The head of an answer.
pub struct Head {
    pub status: u16,
    pub body: Body,
    /// The connection ends after this answer.
    pub is_last: bool,
    /// Bytes of the head, the blank line included.
    pub length: usize,
}

impl Head {
    /// Parses a head; `None` while it is not whole.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(length) = head_length(bytes) else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[..length]).map_err(|_| invalid("a head that is not text"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("not an answer: '{first}'")))?;
        let mut head = Self { status, body: Body::UntilClose, is_last: false, length };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            head.note(name, value.trim());
        }
        Ok(Some(head))
    }

    fn note(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("content-length") {
            self.body = value.parse().map_or(Body::UntilClose, Body::Length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            self.is_last = value.eq_ignore_ascii_case("close");
        }
    }

    /// Fails when the answer has another status.
    pub fn expect(&self, status: u16) -> Result<()> {
        if self.status == status { Ok(()) } else { Err(invalid(&format!("answered {}", self.status))) }
    }
}

/// Bytes of a head with its blank line, when it is whole.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads an answer's head; returns it with what was read of the body.
pub fn read_head(stream: &mut TcpStream) -> Result<(Head, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(HEAD_LIMIT);
    loop {
        let mut block = [0; 4096];
        let length = stream.read(&mut block)?;
        if length == 0 || bytes.len() + length > HEAD_LIMIT {
            return Err(invalid("the answer has no whole head"));
        }
        bytes.extend_from_slice(&block[..length]);
        if let Some(head) = Head::parse(&bytes)? {
            let rest = bytes.split_off(head.length);
            return Ok((head, rest));
        }
    }
}

/// The error of an answer that is not as it should be.
pub fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
