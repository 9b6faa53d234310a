//! The WebSocket of a session: socket, framing, [`Mux`] and heartbeat.
//!
//! Reads are large and give whole batches; writes are vectored slices. Nothing in here waits: the owner polls.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::buffer::ReadBuffer;
use super::outbox::Outbox;
use super::socket::Socket;
use crate::wire::codes::{SessionClose, shown};
use crate::wire::mux::{Mux, Role, Version};
use crate::wire::websocket::{Decoder, Message, Opcode, Side, put_close};

/// Each side pings this often.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that is silent for this long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// Version 2: the peer's HELLO comes within this.
pub const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A closing session gives its peer this long to read why.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// While closing, so much of what the peer still sends is read and dropped.
const DISCARD_LIMIT: usize = 1024 * 1024;
/// About so much is handed to the socket in one write.
const WRITE_BATCH: usize = 512 * 1024;
/// With so many control frames unwritten, the peer that asks for them is not read.
const CONTROL_LIMIT: usize = 1024 * 1024;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkEnd {
    #[error("closed by the peer: {code} {}", shown(.reason))]
    ClosedByPeer { code: u16, reason: String },
    #[error("closed: {0}")]
    Closed(SessionClose),
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("nothing heard for {} s", DEAD_AFTER.as_secs())]
    Silent,
}

/// See the module's documentation.
pub struct Link {
    socket: Box<dyn Socket>,
    side: Side,
    decoder: Decoder,
    input: ReadBuffer,
    out: Outbox,
    pub mux: Mux,
    heard: Instant,
    pinged: Option<Instant>,
    ping_answered: bool,
    rtt: Option<Duration>,
    closing: Option<Closing>,
}

/// A close that is under way: the frame goes out, then the peer's bytes are dropped until it closes too.
struct Closing {
    why: LinkEnd,
    since: Instant,
    discarded: usize,
}

impl Link {
    /// `read` is what came with the handshake.
    pub fn new(socket: Box<dyn Socket>, read: &[u8], role: Role, version: Version, now: Instant) -> Self {
        let side = if role == Role::Server { Side::Server } else { Side::Client };
        let mut input = ReadBuffer::default();
        input.bytes().extend_from_slice(read);
        let mut mux = Mux::new(role, version);
        mux.greet();
        Self {
            socket,
            side,
            decoder: Decoder::new(side, version.max_message()),
            input,
            out: Outbox::default(),
            mux,
            heard: now,
            pinged: None,
            ping_answered: true,
            rtt: None,
            closing: None,
        }
    }

    /// The round trip as pings show it.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Begin to close; what is queued for the peer before goes out first.
    pub fn close(&mut self, close: SessionClose, now: Instant) {
        self.begin_close(LinkEnd::Closed(close.clone()), &close, now);
    }

    fn begin_close(&mut self, why: LinkEnd, close: &SessionClose, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        let mut frame = BytesMut::new();
        put_close(self.side, close, &mut frame);
        self.out.push(frame.freeze());
        self.closing = Some(Closing { why, since: now, discarded: 0 });
    }

    /// Once a second: ping, and see whether the peer still lives.
    pub fn tick(&mut self, now: Instant) -> Option<LinkEnd> {
        if let Some(closing) = &self.closing {
            return (now - closing.since >= CLOSE_LIMIT).then(|| closing.why.clone());
        }
        if self.mux.blocked() {
            // It is not read on purpose, so its silence says nothing.
            self.heard = now;
        }
        if now - self.heard >= DEAD_AFTER {
            return Some(LinkEnd::Silent);
        }
        if self.pinged.is_none_or(|last| now - last >= PING_INTERVAL) {
            self.pinged = Some(now);
            self.ping_answered = false;
            self.mux.websocket_control(Opcode::Ping, b"dockway");
        }
        None
    }

    /// Read once and take everything that came. Ready means that there may be more.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), LinkEnd>> {
        if self.closing.is_some() {
            return self.poll_discard(cx);
        }
        if self.mux.blocked() || self.mux.control_len() > CONTROL_LIMIT {
            return Poll::Pending;
        }
        if self.input.bytes().is_empty() || !self.decode(now) {
            let buffer = self.input.room();
            let room = buffer.capacity() - buffer.len();
            let read = match poll_read_buf(Pin::new(&mut self.socket), cx, buffer) {
                Poll::Pending => {
                    self.input.rest_from_large();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(LinkEnd::Lost("the peer closed the connection".into()))),
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(&error))),
            };
            self.heard = now;
            self.input.learn(read, room);
            self.decode(now);
        }
        Poll::Ready(Ok(()))
    }

    /// Decode what is there, up to the point where the session must not be read. Did anything come out?
    fn decode(&mut self, now: Instant) -> bool {
        let mut any = false;
        while !self.mux.blocked() && self.closing.is_none() {
            match self.decoder.decode(self.input.bytes()) {
                Ok(None) => break,
                Ok(Some(message)) => self.take(message, now),
                Err(close) => self.close(close, now),
            }
            any = true;
        }
        any
    }

    fn take(&mut self, message: Message, now: Instant) {
        match message {
            Message::Ping(payload) => self.mux.websocket_control(Opcode::Pong, &payload),
            Message::Pong(_) => self.note_pong(now),
            Message::Close { code, reason } => {
                let code = code.unwrap_or(SessionClose::NORMAL);
                let why = LinkEnd::ClosedByPeer { code, reason };
                self.begin_close(why, &SessionClose::new(SessionClose::NORMAL, ""), now);
            }
            message => {
                if let Err(close) = self.mux.receive(message, now) {
                    self.close(close, now);
                }
            }
        }
    }

    fn note_pong(&mut self, now: Instant) {
        let Some(pinged) = self.pinged.filter(|_| !self.ping_answered) else { return };
        self.ping_answered = true;
        let sample = now - pinged;
        let rtt = self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8);
        self.rtt = Some(rtt);
        self.mux.set_rtt(rtt);
    }

    /// Write until nothing is left or the socket takes no more.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkEnd>> {
        loop {
            if self.out.is_empty() {
                if self.closing.is_some() {
                    let shut = ready!(Pin::new(&mut self.socket).poll_shutdown(cx));
                    return Poll::Ready(shut.map_err(|error| lost(&error)));
                }
                let mux = &mut self.mux;
                self.out.fill(|slices| mux.fill(slices, WRITE_BATCH, Instant::now()));
                if self.out.is_empty() {
                    let flushed = ready!(Pin::new(&mut self.socket).poll_flush(cx));
                    return Poll::Ready(flushed.map_err(|error| lost(&error)));
                }
            }
            let socket = &mut self.socket;
            let written = |result: &Poll<io::Result<usize>>| match result {
                Poll::Ready(Ok(bytes)) => *bytes,
                _ => 0,
            };
            let write = |slices: &[io::IoSlice<'_>]| Pin::new(socket).poll_write_vectored(cx, slices);
            match ready!(self.out.write(write, written)) {
                Ok(0) => return Poll::Ready(Err(LinkEnd::Lost("the connection takes no more bytes".into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(lost(&error))),
            }
        }
    }

    /// While closing: drop what the peer still sends, so that our close frame is not lost in a reset.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkEnd>> {
        let Some(closing) = &mut self.closing else { return Poll::Pending };
        if closing.discarded >= DISCARD_LIMIT {
            return Poll::Pending;
        }
        let buffer = self.input.bytes();
        buffer.clear();
        buffer.reserve(super::buffer::SMALL);
        match ready!(poll_read_buf(Pin::new(&mut self.socket), cx, buffer)) {
            Ok(read) if read > 0 => {
                closing.discarded += read;
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(closing.why.clone())),
        }
    }
}

fn lost(error: &io::Error) -> LinkEnd {
    LinkEnd::Lost(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_peer_breaks_no_line() {
        let end = LinkEnd::ClosedByPeer { code: 1000, reason: "bye\n2026-01-01  INFO all is well".into() };
        assert_eq!(end.to_string(), "closed by the peer: 1000 bye\u{fffd}2026-01-01  INFO all is well");
    }
}
