//! One HTTP/1 connection to an upstream, for one exchange after another.
//!
//! No task drives it: whoever waits for its answer does. So it belongs to that one alone, reads no faster than its
//! bytes are taken, and closes when it is dropped.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connection, Connector, IDLE_LIMIT, Upstream, UpstreamError};

/// The most bytes of an answer's head, and of what is read at once.
const BUFFER_LIMIT: usize = 64 * 1024;
/// The most bytes until an answer's head is complete, with what was read beyond it. Only who says again and again that
/// the answer comes (RFC 9110 section 15.2) sends more, and nothing else would end that.
const ANSWER_BEGINS: usize = 4 * BUFFER_LIMIT;
/// A body may be of any length.
const ANY: usize = usize::MAX;

type Driver<B> = http1::Connection<TokioIo<Watched>, B>;

/// See the module's documentation.
pub(super) struct Link<B: Body + 'static> {
    sender: SendRequest<B>,
    /// None once the connection has ended.
    driver: Option<Box<Driver<B>>>,
    room: Arc<AtomicUsize>,
}

impl<B> Link<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub async fn open(connector: &Connector, upstream: &Upstream) -> Result<Self, UpstreamError> {
        let connection = connector.connect(upstream).await.map_err(UpstreamError::of_connecting)?;
        // A pause in a transfer is not the end of it.
        let _ = SockRef::from(connection.socket()).set_tcp_user_timeout(Some(IDLE_LIMIT));
        let room = Arc::new(AtomicUsize::new(ANY));
        let watched = Watched { connection, room: room.clone() };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_LIMIT).max_header_size(BUFFER_LIMIT);
        let opened = builder.handshake(TokioIo::new(watched)).await;
        let (sender, driver) = opened.map_err(|error| UpstreamError::of_head(&error))?;
        Ok(Self { sender, driver: Some(Box::new(driver)), room })
    }

    /// Send a request and await the head of its answer.
    pub async fn exchange(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        self.room.store(ANSWER_BEGINS, Ordering::Relaxed);
        let mut answer = pin!(self.sender.send_request(request));
        let response = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await?;
        self.room.store(ANY, Ordering::Relaxed);
        Ok(response)
    }

    /// Let it read and write.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(&mut **driver).poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether it could take another request now.
    pub fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Whether any byte came since the last request was sent.
    pub fn has_answered(&self) -> bool {
        self.room.load(Ordering::Relaxed) != ANSWER_BEGINS
    }
}

/// Counts what comes.
struct Watched {
    connection: Connection,
    /// Bytes that may still come.
    room: Arc<AtomicUsize>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.connection).poll_read(cx, buf));
        let left = self.room.load(Ordering::Relaxed).checked_sub(buf.filled().len() - before);
        self.room.store(left.unwrap_or_default(), Ordering::Relaxed);
        if left.is_none() {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        Poll::Ready(match read {
            // KasmVNC closes without the alert that TLS wants: an end like any other, and HTTP tells whether too early.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => other,
        })
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
