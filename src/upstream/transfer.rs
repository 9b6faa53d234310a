//! The bodies of one exchange: what is sent up, and how long nothing may move.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::{IDLE_LIMIT, UpstreamError};

/// What moved last in an exchange; clones share it.
#[derive(Clone)]
pub(super) struct Movement(Rc<Moved>);

struct Moved {
    last: Cell<Instant>,
    upload: Cell<Waiting>,
}

/// What the exchange waits for on the browser's side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    ForNothing,
    ForMore,
    Broken,
}

impl Movement {
    fn new() -> Self {
        Self(Rc::new(Moved { last: Cell::new(Instant::now()), upload: Cell::new(Waiting::ForNothing) }))
    }

    pub fn note(&self) {
        self.0.last.set(Instant::now());
    }

    /// Why nothing moves any more.
    pub fn silence(&self) -> UpstreamError {
        match self.0.upload.get() {
            Waiting::ForMore => UpstreamError::UploadSilent,
            _ => UpstreamError::Silent,
        }
    }

    pub fn is_broken(&self) -> bool {
        self.0.upload.get() == Waiting::Broken
    }
}

/// Ends an exchange in which nothing moves for [`IDLE_LIMIT`].
pub(super) struct IdleLimit {
    movement: Movement,
    timer: Pin<Box<Sleep>>,
}

impl IdleLimit {
    pub fn new(movement: Movement) -> Self {
        Self { movement, timer: Box::pin(sleep(IDLE_LIMIT)) }
    }

    pub fn movement(&self) -> &Movement {
        &self.movement
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<UpstreamError> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.movement.0.last.get() + IDLE_LIMIT;
            if end <= Instant::now() {
                return Poll::Ready(self.movement.silence());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

/// The bytes of a request's body, or why there are no more.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn std::error::Error>>>>>;

/// The body of a request, taken from the browser as fast as the upstream takes it.
pub struct Upload {
    chunks: Option<Chunks>,
    /// Bytes that are yet to come, if that is known.
    left: Option<u64>,
    movement: Movement,
}

impl Upload {
    /// No body.
    pub fn none() -> Self {
        Self { chunks: None, left: Some(0), movement: Movement::new() }
    }

    /// A body of `length` bytes, or of however many come.
    pub fn of(chunks: Chunks, length: Option<u64>) -> Self {
        Self { chunks: Some(chunks), left: length, movement: Movement::new() }
    }

    pub(super) fn movement(&self) -> Movement {
        self.movement.clone()
    }

    pub(super) const fn is_none(&self) -> bool {
        self.chunks.is_none()
    }

    fn wait(&self, waiting: Waiting) {
        self.movement.0.upload.set(waiting);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Some(chunks) = &mut self.chunks else { return Poll::Ready(None) };
        let Poll::Ready(next) = chunks.as_mut().poll_next(cx) else {
            self.wait(Waiting::ForMore);
            return Poll::Pending;
        };
        self.movement.note();
        match next {
            Some(Ok(chunk)) => {
                self.wait(Waiting::ForNothing);
                self.left = self.left.map(|left| left.saturating_sub(chunk.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Some(Err(_)) => {
                self.wait(Waiting::Broken);
                self.chunks = None;
                Poll::Ready(Some(Err(UpstreamError::UploadBroken)))
            }
            None => {
                self.wait(Waiting::ForNothing);
                self.chunks = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
