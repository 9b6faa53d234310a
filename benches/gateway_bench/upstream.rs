//! The upstream: HTTP servers in this process, where every request of every subject ends.
//!
//! Small requests are answered on a few threads that never block, so that the upstream takes little of the machine;
//! whatever moves many bytes, and every WebSocket, goes to a thread of its own (`streams`). Only the last part of a
//! path counts, so that gateways may leave the part before it or take it off.

use super::http::{HEAD_LIMIT, head_length, invalid};
use super::streams::{self, Wish};
use super::tls;
use crate::common::Outcome;
use crate::common::connection::FarEnd;
use socket2::{Domain, Socket, Type};
use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes in the body of the answer to a small request.
pub const SMALL_BODY_BYTES: usize = 1024;
/// Connections that wait to be accepted; as many as are opened at once.
const BACKLOG: i32 = 4096;

/// Handle of the running servers.
pub struct Upstream {
    /// The server without TLS: HTTP with connections that stay, and WebSockets.
    pub plain: SocketAddr,
    /// The server with TLS, which answers one small request a connection.
    pub tls: SocketAddr,
    pub far_end: Arc<FarEnd>,
}

impl Upstream {
    /// Listens on free ports of 127.0.0.1.
    pub fn start() -> Outcome<Self> {
        let far_end = Arc::new(FarEnd::default());
        let shared = far_end.clone();
        let plain = listen(move |stream| serve(stream, shared.clone()))?;
        let acceptor = tls::acceptor()?;
        let tls = listen(move |stream| tls::serve(stream, acceptor.clone()))?;
        Ok(Self { plain, tls, far_end })
    }
}

/// Threads for one side of the small requests: half of the machine, for what stands between needs the rest.
pub fn thread_count() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// Starts a server on a few threads; the kernel spreads the connections over them.
fn listen<F>(serve: impl Fn(TcpStream) -> F + Clone + Send + 'static) -> Outcome<SocketAddr>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for _ in 0..thread_count() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = serve.clone();
        thread::spawn(move || runtime.block_on(accept(listener, serve)));
    }
    Ok(address)
}

async fn accept<F>(listener: std::net::TcpListener, serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            // A connection that fails is the client's finding: it sees the same end.
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            // Out of descriptors, most likely: another connection's end gives one back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, far_end: Arc<FarEnd>) -> Result<()> {
    stream.set_nodelay(true)?;
    let answer = small_answer("keep-alive");
    let mut read = Vec::with_capacity(HEAD_LIMIT);
    while let Some(length) = fill_head(&mut stream, &mut read).await? {
        let wish = Wish::parse(&read[..length])?;
        if !matches!(wish, Wish::Small) {
            let rest = read.split_off(length);
            return hand_over(stream, wish, rest, far_end);
        }
        stream.write_all(&answer).await?;
        read.drain(..length);
    }
    Ok(())
}

/// Lets a thread of its own serve the connection, which may block there.
fn hand_over(stream: TcpStream, wish: Wish, rest: Vec<u8>, far_end: Arc<FarEnd>) -> Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    far_end.live.fetch_add(1, Relaxed);
    thread::spawn(move || {
        // A connection that fails is the client's finding: it sees the same end.
        let _ = streams::serve(stream, wish, &rest, &far_end);
        far_end.live.fetch_sub(1, Relaxed);
    });
    Ok(())
}

/// Reads until a whole head is there and gives its length; `None` when the connection ends before it.
pub async fn fill_head(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Result<Option<usize>> {
    loop {
        if let Some(length) = head_length(read) {
            return Ok(Some(length));
        }
        if read.len() >= HEAD_LIMIT {
            return Err(invalid("a head that is too long"));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// The answer to a small request.
pub fn small_answer(connection: &str) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nCache-Control: no-cache\r\n\
         Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Length: {SMALL_BODY_BYTES}\r\n\
         Connection: {connection}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + SMALL_BODY_BYTES, b's');
    answer
}
