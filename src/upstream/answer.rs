//! The answer of an upstream, whose body is read as fast as it is taken.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, StatusCode};

use super::link::Link;
use super::pool::Home;
use super::transfer::{IdleLimit, Upload};
use super::{CHUNK_LIMIT, UpstreamError};

/// See the module's documentation.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: AnswerBody,
}

/// The bytes of an answer. It owns the connection, which goes back to its pool at the end, or closes when this is
/// dropped before.
pub struct AnswerBody {
    incoming: Incoming,
    /// What was read and is more than a chunk.
    rest: Bytes,
    link: Option<Link<Upload>>,
    home: Home,
    idle: IdleLimit,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, link: Link<Upload>, home: Home, idle: IdleLimit) -> Self {
        let mut body = Self { incoming, rest: Bytes::new(), link: Some(link), home, idle };
        body.idle.movement().note();
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The bytes that are to come, if the upstream has said.
    pub fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact().map(|length| length + self.rest.len() as u64)
    }

    /// Whether everything was handed out.
    pub fn is_done(&self) -> bool {
        self.link.is_none() && self.rest.is_empty()
    }

    /// The next chunk, of at most [`CHUNK_LIMIT`] bytes.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        loop {
            if !self.rest.is_empty() {
                let length = self.rest.len().min(CHUNK_LIMIT);
                return Poll::Ready(Some(Ok(self.rest.split_to(length))));
            }
            let Some(link) = &mut self.link else { return Poll::Ready(None) };
            // Asking for a frame makes the connection read one, so there are two questions.
            let mut frame = Pin::new(&mut self.incoming).poll_frame(&mut Context::from_waker(Waker::noop()));
            if frame.is_pending() {
                link.drive(cx);
                frame = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            let Poll::Ready(frame) = frame else { return self.idle.poll(cx).map(|error| Some(Err(error))) };
            self.idle.movement().note();
            match frame {
                // What comes after the body is no part of it.
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(UpstreamError::CutShort(error.to_string()))));
                }
                None => self.finish(),
            }
            if self.link.is_some() && self.incoming.is_end_stream() {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if let Some(link) = self.link.take() {
            self.home.keep(link);
        }
    }
}
