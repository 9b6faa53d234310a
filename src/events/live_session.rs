//! LiveSession: one open dashboard, told what changes over its WebSocket.
//!
//! Started by [`serve`], which the connection that took the upgrade runs and which ends with it; addresses nobody. It
//! ends when the peer closes or falls silent, when its [`Feed`] ends (the credential is void, the server stops), or
//! when the peer takes no bytes for [`WRITE_LIMIT`].
//!
//! Its context is polled only while the socket takes what came before: a reader that is slow freezes its session, falls
//! behind the bus's ring and is told to start over. Nothing is kept for it.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::prelude::*;
use actix_http::error::PayloadError;
use actix_http::ws::{CloseCode, CloseReason, Codec, Message, ProtocolError};
use actix_web_actors::ws::WebsocketContext;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Ended, Feed, Item, Stop};
use crate::wire::websocket::MAX_CONTROL_PAYLOAD;

/// Pings go out this often.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that was silent for so many pings (45 s) is dead.
const SILENT_PINGS: u32 = 3;
/// A peer that takes nothing for this long is cut off.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// How long the peer's bytes are dropped after our close: closing on unread bytes would take the close from the peer.
const LINGER_LIMIT: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
const READ_SIZE: usize = 256;
/// Closes the WebSocket of somebody whose credential is void.
pub const SIGNED_OUT: u16 = 4003;

/// Serve the WebSocket to its end. `read` is what came with the handshake.
pub async fn serve(feed: Feed, socket: TcpStream, read: BytesMut) {
    let (socket, stop) = (Rc::new(socket), feed.stop());
    let incoming = Incoming { socket: socket.clone(), buffer: read, rests: false };
    let session = LiveSession { feed: Some(feed), unanswered: 0 };
    let codec = Codec::new().max_size(MAX_CONTROL_PAYLOAD);
    let mut outgoing = pin!(WebsocketContext::with_codec(session, incoming, codec));
    while let Some(frames) = outgoing.next().await {
        let written = match frames {
            Ok(frames) => write(&socket, &frames, &stop).await,
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a live session's peer does not take its events");
            return;
        }
    }
    linger(&socket).await;
}

/// Write everything; the server's stop waits for nobody.
async fn write(socket: &TcpStream, mut bytes: &[u8], stop: &Stop) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                writable = timeout(WRITE_LIMIT, socket.writable()) => writable.map_err(io::Error::from)??,
                () = stop.clone() => return Err(io::ErrorKind::Interrupted.into()),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Say that nothing follows, and drop what still comes until the peer closes too.
async fn linger(socket: &TcpStream) {
    let mut ignored = [0; READ_SIZE];
    let until_closed = async {
        SockRef::from(socket).shutdown(std::net::Shutdown::Write)?;
        loop {
            socket.readable().await?;
            match socket.try_read(&mut ignored) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    };
    // The peer is gone one way or another.
    let _: Result<io::Result<()>, _> = timeout(LINGER_LIMIT, until_closed).await;
}

/// See the module's documentation.
struct LiveSession {
    /// Until it has started.
    feed: Option<Feed>,
    /// Pings since the peer was heard.
    unanswered: u32,
}

impl LiveSession {
    /// Counted in pings: a session that was frozen by a slow peer has not missed what it did not read.
    fn beat(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.unanswered >= SILENT_PINGS {
            return ctx.stop();
        }
        self.unanswered += 1;
        ctx.ping(b"");
    }
}

fn close(ctx: &mut WebsocketContext<LiveSession>, code: CloseCode, text: &str) {
    ctx.close(Some(CloseReason { code, description: Some(text.to_owned()) }));
    ctx.stop();
}

impl Actor for LiveSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PING_INTERVAL, Self::beat);
        if let Some(feed) = self.feed.take() {
            ctx.add_stream(feed.items());
        }
    }
}

impl StreamHandler<Item> for LiveSession {
    fn handle(&mut self, item: Item, ctx: &mut Self::Context) {
        match item {
            Item::End(Ended::SignedOut) => close(ctx, CloseCode::Other(SIGNED_OUT), "signed out"),
            Item::End(Ended::GoingAway) => close(ctx, CloseCode::Away, "the server stops"),
            item => ctx.text(item.into_text()),
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for LiveSession {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.unanswered = 0;
        match message {
            Ok(Message::Ping(payload)) => ctx.pong(&payload),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(_)) => close(ctx, CloseCode::Normal, ""),
            Ok(Message::Text(_) | Message::Binary(_) | Message::Continuation(_)) | Err(ProtocolError::Io(_)) => {
                close(ctx, CloseCode::Unsupported, "nothing but pings, pongs and closes is read here");
            }
            Err(_) => close(ctx, CloseCode::Protocol, "this is no WebSocket frame of a client"),
        }
    }
}

/// The peer's bytes, a frame at a time: what collects them further on has no bound of its own.
struct Incoming {
    socket: Rc<TcpStream>,
    buffer: BytesMut,
    /// A frame was given, and is to be dealt with before the next.
    rests: bool,
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match control_frame(&self.buffer) {
                Ok(Some(length)) => {
                    self.rests = true;
                    return Poll::Ready(Some(Ok(self.buffer.split_to(length).freeze())));
                }
                Ok(None) => {}
                Err(refused) => return Poll::Ready(Some(Err(refused))),
            }
            if ready!(self.poll_read(cx)).is_err() {
                return Poll::Ready(None);
            }
        }
    }
}

impl Incoming {
    /// Read something, or fail at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            self.buffer.reserve(READ_SIZE);
            match self.socket.try_read_buf(&mut self.buffer) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The length of the control frame at the start of `bytes`, once it is there. Any other frame is refused by its header,
/// before its payload is taken.
fn control_frame(bytes: &[u8]) -> Result<Option<usize>, PayloadError> {
    let [first, second, ..] = bytes else { return Ok(None) };
    let (is_control, length) = (first & 0x08 != 0, usize::from(second & 0x7f));
    if !is_control || length > MAX_CONTROL_PAYLOAD {
        return Err(PayloadError::Overflow);
    }
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let whole = 2 + mask + length;
    Ok((bytes.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_frames_are_taken() {
        let pong = [0x8a, 0x82, 1, 2, 3, 4, 5, 6];
        for cut in 0..pong.len() {
            assert!(matches!(control_frame(&pong[..cut]), Ok(None)), "{cut}");
        }
        let followed = [&pong[..], &[0x88]].concat();
        assert!(matches!(control_frame(&followed), Ok(Some(8))));
        // Not masked: the codec says no, but it has to be given the frame for that.
        assert!(matches!(control_frame(&[0x89, 0]), Ok(Some(2))));
        let refused: [&[u8]; 6] = [
            &[0x81, 0x80],
            &[0x82, 0xff],
            &[0x00, 0x80],
            &[0x83, 0x80],
            &[0x89, 0xfe, 0, 126],
            &[0x8a, 0xff, 0, 0, 0, 1, 0, 0, 0, 0],
        ];
        for bytes in refused {
            assert!(control_frame(bytes).is_err(), "{bytes:x?}");
        }
    }
}
