//! The gateway's WebSockets in a server, against a desktop as strict as KasmVNC and against a program that misbehaves.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::desktop::{Activity, Kind, Routes, Status};
use crate::http::serve as serve_http;
use crate::http::test_support::{HANDSHAKE, TestServer, Tokens, read_all, read_head, state};
use crate::identity::directory::{CloseSessions, OpenSession};
use crate::upstream::Scheme;

#[path = "../../../tests/it/common/raw_upstream.rs"]
#[allow(dead_code, clippy::disallowed_methods, clippy::disallowed_types, reason = "a fixture of all tests")]
mod raw_upstream;
#[path = "../../../tests/it/common/strict_upstream.rs"]
#[allow(dead_code, clippy::disallowed_methods, clippy::disallowed_types, reason = "a fixture of all tests")]
mod strict_upstream;

use raw_upstream::{RawUpstream, Script};
use strict_upstream::{PASSWORD, StrictUpstream, server_frame};

const OWNER: &str = "id-of-admin";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with one desktop of its admin's, `admin-desk`.
struct Rig {
    server: TestServer,
    state: AppState,
    cookie: String,
    route: Arc<Route>,
    _tokens: Tokens,
}

impl Rig {
    async fn start(kind: Kind, scheme: Scheme, address: SocketAddr) -> Self {
        let (mut state, tokens) = state().await;
        let authorization = (kind == Kind::Kasm).then(|| Upstream::basic("kasm_user", PASSWORD));
        let route = Arc::new(Route {
            desktop_id: "d1".into(),
            owner_id: OWNER.into(),
            proxy_path: "admin-desk".into(),
            label: "Desk".into(),
            kind,
            status: Status::Ready,
            upstream: Some(Upstream { scheme, address, authorization }),
            strip_prefix: true,
            entry_path: "/".into(),
            activity: Arc::new(Activity::default()),
            cut: CancellationToken::new(),
        });
        state.routes = watch::channel(Arc::new(Routes::from_iter([route.clone()]))).1;
        let opened = state.tell(OpenSession::for_tests(OWNER)).await.unwrap().unwrap();
        let served = state.clone();
        let server = TestServer::start(|listener| serve_http(listener, served, 1));
        let (id, host) = (opened.id, server.address);
        let cookie = format!("Cookie: dockway_session={id}\r\nOrigin: http://{host}\r\n");
        Self { server, state, cookie, route, _tokens: tokens }
    }

    async fn strict(upstream: &StrictUpstream) -> Self {
        Self::start(Kind::Kasm, Scheme::Https, upstream.address).await
    }

    /// Ask for a WebSocket; the connection and the head of the answer.
    async fn ask(&self, path: &str, headers: &str) -> (TcpStream, String) {
        let (host, cookie) = (self.server.address, &self.cookie);
        let request =
            format!("GET /desktop/admin-desk/{path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{HANDSHAKE}{headers}\r\n");
        let mut socket = self.server.connect(request.as_bytes()).await;
        let head = timeout(PATIENCE, read_head(&mut socket)).await.expect("an answer");
        (socket, head.to_ascii_lowercase())
    }

    async fn open(&self, path: &str) -> TcpStream {
        let (socket, head) = self.ask(path, "").await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        socket
    }

    /// Status and detail of a refusal.
    async fn refused(&self) -> (String, String) {
        let (mut socket, head) = self.ask("websockify", "").await;
        let body: serde_json::Value = serde_json::from_str(&read_all(&mut socket).await).unwrap();
        (head[9..12].to_owned(), body["detail"].as_str().unwrap().to_owned())
    }
}

/// A browser's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

async fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    timeout(PATIENCE, socket.read_exact(&mut got)).await.expect("it comes").unwrap();
    assert!(got == bytes, "{} bytes are others", bytes.len());
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: never"));
}

/// Until the connection is over, one way or another.
async fn wait_end(socket: &mut TcpStream) {
    let mut ignored = vec![0; 65_536];
    let to_the_end = async { while socket.read(&mut ignored).await.is_ok_and(|read| read > 0) {} };
    timeout(PATIENCE, to_the_end).await.expect("an end");
}

#[actix_web::test]
async fn a_strict_desktop_is_opened_whatever_the_browser_offers() {
    let upstream = StrictUpstream::start();
    let rig = Rig::strict(&upstream).await;
    let cookies = format!("Cookie: {}\r\n", "c=1234567; ".repeat(700));
    for (offered, answered) in [
        ("", None),
        ("Sec-WebSocket-Protocol: binary\r\n", Some("binary")),
        ("Sec-WebSocket-Protocol: base64, binary\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", Some("binary")),
        (cookies.as_str(), None),
    ] {
        let (mut socket, head) = rig.ask("websockify?a=b", offered).await;
        assert!(head.starts_with("http/1.1 101 ") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        let protocol = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(protocol, answered, "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        socket.write_all(&frame(0x82, b"hello")).await.unwrap();
        expect(&mut socket, &server_frame(2, b"hello")).await;
        let seen = upstream.last_head();
        assert!(seen.starts_with("GET /websockify?a=b HTTP/1.1\r\n") && !seen.contains("ookie"), "{seen}");
    }
}

#[actix_web::test]
async fn frames_pass_untouched() {
    let upstream = StrictUpstream::start();
    let rig = Rig::strict(&upstream).await;
    let mut socket = rig.open("websockify").await;
    for length in [0, 1, 125, 126, 1000, 65_535] {
        let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        socket.write_all(&frame(0x82, &payload)).await.unwrap();
        expect(&mut socket, &server_frame(2, &payload)).await;
    }
    for frame in [frame(0x89, b"ping"), frame(0x02, b"begin"), frame(0x00, b"middle"), frame(0x80, b"end")] {
        for byte in frame {
            socket.write_all(&[byte]).await.unwrap();
        }
    }
    expect(&mut socket, &server_frame(2, b"begin")).await;
    socket.write_all(&frame(0x82, b"after")).await.unwrap();
    expect(&mut socket, &server_frame(2, b"after")).await;
    assert_eq!((upstream.pings(), upstream.dropped()), (1, 2), "nobody put the pieces together");
    socket.write_all(&frame(0x82, &vec![0; 65_536])).await.ok();
    wait_end(&mut socket).await;
}

#[actix_web::test]
async fn large_amounts_pass_both_ways_over_tls() {
    let upstream = StrictUpstream::start();
    let rig = Rig::strict(&upstream).await;
    let (mut from, mut to) = rig.open("websockify").await.into_split();
    let payload: Vec<u8> = (0..60_000).map(|n| (n / 7) as u8).collect();
    let writing = async {
        for _ in 0..300 {
            to.write_all(&frame(0x82, &payload)).await.unwrap();
        }
    };
    let reading = async {
        let expected = server_frame(2, &payload);
        let mut got = vec![0; expected.len()];
        for _ in 0..300 {
            from.read_exact(&mut got).await.unwrap();
            assert!(got == expected);
        }
    };
    timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.expect("all of it");
}

#[actix_web::test]
async fn a_web_application_negotiates_for_itself() {
    let upstream = RawUpstream::start(Script::EchoesWebSocket);
    let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
    let offered = "Sec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
                   User-Agent: Mozilla\r\nX-Forwarded-For: evil\r\n";
    let (mut socket, head) = rig.ask("ws", offered).await;
    assert!(head.contains("\r\nsec-websocket-protocol: chat\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-extensions: permessage-deflate\r\n"), "{head}");
    let deflated = frame(0xc1, b"compressed");
    socket.write_all(&deflated).await.unwrap();
    expect(&mut socket, &deflated).await;
    let (seen, host) = (upstream.last_head(), rig.server.address);
    for line in [format!("Host: {host}"), format!("Origin: http://{host}"), "X-Forwarded-For: 127.0.0.1".into()] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line} in {seen}");
    }
    assert!(!seen.contains("dockway_session") && seen.contains("User-Agent: Mozilla"), "{seen}");
}

#[actix_web::test]
async fn a_desktop_that_opens_nothing_is_a_bad_gateway() {
    let not_proved = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let table = [
        (Script::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "with 200 OK"),
        (Script::says("HTTP/1.1 404 Not Found\r\n\r\n"), "with 404 Not Found"),
        (Script::says("SSH-2.0-OpenSSH\r\n"), "no HTTP"),
        (Script::says(not_proved), "without proof"),
        (Script::says(""), "closed the connection"),
        (Script::says("HTTP/1.1 101 Switch"), "closed the connection"),
        (Script::Resets(Vec::new()), "broke off"),
        (Script::Holds([&b"HTTP/1.1 101 x\r\n"[..], &[b'x'; 20_000]].concat()), "more than 16384 bytes"),
    ];
    for (script, said) in table {
        let upstream = RawUpstream::start(script);
        let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
        let (status, detail) = rig.refused().await;
        assert!(status == "502" && detail.contains(said), "{said}: {status} {detail}");
        wait_until("the desktop's socket is closed", || upstream.open() == 0).await;
    }
}

#[actix_web::test]
async fn a_strict_desktop_asked_the_wrong_way_is_a_bad_gateway() {
    let upstream = StrictUpstream::start();
    let plain = Rig::start(Kind::Kasm, Scheme::Http, upstream.address).await;
    let (status, detail) = plain.refused().await;
    // Closed on what it did not read, which is a reset.
    assert!(status == "502" && detail.contains("broke off"), "{status} {detail}");
    let without = Rig::start(Kind::Web, Scheme::Https, upstream.address).await;
    let (status, detail) = without.refused().await;
    assert!(status == "502" && detail.contains("401"), "{status} {detail}");
    let nobody = Rig::start(Kind::Web, Scheme::Http, "127.0.0.1:1".parse().unwrap()).await;
    let (status, detail) = nobody.refused().await;
    assert!(status == "502" && detail.contains("cannot be reached"), "{status} {detail}");
}

#[tokio::test(start_paused = true)]
async fn a_desktop_that_never_answers_is_a_gateway_timeout() {
    let upstream = RawUpstream::start(Script::Holds(b"HTTP/1.1 101".to_vec()));
    let before = tokio::time::Instant::now();
    let upstream = Upstream { scheme: Scheme::Http, address: upstream.address, authorization: None };
    let head = b"GET / HTTP/1.1\r\n\r\n";
    let dialled = dial(&Connector::new().unwrap(), &upstream, head, b"").await;
    assert!(matches!(dialled, Err(Error::GatewayTimeout(_))));
    assert!(before.elapsed() >= ANSWER_LIMIT);
}

#[actix_web::test]
async fn a_desktop_that_ends_during_the_handshake_is_not_waited_for() {
    let upstream = RawUpstream::start(Script::Holds(Vec::new()));
    let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
    let (refused, ()) = tokio::join!(rig.refused(), async {
        wait_until("the handshake came", || !upstream.heads().is_empty()).await;
        rig.route.cut.cancel();
    });
    assert_eq!(refused.0, "503");
    wait_until("the desktop's socket is closed", || upstream.open() == 0).await;
}

#[actix_web::test]
async fn a_browser_that_leaves_during_the_handshake_is_not_waited_for() {
    let upstream = RawUpstream::start(Script::Holds(Vec::new()));
    let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
    let request =
        format!("GET /desktop/admin-desk/ws HTTP/1.1\r\nHost: {}\r\n{}{HANDSHAKE}\r\n", rig.server.address, rig.cookie);
    let browser = rig.server.connect(request.as_bytes()).await;
    wait_until("the handshake came", || !upstream.heads().is_empty()).await;
    drop(browser);
    wait_until("the desktop's socket is closed", || upstream.open() == 0).await;
}

#[actix_web::test]
async fn a_sign_out_during_the_handshake_ends_it() {
    let upstream = RawUpstream::start(Script::Holds(Vec::new()));
    let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
    let (refused, ()) = tokio::join!(rig.refused(), async {
        wait_until("the handshake came", || !upstream.heads().is_empty()).await;
        rig.state.tell(CloseSessions { user_id: OWNER.into(), except: None }).await.unwrap().unwrap();
    });
    assert_eq!(refused.0, "401");
    wait_until("the desktop's socket is closed", || upstream.open() == 0).await;
}

#[actix_web::test]
async fn whatever_ends_first_ends_the_rest() {
    let upstream = StrictUpstream::start();
    let rig = Rig::strict(&upstream).await;
    let opened = async || {
        let socket = rig.open("websockify").await;
        wait_until("it is open", || upstream.websockets() == 1 && rig.route.activity.open() == 1).await;
        socket
    };
    let nothing_is_left = || upstream.connections() == 0 && rig.route.activity.open() == 0;
    drop(opened().await);
    wait_until("the browser left", nothing_is_left).await;
    let socket = opened().await;
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    wait_until("the browser was reset", nothing_is_left).await;
    let mut socket = opened().await;
    upstream.break_off();
    wait_end(&mut socket).await;
    drop(socket);
    wait_until("the desktop died", nothing_is_left).await;
    let mut socket = opened().await;
    socket.write_all(&frame(0x88, &[3, 232])).await.unwrap();
    expect(&mut socket, &server_frame(8, &[3, 232])).await;
    wait_end(&mut socket).await;
    drop(socket);
    wait_until("a close in order", nothing_is_left).await;
}

#[actix_web::test]
async fn cuts_come_while_the_browser_does_not_read() {
    let upstream = StrictUpstream::start();
    for cut in ["desktop", "session", "server"] {
        let rig = Rig::strict(&upstream).await;
        let (flooded, idle) = (rig.open("flood").await, rig.open("websockify").await);
        wait_until("both are open", || upstream.websockets() == 2).await;
        // By now the flood fills every buffer on the way.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stopping = match cut {
            "desktop" => {
                rig.route.cut.cancel();
                None
            }
            "session" => {
                rig.state.tell(CloseSessions { user_id: OWNER.into(), except: None }).await.unwrap().unwrap();
                None
            }
            _ => Some(rig.server.handle.stop(true)),
        };
        wait_until(cut, || upstream.websockets() == 0 && upstream.connections() == 0).await;
        for (mut socket, is_idle) in [(flooded, false), (idle, true)] {
            let mut all = Vec::new();
            let read = timeout(PATIENCE, socket.read_to_end(&mut all)).await.expect("an end");
            assert_eq!(all.ends_with(&[0x88, 2, 0x03, 0xe9]), is_idle, "{cut}: {read:?}");
        }
        if let Some(stopping) = stopping {
            timeout(PATIENCE, stopping).await.expect("the server stops");
        }
    }
}

#[actix_web::test]
async fn only_what_a_person_does_is_input() {
    let upstream = StrictUpstream::start();
    let rig = Rig::strict(&upstream).await;
    let mut socket = rig.open("websockify").await;
    let activity = &rig.route.activity;
    for payload in [&b"RFB 003.008\n"[..], &[1], &[1], &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[185, 0, 0, 0, 0, 0]] {
        socket.write_all(&frame(0x82, payload)).await.unwrap();
        expect(&mut socket, &server_frame(2, payload)).await;
    }
    assert!(activity.accessed() > 0);
    assert_eq!(activity.input(), 0);
    socket.write_all(&frame(0x82, &[4, 1, 0, 0, 0, 0, 0, 97])).await.unwrap();
    wait_until("the key is input", || activity.input() > 0).await;
}

#[actix_web::test]
async fn early_bytes_of_both_sides_are_the_streams() {
    let upstream = RawUpstream::start(Script::EchoesWebSocket);
    let rig = Rig::start(Kind::Web, Scheme::Http, upstream.address).await;
    let (host, cookie) = (rig.server.address, &rig.cookie);
    let early = frame(0x82, b"sent along with the handshake");
    let request = format!("GET /desktop/admin-desk/ws HTTP/1.1\r\nHost: {host}\r\n{cookie}{HANDSHAKE}\r\n");
    let mut socket = rig.server.connect(&[request.as_bytes(), &early].concat()).await;
    assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    expect(&mut socket, &early).await;
}
