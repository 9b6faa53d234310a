//! Accepting: a ProxyConnection polls its listener, and pauses while there are no free descriptors.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::prelude::*;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::super::listener::accept;
use super::ProxyConnection;
use crate::supervision::Backoff;

/// Connections that are accepted before other actors of the thread get their turn.
const ACCEPTS_PER_POLL: usize = 64;
/// Without free descriptors the loop pauses for so long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}

impl ProxyConnection {
    /// Accept on this listener from now on.
    pub(super) fn use_listener(&mut self, listener: Option<Arc<TcpListener>>, ctx: &mut Context<Self>) {
        // First let go of the old one: it may be the same descriptor, which epoll knows once.
        self.listener = None;
        let Some(listener) = listener else { return };
        // SAFETY: an `Arc<TcpListener>` keeps its one open descriptor until the `AsyncFd` that holds it is dropped.
        match unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) } {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => {
                let error = io::Error::from(error);
                self.guard.fail(format!("the listener cannot be watched: {error}"));
                ctx.stop();
            }
        }
    }

    fn poll_accept(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        for _ in 0..ACCEPTS_PER_POLL {
            let Some(listener) = &self.listener else { return Poll::Pending };
            let Ok(mut readiness) = ready!(listener.poll_read_ready(cx)) else { return Poll::Pending };
            match readiness.try_io(|listener| accept(listener.get_ref())) {
                Err(_would_block) => {}
                Ok(Ok((socket, peer))) => self.accepted(socket, peer, ctx),
                Ok(Err(error)) if exhausted(&error) => return self.pause_accepting(&error, cx),
                // The connection ended before it was accepted, or the like: the next one may be fine.
                Ok(Err(error)) => tracing::debug!(%error, proxy_id = self.target.proxy_id, "nothing accepted"),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn pause_accepting(&mut self, error: &io::Error, cx: &mut TaskContext<'_>) -> Poll<()> {
        let pause = self.backoff.next_pause();
        if pause == FIRST_PAUSE {
            tracing::warn!(%error, proxy_id = self.target.proxy_id, "accepting pauses until there are free descriptors");
        }
        let mut timer = Box::pin(sleep(pause));
        let polled = timer.as_mut().poll(cx);
        self.pause = Some(timer);
        polled
    }
}

/// Polls the listener with the actor.
pub(super) struct Accept;

impl ActorFuture<ProxyConnection> for Accept {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        proxy: &mut ProxyConnection,
        ctx: &mut Context<ProxyConnection>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        // A pause that is over is followed by another look at the listener.
        while proxy.poll_accept(ctx, cx).is_ready() {}
        Poll::Pending
    }
}

/// Is the process, or the machine, out of descriptors or memory for sockets (accept(2))?
fn exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}
