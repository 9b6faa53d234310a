//! The TCP socket of a channel: what it sends goes to the session, what the session delivers is written to it.
//!
//! ```text
//! reading:  open ──EOF──▶ finished (FIN to the peer)     writing:  open ──peer's FIN, queue empty──▶ shut down
//! both over: the leg ends in order. Error on the socket, or a reset of the peer: it ends at once.
//! ```

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;

use super::buffer::ReadBuffer;
use super::messages::{CROWDED_ALLOWANCE, Flow, Incoming, IncomingEnd, SessionPort, WORTH_TELLING};
use super::outbox::Outbox;
use super::socket::reset_on_close;
use crate::wire::codes::{OpenFailure, ResetCode};

/// What one poll reads before it is sent on.
const READS_PER_POLL: usize = 4;
/// A queue that nobody takes from for this long is copied into memory of its own.
const STALL: Duration = Duration::from_millis(200);

/// How a leg ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegEnd {
    #[error("finished")]
    Finished,
    #[error("reset by the peer: {0}")]
    Reset(ResetCode),
    #[error("{0}")]
    Failed(OpenFailure),
    #[error("the agent's session was lost")]
    SessionLost,
    /// The socket failed; mostly a reset.
    #[error("{0}")]
    Broken(String),
}

/// What a leg has moved since it was last asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// From the socket.
    pub read: u64,
    /// To the socket.
    pub written: u64,
}

/// See the module's documentation.
pub struct Leg {
    socket: TcpStream,
    session: SessionPort,
    input: ReadBuffer,
    queue: Outbox,
    /// Written, and not yet told to the session.
    untold: usize,
    tells_all: bool,
    allowance: usize,
    paused: bool,
    read_finished: bool,
    /// The peer sends nothing more.
    peer_finished: bool,
    /// The peer takes nothing more either: version 1 without `shutdown`.
    peer_disconnected: bool,
    write_finished: bool,
    end: Option<LegEnd>,
    /// Both directions have ended: the socket is closed by a FIN and not by a reset.
    in_order: bool,
    stall: Stall,
    progress: Progress,
}

/// Watches for a queue that nobody takes from.
#[derive(Default)]
struct Stall {
    timer: Option<Pin<Box<Sleep>>>,
    moved: bool,
    compacted: bool,
}

impl Leg {
    pub fn new(socket: TcpStream, session: SessionPort) -> Self {
        Self {
            socket,
            session,
            input: ReadBuffer::default(),
            queue: Outbox::default(),
            untold: 0,
            tells_all: false,
            allowance: CROWDED_ALLOWANCE,
            paused: false,
            read_finished: false,
            peer_finished: false,
            peer_disconnected: false,
            write_finished: false,
            end: None,
            in_order: false,
            stall: Stall::default(),
            progress: Progress::default(),
        }
    }

    pub fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }

    /// Has one direction ended and the other not?
    pub fn half_closed(&self) -> bool {
        self.read_finished != self.write_finished
    }

    pub fn flow(&mut self, flow: Flow) {
        match flow {
            Flow::Taken(bytes) => self.allowance += bytes,
            Flow::TellAll => self.tells_all = true,
            Flow::Pause => self.paused = true,
            Flow::Resume => self.paused = false,
        }
    }

    /// Take what the session delivered.
    pub fn incoming(&mut self, incoming: Incoming) {
        let waiting = !self.queue.is_empty();
        self.stall.compacted &= incoming.data.is_empty();
        for data in incoming.data {
            if waiting { self.queue.push_waiting(data) } else { self.queue.push(data) }
        }
        match incoming.end {
            None => {}
            Some(IncomingEnd::Finished) => self.peer_finished = true,
            Some(IncomingEnd::Disconnected) => {
                self.peer_finished = true;
                self.peer_disconnected = true;
            }
            Some(IncomingEnd::Reset(code)) => self.end = Some(LegEnd::Reset(code)),
            Some(IncomingEnd::Failed(failure)) => self.end = Some(LegEnd::Failed(failure)),
            Some(IncomingEnd::SessionLost) if self.needs_session() => self.end = Some(LegEnd::SessionLost),
            Some(IncomingEnd::SessionLost) => {}
        }
    }

    /// End the channel at once: both sides are told by a reset. The caller drops the leg.
    pub fn cut(&mut self, code: ResetCode) {
        self.session.set_reset(Some(code));
    }

    /// Only what is queued for the socket is left to do.
    fn needs_session(&self) -> bool {
        !(self.peer_finished && (self.read_finished || self.peer_disconnected))
    }

    /// Read and write as far as it goes.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LegEnd> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(self.ended(end));
        }
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(self.ended(LegEnd::Broken(error.to_string())));
        }
        if let Poll::Ready(Err(error)) = self.poll_read(cx) {
            return Poll::Ready(self.ended(LegEnd::Broken(error.to_string())));
        }
        if self.write_finished && (self.read_finished || self.peer_disconnected) {
            return Poll::Ready(self.ended(LegEnd::Finished));
        }
        Poll::Pending
    }

    /// Settle what the session is told and how the socket is closed when this leg is dropped.
    fn ended(&mut self, end: LegEnd) -> LegEnd {
        self.in_order = end == LegEnd::Finished;
        // The session knows of every end but that of the socket.
        if !matches!(end, LegEnd::Broken(_)) {
            self.session.set_reset(None);
        }
        end
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut batch = Vec::new();
        let result = self.read_batch(cx, &mut batch);
        if !batch.is_empty() || (self.read_finished && matches!(result, Poll::Ready(Ok(())))) {
            self.session.send(batch, self.read_finished);
        }
        result
    }

    /// Ready(Ok) only at the end of the user's data, once.
    fn read_batch(&mut self, cx: &mut Context<'_>, batch: &mut Vec<bytes::Bytes>) -> Poll<io::Result<()>> {
        for _ in 0..READS_PER_POLL {
            if self.read_finished || self.paused || self.allowance == 0 {
                return Poll::Pending;
            }
            if self.socket.poll_read_ready(cx)?.is_pending() {
                self.input.rest();
                return Poll::Pending;
            }
            let buffer = self.input.room();
            let room = (buffer.capacity() - buffer.len()).min(self.allowance);
            // Unlike `try_read_buf` it learns from a read that left room that the socket is empty.
            match poll_read_buf(Pin::new(&mut self.socket), cx, &mut buffer.limit(room))? {
                Poll::Pending => {}
                Poll::Ready(0) => {
                    self.read_finished = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(read) => {
                    self.input.learn(read, room);
                    self.allowance -= read;
                    self.progress.read += read as u64;
                    batch.push(self.input.take());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.queue.len();
        let result = self.write_queue(cx);
        let written = before - self.queue.len();
        self.progress.written += written as u64;
        self.untold += written;
        if self.untold > 0 && (self.tells_all || self.untold >= WORTH_TELLING) {
            self.session.consumed(std::mem::take(&mut self.untold));
        }
        if !self.queue.is_empty() && self.stall.poll(cx, written > 0) {
            self.queue.compact();
        }
        ready!(result)?;
        if self.peer_finished && !self.write_finished {
            self.write_finished = true;
            SockRef::from(&self.socket).shutdown(Shutdown::Write)?;
        }
        Poll::Ready(Ok(()))
    }

    fn write_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            ready!(self.socket.poll_write_ready(cx))?;
            let socket = &self.socket;
            let written = |result: &io::Result<usize>| result.as_ref().map_or(0, |bytes| *bytes);
            match self.queue.write(|slices| socket.try_write_vectored(slices), written) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// However it ends, by a panic too, a user does not take half of something for the whole.
impl Drop for Leg {
    fn drop(&mut self) {
        if !self.in_order {
            reset_on_close(SockRef::from(&self.socket));
        }
    }
}

impl Stall {
    /// Should the queue be compacted now? Called on every poll while it holds something.
    fn poll(&mut self, cx: &mut Context<'_>, moved: bool) -> bool {
        self.moved |= moved;
        self.compacted &= !moved;
        if self.compacted {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(STALL)));
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        if std::mem::take(&mut self.moved) {
            timer.as_mut().reset(Instant::now() + STALL);
            // Registers the waker; it cannot have elapsed again.
            let _ = timer.as_mut().poll(cx);
            return false;
        }
        self.timer = None;
        self.compacted = true;
        true
    }
}
