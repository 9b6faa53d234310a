//! A desktop that is as strict as KasmVNC, without a desktop. Shares no code with the program.
//!
//! - TLS only, with a certificate made anew at each start; a plain connection is closed without a byte.
//! - 401 without the right basic auth: `kasm_user` owns, `kasm_viewer` only looks.
//! - A handshake without Origin or without the subprotocol `binary` gets the page, not a 101.
//! - More than 4 KB of headers are refused.
//! - Pings are never answered, continuation frames dropped, frames of more than 65,535 bytes end the connection.
//! - One request a connection; files by GET only; no length on listings, on errors and on `/api/downloads`.
//!
//! Frames are sent back as they come. A target that contains `flood` is sent frames without end, of one that contains
//! `sink` they are only counted, and of one that contains `stall` nothing is read.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The owner's password, and the viewer's.
pub const PASSWORD: &str = "correct horse";
/// The most bytes of a request's head.
const HEAD_LIMIT: usize = 4096;
/// The most bytes of a frame.
const FRAME_LIMIT: usize = 65_535;
/// No client may take longer to ask.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// What `/api/get_screenshot` shows: the beginning of a JPEG, and its end.
pub const PICTURE: [u8; 12] = [0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0xff, 0xd9];

pub struct StrictUpstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// Counts how often everything that is open was broken off; None: the end.
    orders: watch::Sender<Option<u64>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    heads: Mutex<Vec<String>>,
    connections: AtomicUsize,
    websockets: AtomicUsize,
    received: AtomicU64,
    pings: AtomicUsize,
    dropped: AtomicUsize,
}

type Socket = TlsStream<TcpStream>;

impl StrictUpstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("nonblocking");
        let (shared, (orders, heard)) = (Arc::<Shared>::default(), watch::channel(Some(0)));
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        let state = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(accept(listener, &acceptor, &state, heard));
        });
        Self { address, shared, orders, thread: Some(thread) }
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().expect("nobody panics").clone()
    }

    /// The head of the last request.
    pub fn last_head(&self) -> String {
        self.heads().pop().expect("a request")
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// WebSockets that are open now.
    pub fn websockets(&self) -> usize {
        self.shared.websockets.load(Ordering::SeqCst)
    }

    /// Bytes of payload that came in frames.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// Pings that came, and were not answered.
    pub fn pings(&self) -> usize {
        self.shared.pings.load(Ordering::SeqCst)
    }

    /// Continuation frames that came, and were dropped.
    pub fn dropped(&self) -> usize {
        self.shared.dropped.load(Ordering::SeqCst)
    }

    /// Break off everything that is open, as when the container dies.
    pub fn break_off(&self) {
        self.orders.send_modify(|order| *order = order.map(|count| count + 1));
    }
}

impl Drop for StrictUpstream {
    fn drop(&mut self) {
        self.orders.send_replace(None);
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A certificate that nobody signed, for this start alone.
fn tls() -> ServerConfig {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=kasm", "-keyout", "key.pem", "-out", "cert.pem"]).current_dir(directory.path());
    let made = command.output().expect("openssl starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(directory.path().join("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.path().join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.expect("versions").with_no_client_auth();
    builder.with_single_cert(vec![certificate], key).expect("the key belongs to the certificate")
}

async fn accept(
    listener: TcpListener,
    acceptor: &TlsAcceptor,
    shared: &Arc<Shared>,
    heard: watch::Receiver<Option<u64>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut ending = heard.clone();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            _ = ending.wait_for(Option::is_none) => return,
        };
        let (acceptor, shared, mut orders) = (acceptor.clone(), shared.clone(), heard.clone());
        orders.mark_unchanged();
        tokio::spawn(async move {
            let _counted = Counted::new(shared.clone(), |shared| &shared.connections);
            tokio::select! {
                () = serve(socket, &acceptor, &shared) => {}
                _ = orders.changed() => {}
            }
        });
    }
}

/// Counts something for as long as it lives.
struct Counted(Arc<Shared>, fn(&Shared) -> &AtomicUsize);

impl Counted {
    fn new(shared: Arc<Shared>, which: fn(&Shared) -> &AtomicUsize) -> Self {
        which(&shared).fetch_add(1, Ordering::SeqCst);
        Self(shared, which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection, and the one request on it.
async fn serve(socket: TcpStream, acceptor: &TlsAcceptor, shared: &Arc<Shared>) {
    let mut first = [0];
    let is_tls = matches!(socket.peek(&mut first).await, Ok(1)) && first == [0x16];
    if !is_tls {
        return;
    }
    let Ok(mut socket) = acceptor.accept(socket).await else { return };
    let Ok(Some(head)) = tokio::time::timeout(ASK_LIMIT, read_head(&mut socket)).await else { return };
    shared.heads.lock().expect("nobody panics").push(head.clone());
    let request = Request(&head);
    let Some(user) = request.user() else {
        return answer(
            &mut socket,
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"Websockify\"\r\n",
            None,
            b"401 Unauthorized",
        )
        .await;
    };
    if request.opens_websocket() {
        let _counted = Counted::new(shared.clone(), |shared| &shared.websockets);
        // It ends with an error when the client is gone, which is the usual way.
        let _ = websocket(&mut socket, &request, user, shared).await;
        return;
    }
    page(&mut socket, &request, user).await;
}

/// None for a client that leaves, or whose head is too long.
async fn read_head(socket: &mut Socket) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
        if head.len() > HEAD_LIMIT {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum User {
    Owner,
    Viewer,
}

struct Request<'a>(&'a str);

impl Request<'_> {
    fn method(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    fn target(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    fn user(&self) -> Option<User> {
        let shown = STANDARD.decode(self.header("authorization")?.strip_prefix("Basic ")?).ok()?;
        let shown = String::from_utf8(shown).ok()?;
        match shown.split_once(':')? {
            ("kasm_user", PASSWORD) => Some(User::Owner),
            ("kasm_viewer", PASSWORD) => Some(User::Viewer),
            _ => None,
        }
    }

    fn opens_websocket(&self) -> bool {
        let asks = self.header("upgrade").is_some_and(|word| word.eq_ignore_ascii_case("websocket"));
        let version = self.header("sec-websocket-version") == Some("13") && self.header("sec-websocket-key").is_some();
        let named = self.header("host").is_some() && self.header("origin").is_some();
        let protocols = self.header("sec-websocket-protocol").unwrap_or_default();
        asks && version && named && protocols.split(',').any(|protocol| protocol.trim() == "binary")
    }
}

/// What a browser opens a WebSocket with comes back as this (RFC 6455 section 4.2.2).
pub fn accept_of(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A frame of the server's: one piece, not masked.
pub fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => bytes.push(short as u8),
        long => {
            bytes.push(126);
            bytes.extend(u16::try_from(long).expect("no more than the limit").to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

async fn websocket(socket: &mut Socket, request: &Request<'_>, user: User, shared: &Shared) -> std::io::Result<()> {
    let accept = accept_of(request.header("sec-websocket-key").unwrap_or_default());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.flush().await?;
    match request.target() {
        target if target.contains("flood") => flood(socket).await,
        target if target.contains("stall") => std::future::pending().await,
        target => frames(socket, user, !target.contains("sink"), shared).await,
    }
}

async fn flood(socket: &mut Socket) -> std::io::Result<()> {
    let frame = server_frame(2, &[7; 60_000]);
    loop {
        socket.write_all(&frame).await?;
    }
}

async fn frames(socket: &mut Socket, user: User, echoes: bool, shared: &Shared) -> std::io::Result<()> {
    loop {
        let first = socket.read_u8().await?;
        let second = socket.read_u8().await?;
        let length = match second & 0x7f {
            126 => usize::from(socket.read_u16().await?),
            127 => usize::try_from(socket.read_u64().await?).unwrap_or(usize::MAX),
            short => usize::from(short),
        };
        if second & 0x80 == 0 || length > FRAME_LIMIT {
            return Ok(());
        }
        let mut mask = [0; 4];
        socket.read_exact(&mut mask).await?;
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        shared.received.fetch_add(length as u64, Ordering::SeqCst);
        match first & 0x0f {
            0 => drop(shared.dropped.fetch_add(1, Ordering::SeqCst)),
            9 => drop(shared.pings.fetch_add(1, Ordering::SeqCst)),
            8 => {
                socket.write_all(&server_frame(8, &payload)).await?;
                return socket.shutdown().await;
            }
            // Keys, pointers and the clipboard of somebody who only looks.
            1 | 2 if user == User::Viewer && matches!(payload.first(), Some(4..=6)) => {}
            opcode @ (1 | 2) if echoes => {
                socket.write_all(&server_frame(opcode, &payload)).await?;
                socket.flush().await?;
            }
            _ => {}
        }
    }
}

async fn page(socket: &mut Socket, request: &Request<'_>, user: User) {
    if request.method() != "GET" {
        return answer(socket, "405 Method Not Allowed", "", None, b"405 Method Not Allowed").await;
    }
    let isolated = "Cross-Origin-Embedder-Policy: require-corp\r\nCross-Origin-Opener-Policy: same-origin\r\n";
    match request.path() {
        path if path.starts_with("/api/") && user != User::Owner => {
            answer(socket, "401 Unauthorized", "", None, b"").await
        }
        "/api/get_screenshot" => {
            answer(socket, "200 OK", "Content-Type: image/jpeg\r\n", Some(PICTURE.len()), &PICTURE).await
        }
        "/api/downloads" => {
            answer(socket, "200 OK", "Content-Type: application/json\r\n", None, b"{\"files\": []}").await
        }
        "/" | "/index.html" | "/vnc.html" | "/websockify" => {
            let body = b"<!DOCTYPE html><title>a desktop</title>";
            let headers = format!("Content-Type: text/html\r\n{isolated}");
            answer(socket, "200 OK", &headers, Some(body.len()), body).await;
        }
        path if path.ends_with('/') => {
            answer(socket, "200 OK", "Content-Type: text/html\r\n", None, b"a listing").await
        }
        _ => answer(socket, "404 Not Found", "", None, b"404 Not Found").await,
    }
}

async fn answer(socket: &mut Socket, status: &str, headers: &str, length: Option<usize>, body: &[u8]) {
    let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nServer: KasmVNC/4.0\r\nConnection: close\r\n{headers}{length}\r\n");
    // The client may have left.
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(body).await;
    let _ = socket.shutdown().await;
}
