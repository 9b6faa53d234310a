//! Bytes between a browser's socket and a desktop's, both ways and untouched.
//!
//! ```text
//! both open ──an end from one side──> half open, for HALF_OPEN_LIMIT ──an end from the other──> closed
//!     └───────────────────────┴── a cut, or a broken socket ──────────────────────────────────────^
//! ```
//!
//! WebSocket frames pass as they are: KasmVNC drops the pieces of a frame that somebody split. What one side does not
//! take is not read from the other. A cut comes whether or not anybody reads.

mod buffer;
mod flow;

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::flow::{Broken, Flow};
use super::input::Frames;
use crate::upstream::Connection;

/// After one side has ended, the other has so long to end as well.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(30);
/// After a close of ours, the browser has so long to close too.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// A WebSocket close: 1001, going away.
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// See the module's documentation. `L` sees in passing what the browser sends.
pub struct Relay<L> {
    browser: TcpStream,
    upstream: Connection,
    up: Flow,
    down: Flow,
    look: L,
    /// What the browser has been sent.
    frames: Frames,
}

/// How a relay came to its end.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("both sides ended")]
    Closed,
    #[error("one side ended, and the other did not in time")]
    HalfOpen,
    #[error("a socket failed: {0}")]
    Broken(io::Error),
    /// For this reason of ours.
    #[error("cut: {0}")]
    Cut(&'static str),
}

impl<L: FnMut(&[u8])> Relay<L> {
    /// Between these sockets, from which `from_browser` and `from_upstream` were read already.
    pub fn new(
        (browser, from_browser): (TcpStream, &[u8]),
        (upstream, from_upstream): (Connection, &[u8]),
        mut look: L,
    ) -> Self {
        look(from_browser);
        let mut frames = Frames::default();
        frames.follow(from_upstream, |_| ());
        let (up, down) = (Flow::new(from_browser), Flow::new(from_upstream));
        Self { browser, upstream, up, down, look, frames }
    }

    /// Relay to the end, or until `cut` says why not. Both sockets are closed then.
    pub async fn run(mut self, cut: impl Future<Output = &'static str>) -> End {
        let end = tokio::select! {
            biased;
            why = cut => End::Cut(why),
            end = self.transfer() => end,
        };
        if !matches!(end, End::Closed) {
            reset_on_close(self.upstream.socket());
        }
        if matches!(end, End::Cut(_)) {
            self.cut_browser().await;
        }
        end
    }

    async fn transfer(&mut self) -> End {
        if let Err(error) = poll_fn(|cx| self.poll_until(cx, |up, down| up || down)).await {
            return End::Broken(error);
        }
        match timeout(HALF_OPEN_LIMIT, poll_fn(|cx| self.poll_until(cx, |up, down| up && down))).await {
            Ok(Ok(())) => End::Closed,
            Ok(Err(error)) => End::Broken(error),
            Err(_) => End::HalfOpen,
        }
    }

    /// Pass bytes on until the directions that are over, up and down, are `enough`.
    fn poll_until(&mut self, cx: &mut Context<'_>, enough: fn(bool, bool) -> bool) -> Poll<io::Result<()>> {
        let Self { browser, upstream, up, down, look, frames } = self;
        if !up.is_over() {
            still_readable(up.poll(cx, browser, upstream, look))?;
        }
        if !down.is_over() {
            still_readable(down.poll(cx, upstream, browser, &mut |bytes| frames.follow(bytes, |_| ())))?;
        }
        if enough(up.is_over(), down.is_over()) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Say why, if that can be said at once, and end.
    async fn cut_browser(self) {
        let Self { browser, upstream, down, frames, .. } = self;
        drop(upstream);
        let sayable = down.is_empty() && frames.may_add();
        let said = sayable && browser.try_write(&GOING_AWAY).is_ok_and(|written| written == GOING_AWAY.len());
        if said && matches!(timeout(CLOSE_LIMIT, until_closed(&browser)).await, Ok(Ok(()))) {
            return;
        }
        reset_on_close(&browser);
    }
}

/// A side that can be read no more is dead both ways. One that takes nothing more may still have something to say, such
/// as why: only its direction is over.
fn still_readable(passed: Poll<Result<(), Broken>>) -> io::Result<()> {
    match passed {
        Poll::Ready(Err(Broken::Reading(error))) => Err(error),
        _ => Ok(()),
    }
}

/// Drop what the browser still sends, until it closes.
async fn until_closed(browser: &TcpStream) -> io::Result<()> {
    SockRef::from(browser).shutdown(Shutdown::Write)?;
    let mut ignored = [0; 512];
    loop {
        browser.readable().await?;
        match browser.try_read(&mut ignored) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// Make the socket's close a reset: nothing that is still queued goes out.
fn reset_on_close(socket: &TcpStream) {
    // A socket that refuses it is gone.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
