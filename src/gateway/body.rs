//! An upstream's answer as the body of Dockway's own.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Ended, Permit};
use crate::desktop::routes::OpenConnection;
use crate::http::client_socket::ClientSocket;
use crate::upstream::{AnswerBody, UpstreamError};

/// Streams an answer for as long as the permit lasts.
///
/// A body that is not taken is not polled, and so cannot end by itself: unless all of it came at once, a task watches
/// the permit and cuts the client's connection. The task ends with the body.
pub struct GatewayBody {
    answer: AnswerBody,
    size: BodySize,
    /// The client's socket, if the end of its connection is the end of the body: then a body that is cut short needs
    /// an end of another kind.
    resets: Option<ClientSocket>,
    watch: Watch,
    /// Why it breaks off, which is told when what came before has been written.
    broken: Option<UpstreamError>,
    _open: OpenConnection,
}

enum Watch {
    NotYet(Box<Permit>),
    Running(Watcher),
    Over,
}

struct Watcher {
    ended: oneshot::Receiver<Ended>,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GatewayBody {
    pub fn new(
        answer: AnswerBody,
        size: BodySize,
        ends_with_connection: bool,
        permit: Permit,
        open: OpenConnection,
    ) -> Self {
        let resets = permit.socket().filter(|_| ends_with_connection).cloned();
        Self { answer, size, resets, watch: Watch::NotYet(Box::new(permit)), broken: None, _open: open }
    }

    /// The next chunk. After one that is not the last, or none yet, the permit is watched.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        let chunk = self.answer.poll_chunk(cx);
        let is_over = self.answer.is_done() || matches!(chunk, Poll::Ready(Some(Err(_)) | None));
        if !is_over && let Poll::Ready(ended) = self.poll_ended(cx) {
            return Poll::Ready(Some(Err(UpstreamError::Ended(ended.reason()))));
        }
        chunk
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.watch = match std::mem::replace(&mut self.watch, Watch::Over) {
            Watch::NotYet(permit) => Watch::Running(Watcher::start(*permit)),
            other => other,
        };
        match &mut self.watch {
            Watch::Running(watcher) => Pin::new(&mut watcher.ended).poll(cx).map(|ended| ended.unwrap_or(Ended::Cut)),
            _ => Poll::Pending,
        }
    }
}

impl Watcher {
    fn start(mut permit: Permit) -> Self {
        let (tell, ended) = oneshot::channel();
        let task = actix_rt::spawn(async move {
            let why = permit.ended_or_left().await;
            if let Some(socket) = permit.socket() {
                socket.abort();
            }
            let _ = tell.send(why);
        });
        Self { ended, task }
    }
}

impl MessageBody for GatewayBody {
    type Error = UpstreamError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        if let Some(error) = self.broken.take() {
            tracing::debug!(%error, "an answer of a desktop broke off");
            if let Some(socket) = &self.resets {
                socket.abort();
            }
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_chunk(cx) {
            Poll::Ready(Some(Err(error))) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }
}
