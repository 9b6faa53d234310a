//! One direction of a relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer;

/// After so many full buffers somebody else gets a turn.
const ROUNDS: usize = 8;

/// Bytes on their way from one socket to the other. What is not taken there is held, and nothing more is read.
#[derive(Debug)]
pub struct Flow {
    /// Some only while bytes wait in it: those from `start` to `end`.
    held: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// Of the next read.
    size: usize,
    source: Source,
    /// Something may wait inside the writing side.
    dirty: bool,
    over: bool,
}

/// What the reading side has come to.
#[derive(Debug)]
enum Source {
    Open,
    Ended,
    Broken(io::Error),
}

/// Which side failed.
#[derive(Debug)]
pub enum Broken {
    Reading(io::Error),
    Writing,
}

impl Flow {
    /// One that has read these bytes already.
    pub fn new(early: &[u8]) -> Self {
        Self {
            held: (!early.is_empty()).then(|| early.into()),
            start: 0,
            end: early.len(),
            size: buffer::SMALLEST,
            source: Source::Open,
            dirty: false,
            over: false,
        }
    }

    /// Whether nothing more will pass.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether everything that was read was also written.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.held.is_none()
    }

    /// Pass on what there is, until one of the sides has to be waited for. Ready is the end: the reading side ended,
    /// and the writing side was told so.
    pub fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        look: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..ROUNDS {
            ready!(self.poll_empty(cx, to)).map_err(|_| self.fail(Broken::Writing))?;
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Open => self.source = Source::Open,
                Source::Ended => return self.poll_end(cx, to),
                Source::Broken(error) => return Poll::Ready(Err(self.fail(Broken::Reading(error)))),
            }
            if self.poll_fill(cx, from, look).is_pending() {
                return self.poll_flush(cx, to);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Write what is held, and let go of the buffer.
    fn poll_empty(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<()>> {
        let Some(held) = &self.held else { return Poll::Ready(Ok(())) };
        while self.start < self.end {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &held[self.start..self.end]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += written;
            self.dirty = true;
        }
        self.let_go();
        Poll::Ready(Ok(()))
    }

    /// Read until the buffer is full or the socket has nothing more. Pending means that there was nothing at all.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        look: &mut impl FnMut(&[u8]),
    ) -> Poll<()> {
        let mut room = buffer::take(self.size);
        let mut read = 0;
        while read < room.len() {
            let mut target = ReadBuf::new(&mut room[read..]);
            match Pin::new(&mut *from).poll_read(cx, &mut target) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if target.filled().is_empty() => self.source = Source::Ended,
                Poll::Ready(Ok(())) => {
                    look(target.filled());
                    read += target.filled().len();
                    continue;
                }
                Poll::Ready(Err(error)) => self.source = Source::of_error(error),
            }
            break;
        }
        self.hold(room, read);
        let nothing = read == 0 && matches!(self.source, Source::Open);
        if nothing { Poll::Pending } else { Poll::Ready(()) }
    }

    fn hold(&mut self, room: Box<[u8]>, read: usize) {
        self.size = buffer::next_size(read, self.size);
        (self.held, self.start, self.end) = (Some(room), 0, read);
        if read == 0 {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        (self.start, self.end) = (0, 0);
        self.held.take().into_iter().for_each(buffer::give);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<Result<(), Broken>> {
        if self.dirty {
            ready!(Pin::new(to).poll_flush(cx)).map_err(|_| self.fail(Broken::Writing))?;
            self.dirty = false;
        }
        Poll::Pending
    }

    /// Tell the writing side that nothing follows.
    fn poll_end(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<Result<(), Broken>> {
        ready!(Pin::new(to).poll_shutdown(cx)).map_err(|_| self.fail(Broken::Writing))?;
        self.over = true;
        Poll::Ready(Ok(()))
    }

    fn fail(&mut self, broken: Broken) -> Broken {
        self.let_go();
        self.over = true;
        broken
    }
}

impl Source {
    fn of_error(error: io::Error) -> Self {
        match error.kind() {
            // A TLS peer that ends without saying so, as one does whose process dies. A WebSocket says it by itself.
            io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Broken(error),
        }
    }
}
