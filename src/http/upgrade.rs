//! The HTTP server, and how a handler takes the raw socket after an upgrade.
//!
//! actix-web's own connection loop reads 8 KiB at a time and freezes a session whose peer does not read. So requests
//! that ask for a WebSocket go to an [`UpgradeService`] instead, with the socket. It calls a second instance of the
//! same `App`: routing and authorisation stay ordinary handlers, and one that wants the socket answers with
//! [`TakeSocket::answer`], or with [`TakeSocket::serve`] to use it for as long as the connection counts.

use std::future::{pending, poll_fn, ready};
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::time::Duration;

use actix_codec::{Encoder, Framed, FramedParts};
use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::h1::{Codec, Message};
use actix_http::{ConnectionType, Extensions, HttpService, Request, Response};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{Service, ServiceFactory, map_config};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::BytesMut;
use futures_util::future::LocalBoxFuture;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::AppState;
use super::client_socket::ClientSocket;
use crate::error::Error;

/// How long a client may take to send a request's head.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to accept the answer to an upgrade, head and body together.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long the socket is read on after a refusal: closing it on unread bytes would take the answer from the client.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How long a graceful stop waits for requests in progress, in seconds.
const SHUTDOWN_TIME_S: u64 = 5;
/// Bytes of an answer that are gathered before they are written.
const WRITE_BATCH: usize = 32 * 1024;
/// A client that takes nothing of its answer for this long is cut off by the kernel (`TCP_USER_TIMEOUT`): a body that
/// is not taken is not polled, and so cannot end by itself. An agent's session sets its own.
const STALL_TIME: Duration = Duration::from_secs(20);

/// Serve the API on `listener` with `workers` threads. The caller awaits the server and stops it by its handle.
pub fn serve(listener: TcpListener, state: AppState, workers: usize) -> io::Result<Server> {
    serve_app(listener, workers, move || super::app(state.clone()))
}

fn serve_app<F, S, B>(listener: TcpListener, workers: usize, app: F) -> io::Result<Server>
where
    F: Fn() -> App<S> + Clone + Send + 'static,
    S: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build().workers(workers.max(1)).shutdown_timeout(SHUTDOWN_TIME_S).disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let factory = move || {
        let app = || map_config(app(), |()| AppConfig::default());
        let stopping = stopping.clone();
        let told = Stopping(Some(stopping.clone()));
        let connected = move |socket: &TcpStream, extensions: &mut Extensions| {
            // A socket that refuses it is one that is gone.
            let _ = SockRef::from(socket).set_tcp_user_timeout(Some(STALL_TIME));
            extensions.insert(told.clone());
            // Without descriptors to spare, what the gateway cuts ends at the next byte.
            if let Ok(socket) = ClientSocket::of_stream(socket) {
                extensions.insert(socket);
            }
        };
        HttpService::build()
            // Without it an idle keep-alive connection holds up a graceful stop.
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .client_request_timeout(REQUEST_TIME)
            .client_disconnect_timeout(LINGER_TIME)
            .tcp_nodelay(true)
            .on_connect_ext(connected)
            .upgrade(UpgradeFactory { app: app() })
            .finish(app())
            .tcp()
    };
    Ok(builder.listen("http", listener, factory)?.run())
}

/// Tells handlers of the server's stop, so that what has no end of its own does not hold it up.
#[derive(Clone)]
pub struct Stopping(Option<GracefulShutdownSignal>);

impl Stopping {
    /// Of the server that this request came through. Without one, in tests, nothing stops.
    pub fn of(request: &HttpRequest) -> Self {
        request.conn_data::<Self>().cloned().unwrap_or(Self(None))
    }

    /// Resolves when the server begins to stop.
    pub async fn begun(self) {
        match self.0 {
            Some(signal) => signal.notified().await,
            None => pending().await,
        }
    }
}

/// What a handler leaves in its answer to receive the socket once the answer's head is written.
pub struct TakeSocket(Taker);

/// Receives the socket and what was already read from it, on the worker's thread.
type Taker = Box<dyn FnOnce(TcpStream, BytesMut) -> LocalBoxFuture<'static, ()>>;

/// Marks a request whose answer may carry a [`TakeSocket`].
struct SocketOffered;

impl TakeSocket {
    /// Whether the request came with its socket. Some odd requests pass for a handshake but did not: refuse those.
    pub fn is_offered(request: &HttpRequest) -> bool {
        request.extensions().get::<SocketOffered>().is_some()
    }

    /// Answer with `head` (usually a 101), then hand the socket over to `take`.
    pub fn answer(head: HttpResponseBuilder, take: impl FnOnce(TcpStream, BytesMut) + 'static) -> HttpResponse {
        Self::serve(head, |socket, read| {
            take(socket, read);
            ready(())
        })
    }

    /// As [`answer`](Self::answer), but the socket is served by a future that the connection owns: a graceful stop
    /// waits for it as it waits for a request, and then drops it.
    pub fn serve<F>(
        mut head: HttpResponseBuilder,
        take: impl FnOnce(TcpStream, BytesMut) -> F + 'static,
    ) -> HttpResponse
    where
        F: Future<Output = ()> + 'static,
    {
        let take = |socket, read| -> LocalBoxFuture<'static, ()> { Box::pin(take(socket, read)) };
        let mut response = head.finish();
        response.extensions_mut().insert(Self(Box::new(take)));
        response
    }
}

/// Builds an [`UpgradeService`] for each worker.
struct UpgradeFactory<F> {
    app: F,
}

impl<F, B> ServiceFactory<(Request, Framed<TcpStream, Codec>)> for UpgradeFactory<F>
where
    F: ServiceFactory<Request, Config = (), Response = ServiceResponse<B>, Error = actix_web::Error>,
    F::Service: 'static,
    F::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ();
    type Error = actix_web::Error;
    type Config = ();
    type Service = UpgradeService<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let app = self.app.new_service(());
        Box::pin(async move { Ok(UpgradeService { app: app.await? }) })
    }
}

/// Answers requests that ask for an upgrade, each with its socket.
struct UpgradeService<S> {
    app: S,
}

impl<S, B> Service<(Request, Framed<TcpStream, Codec>)> for UpgradeService<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ();
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<(), actix_web::Error>>;

    actix_service::forward_ready!(app);

    fn call(&self, (request, framed): (Request, Framed<TcpStream, Codec>)) -> Self::Future {
        request.extensions_mut().insert(SocketOffered);
        let answered = self.app.call(request);
        Box::pin(async move {
            let response = match answered.await {
                Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
                Err(error) => HttpResponse::from_error(error),
            };
            finish(response, framed.into_parts()).await;
            Ok(())
        })
    }
}

/// Write the answer; then hand over the socket, or close it.
async fn finish(mut response: HttpResponse, parts: FramedParts<TcpStream, Codec>) {
    let taker = response.extensions_mut().remove::<TakeSocket>();
    let switching = response.status() == actix_web::http::StatusCode::SWITCHING_PROTOCOLS;
    let written = match taker {
        Some(TakeSocket(take)) => match timeout(ANSWER_TIME, hand_over(response.into(), parts, take)).await {
            Ok(Ok(served)) => return served.await,
            Ok(Err(error)) => Ok(Err(error)),
            Err(late) => Err(late),
        },
        // Nobody would serve the new protocol: the client must not wait for it.
        None if switching => {
            timeout(ANSWER_TIME, refuse(HttpResponse::from_error(Error::Internal).into(), parts)).await
        }
        None => timeout(ANSWER_TIME, refuse(response.into(), parts)).await,
    };
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "client left before the answer to its upgrade"),
        Err(_) => tracing::debug!("client did not take the answer to its upgrade in time"),
    }
}

async fn hand_over(
    response: Response<BoxBody>,
    mut parts: FramedParts<TcpStream, Codec>,
    take: Taker,
) -> io::Result<LocalBoxFuture<'static, ()>> {
    let (head, _) = response.into_parts();
    parts.codec.encode(Message::Item((head, BodySize::Stream)), &mut parts.write_buf)?;
    parts.io.write_all_buf(&mut parts.write_buf).await?;
    parts.io.set_nodelay(true)?;
    Ok(take(parts.io, parts.read_buf))
}

async fn refuse(response: Response<BoxBody>, mut parts: FramedParts<TcpStream, Codec>) -> io::Result<()> {
    let (mut head, body) = response.into_parts();
    head.head_mut().set_connection_type(ConnectionType::Close);
    parts.codec.encode(Message::Item((head, body.size())), &mut parts.write_buf)?;
    let mut body = pin!(body);
    while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        let chunk = chunk.map_err(|error| io::Error::other(error.to_string()))?;
        parts.codec.encode(Message::Chunk(Some(chunk)), &mut parts.write_buf)?;
        if parts.write_buf.len() >= WRITE_BATCH {
            parts.io.write_all_buf(&mut parts.write_buf).await?;
        }
    }
    parts.codec.encode(Message::Chunk(None), &mut parts.write_buf)?;
    parts.io.write_all_buf(&mut parts.write_buf).await?;
    parts.io.shutdown().await?;
    linger(&mut parts.io).await
}

/// Read until the client closes as well, for a moment at most.
async fn linger(socket: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 4096];
    let until_closed = async {
        while socket.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    timeout(LINGER_TIME, until_closed).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use actix_web::web;
    use futures_util::future::join_all;

    use super::*;
    use crate::http::test_support::{TestServer, read_all, read_head};

    fn start() -> TestServer {
        start_with(routes)
    }

    fn start_with(configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> TestServer {
        TestServer::start(|listener| serve_app(listener, 2, move || App::new().configure(&configure)))
    }

    fn routes(cfg: &mut web::ServiceConfig) {
        cfg.route("/plain", web::get().to(|| async { "plain" }))
            .route("/echo", web::get().to(echo))
            .route("/peer", web::get().to(peer))
            .route("/large", web::get().to(|| async { "x".repeat(3_000_000) }))
            .route("/nobody", web::get().to(|| async { HttpResponse::SwitchingProtocols().finish() }))
            .default_service(web::to(|| async { Err::<HttpResponse, _>(Error::Unauthenticated("no token")) }));
    }

    async fn echo(request: HttpRequest) -> HttpResponse {
        if !TakeSocket::is_offered(&request) {
            return HttpResponse::UpgradeRequired().finish();
        }
        let mut head = HttpResponse::SwitchingProtocols();
        head.upgrade("websocket");
        TakeSocket::answer(head, |mut socket, mut read| {
            actix_web::rt::spawn(async move {
                while !read.is_empty() {
                    socket.write_all_buf(&mut read).await.unwrap();
                    socket.read_buf(&mut read).await.unwrap();
                }
            });
        })
    }

    /// Reports that it was dropped.
    struct OnDrop(tokio::sync::mpsc::Sender<()>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }

    /// A body without end that holds `guard` for as long as it is being written.
    async fn endless(guard: OnDrop) -> HttpResponse {
        let chunks = futures_util::stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, Error>(web::Bytes::from_static(&[0; 8192]))
        });
        HttpResponse::Ok().streaming(chunks)
    }

    async fn peer(request: HttpRequest) -> String {
        request.peer_addr().unwrap().to_string()
    }

    fn upgrade_of(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    }

    async fn echo_once(server: &TestServer, early: &str, late: &str) {
        let mut socket = server.connect(format!("{}{early}", upgrade_of("/echo")).as_bytes()).await;
        let head = read_head(&mut socket).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        socket.write_all(late.as_bytes()).await.unwrap();
        let mut back = vec![0; early.len() + late.len()];
        socket.read_exact(&mut back).await.unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), format!("{early}{late}"));
    }

    #[actix_web::test]
    async fn bytes_sent_along_with_the_upgrade_reach_the_taker() {
        echo_once(&start(), "sent in the same segment", ", sent later").await;
    }

    #[actix_web::test]
    async fn two_hundred_upgrades_at_once() {
        let server = start();
        let texts: Vec<_> = (0..200).map(|n| format!("connection {n}")).collect();
        join_all(texts.iter().map(|text| echo_once(&server, text, "!"))).await;
    }

    #[actix_web::test]
    async fn plain_requests_share_a_connection() {
        let server = start();
        let mut socket = server.connect(b"").await;
        for _ in 0..3 {
            socket.write_all(b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            assert!(read_head(&mut socket).await.contains("content-length: 5\r\n"));
            let mut body = [0; 5];
            socket.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"plain");
        }
        socket.write_all(upgrade_of("/echo").as_bytes()).await.unwrap();
        assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    }

    #[actix_web::test]
    async fn a_refused_upgrade_is_answered_in_full_and_closed() {
        let server = start();
        let mut request = upgrade_of("/refused").into_bytes();
        request.extend_from_slice(&[0; 200_000]);
        let mut socket = server.connect(&request).await;
        let head = read_head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("connection: close\r\n"), "{head}");
        let body = read_all(&mut socket).await;
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(body.contains("\"unauthenticated\""), "{body}");
    }

    #[actix_web::test]
    async fn the_second_app_knows_the_peer() {
        let server = start();
        let mut socket = server.connect(upgrade_of("/peer").as_bytes()).await;
        let address = socket.local_addr().unwrap().to_string();
        assert!(read_all(&mut socket).await.ends_with(&format!("\r\n\r\n{address}")));
    }

    #[actix_web::test]
    async fn head_has_no_body_and_a_large_body_is_complete() {
        let server = start();
        let mut socket = server.connect(upgrade_of("/large").as_bytes()).await;
        assert!(read_head(&mut socket).await.contains("content-length: 3000000\r\n"));
        assert_eq!(read_all(&mut socket).await.len(), 3_000_000);
        let mut socket = server.connect(upgrade_of("/refused").replace("GET", "HEAD").as_bytes()).await;
        let head = read_head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 401 ") && !head.contains("content-length: 0\r\n"), "{head}");
        assert_eq!(read_all(&mut socket).await, "");
    }

    #[actix_web::test]
    async fn a_handshake_that_nobody_would_serve_is_refused() {
        let server = start();
        let mut socket = server.connect(upgrade_of("/nobody").as_bytes()).await;
        assert!(read_all(&mut socket).await.starts_with("HTTP/1.1 500 "));
        let odd = upgrade_of("/echo").replace("websocket", "websocket, h2c");
        let mut socket = server.connect(odd.as_bytes()).await;
        assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 426 "));
    }

    #[actix_web::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (dropped, mut drops) = tokio::sync::mpsc::channel(1);
        let server = start_with(move |cfg| {
            let dropped = dropped.clone();
            cfg.route("/endless", web::get().to(move || endless(OnDrop(dropped.clone()))));
        });
        let mut socket = server.connect(upgrade_of("/endless").as_bytes()).await;
        assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(timeout(ANSWER_TIME + LINGER_TIME, drops.recv()).await.expect("the body is dropped"), Some(()));
    }

    #[actix_web::test]
    async fn a_graceful_stop_does_not_wait_for_idle_or_taken_connections() {
        let server = start();
        let mut idle = server.connect(b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n").await;
        read_head(&mut idle).await;
        let mut taken = server.connect(upgrade_of("/echo").as_bytes()).await;
        read_head(&mut taken).await;
        timeout(Duration::from_secs(3), server.handle.stop(true)).await.expect("stops at once");
    }
}
