//! Behind the real nginx with the file that is shipped, over HTTPS: who comes, what streams, what arrives unchanged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::common::event_stream::{BOTH_WAYS, EventStream};
use crate::common::process::output_of;
use crate::common::raw_ws::read_head;
use crate::common::server::clean_environment;
use crate::common::{Nginx, Process, Remote, SOON, Server, connect, ping, stream, wait_until};

const TRUSTING: [&str; 2] = ["--trusted-proxies", "127.0.0.1"];

/// More than nginx passes on at once by itself, and than it takes outside desktops.
const LARGE: usize = 50 * 1024 * 1024;
/// What a test sends to see whether it arrives before the rest is there.
const BEGINNING: usize = 1024;

/// Head and body of an answer that curl shows.
fn answer(curl: &mut Command) -> (Vec<String>, String) {
    let text = String::from_utf8(output_of(curl)).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("an empty line after the head");
    (head.lines().map(str::to_owned).collect(), body.to_owned())
}

/// A header of a head.
fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let pairs = head.iter().filter_map(|line| line.split_once(": "));
    pairs.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn status(head: &[String]) -> u16 {
    head[0].split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
}

/// Send a request as it is, and read the answer to the end of the connection.
fn exchange(port: u16, request: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut socket = connect(port);
    socket.write_all(request).expect("the request goes out");
    let mut reader = BufReader::new(socket);
    let head = read_head(&mut reader);
    let mut body = Vec::new();
    reader.read_to_end(&mut body).expect("the body");
    (head, body)
}

#[test]
fn a_person_signs_in_over_https() {
    let server = Server::setup().args(TRUSTING).start();
    let nginx = Nginx::before(&server);
    assert_eq!(nginx.complaint(), None);
    let (files, origin) = (tempfile::tempdir().expect("a directory"), format!("Origin: {}", nginx.url("")));
    let jar = files.path().join("jar");
    let call = |method: &str, path: &str, origin: &str, body: &Value| {
        let mut curl = nginx.curl();
        curl.args(["-X", method, "-H", origin, "-H", "Content-Type: application/json", "-d", &body.to_string()]);
        // What the client says about itself is not believed.
        curl.args(["-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: http"]);
        curl.args(["-H", "X-Forwarded-Host: evil.example.net"]);
        answer(curl.arg("-b").arg(&jar).arg("-c").arg(&jar).arg(nginx.url(path)))
    };

    let login = json!({ "username": "admin", "password": server.password });
    let (head, body) = call("POST", "/api/session", &origin, &login);
    assert_eq!(status(&head), 201, "{head:?} {body}");
    let cookie = header(&head, "set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-dockway_session=") && cookie.contains("Secure"), "{cookie}");
    assert_eq!(header(&head, "strict-transport-security"), Some("max-age=31536000"));

    let agent = json!({ "client_id": "pc1" });
    assert_eq!(status(&call("POST", "/api/agents", &origin, &agent).0), 201);
    for elsewhere in ["https://evil.example.net", &format!("http://localhost:{}", nginx.https)] {
        let (head, body) = call("POST", "/api/agents", &format!("Origin: {elsewhere}"), &json!({ "client_id": "pc2" }));
        assert_eq!(status(&head), 403, "{elsewhere}: {body}");
    }
    for entry in server.api().items("/api/audit?actor=admin") {
        if entry["action"] != "token.create" {
            assert_eq!(entry["address"], "127.0.0.2", "{entry}");
        }
    }
}

#[test]
fn http_leads_to_https() {
    let server = Server::start();
    let nginx = Nginx::before(&server);
    let address = "/desktop/alice-x/a%2Fb//c?next=%2F";
    let request = format!("POST {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (head, _) = exchange(nginx.http, request.as_bytes());
    assert_eq!(status(&head), 308);
    assert_eq!(header(&head, "location"), Some(format!("https://localhost{address}").as_str()));
}

#[test]
fn an_agents_tunnel() {
    let server = Server::setup().args(TRUSTING).start();
    let (nginx, echo, files) = (Nginx::before(&server), Remote::echo(), tempfile::tempdir().expect("a directory"));
    let token_file = files.path().join("token");
    std::fs::write(&token_file, server.enrol("pc1")).expect("the token file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).args(["agent", "--client-id", "pc1", "--server", &nginx.url("")]);
    command.args(["--ca-file", &nginx.authority(), "--token-file"]).arg(&token_file);
    let _agent = Process::spawn("agent", &mut command);
    wait_until("the agent is online", SOON, || server.api().get("/api/agents/pc1").1["online"] == true);

    let mut user = server.create_tunnel("pc1", echo.port).connect();
    for _ in 0..100 {
        ping(&mut user);
    }
    let (mut sending, length) = (user.try_clone().expect("a second handle"), LARGE / 5);
    let sender = std::thread::spawn(move || stream::send(&mut sending, 7, length));
    stream::receive(&mut user, 7, length);
    sender.join().expect("everything is sent");
}

#[test]
fn events_come_at_once() {
    let server = Server::setup().args(TRUSTING).start();
    let nginx = Nginx::before(&server);
    for (nth, way) in BOTH_WAYS.into_iter().enumerate() {
        let headers = format!("Authorization: Bearer {}\r\n", server.token);
        let mut events = EventStream::request(nginx.plain, way, &headers).expect("events");
        assert_eq!(events.next(), Some(json!({ "type": "hello" })), "{way:?}");
        let client_id = format!("pc{nth}");
        server.enrol(&client_id);
        events.wait("agent.created", &client_id);
    }
}

#[test]
fn long_cookies_and_large_bodies_reach_the_server() {
    let server = Server::setup().args(TRUSTING).start();
    let nginx = Nginx::before(&server);
    let login = format!("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n", server.token);

    let request = format!("GET /api/me HTTP/1.1\r\n{login}Cookie: long={}\r\n\r\n", "x".repeat(8 * 1024));
    let (head, body) = exchange(nginx.plain, request.as_bytes());
    assert_eq!(status(&head), 200, "{}", body.escape_ascii());

    // Dockway's own answers, which programs can read.
    let request = format!("GET /api/me HTTP/1.1\r\n{login}Cookie: a={0}\r\nB: {0}\r\n\r\n", "x".repeat(20 * 1024));
    let (head, _) = exchange(nginx.plain, request.as_bytes());
    assert_eq!((status(&head), header(&head, "content-type")), (431, Some("application/problem+json")));
    let request = format!("POST /api/agents HTTP/1.1\r\n{login}Content-Type: application/json\r\n");
    let request = format!("{request}Content-Length: 70000\r\n\r\n{}", " ".repeat(70_000));
    let (head, _) = exchange(nginx.plain, request.as_bytes());
    assert_eq!((status(&head), header(&head, "content-type")), (413, Some("application/problem+json")));
}

/// Answers with the head of each request as it arrived.
fn mirror() -> Remote {
    Remote::start(|mut socket| {
        let mut reader = BufReader::new(socket.try_clone().expect("a second handle"));
        let mut seen = Vec::new();
        while reader.read_until(b'\n', &mut seen).is_ok_and(|length| length > 0) {
            if seen.ends_with(b"\r\n\r\n") {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.len());
                let _ = socket.write_all(&[head.as_bytes(), &seen].concat());
                seen.clear();
            }
        }
    })
}

#[test]
fn addresses_arrive_byte_by_byte() {
    let (server, mirror) = (Server::start(), mirror());
    let nginx = Nginx::start(mirror.port, &server);
    let addresses: &[&[u8]] = &[
        b"/desktop/alice-x/a%2Fb%5Cc/d.txt?e=%2F&f=a//b",
        b"/desktop/alice-x//a///b/",
        b"/desktop/alice-x/%2e%2e/%2E./a",
        b"/desktop/alice-x/a/../b/./c",
        b"/desktop/alice-x/%61%c3%a9%ff+%20;p=1",
        b"/desktop/alice-x/caf\xc3\xa9?\xff",
        b"/desktop%2Falice-x",
        b"//desktop/alice-x",
        b"/api//agents/a%2Fb",
    ];
    for address in addresses {
        let request = [b"GET ", *address, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
        let (head, seen) = exchange(nginx.plain, &request);
        assert_eq!(status(&head), 200, "{}", address.escape_ascii());
        let expected = [b"GET ", *address, b" HTTP/1.1\r\n"].concat();
        assert!(seen.starts_with(&expected), "{} became {}", address.escape_ascii(), seen.escape_ascii());
    }
}

#[test]
fn only_websockets_are_upgraded_and_only_nginx_says_who_comes() {
    let (server, mirror) = (Server::start(), mirror());
    let nginx = Nginx::start(mirror.port, &server);
    // What a client asks for, and what arrives.
    let table = [
        ("Connection: close\r\n", None, None),
        ("Connection: Upgrade\r\nUpgrade: WebSocket\r\n", Some("upgrade"), Some("websocket")),
        ("Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", None, None),
    ];
    for path in ["/", "/desktop/alice-x/websockify", "/api/events", "/api/agent/ws"] {
        for (asked, connection, upgrade) in table {
            let spoofed = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.net\r\n";
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n{asked}{spoofed}\r\n", nginx.https);
            let mut socket = connect(nginx.plain);
            socket.write_all(request.as_bytes()).expect("the request goes out");
            let mut reader = BufReader::new(socket);
            assert_eq!(status(&read_head(&mut reader)), 200, "{path} {asked}");
            let seen = read_head(&mut reader);
            assert_eq!((header(&seen, "connection"), header(&seen, "upgrade")), (connection, upgrade), "{path}");
            let host = format!("localhost:{}", nginx.https);
            for (name, value) in [("for", "127.0.0.1"), ("proto", "https"), ("host", &host)] {
                let name = format!("x-forwarded-{name}");
                let lines = seen.iter().filter(|line| line.to_lowercase().starts_with(&name)).count();
                assert_eq!((lines, header(&seen, &name)), (1, Some(value)), "{path} {seen:?}");
            }
            assert_eq!(header(&seen, "host"), Some(host.as_str()));
        }
    }
}

/// Takes one upload of `LARGE` bytes and says when its beginning is there; then sends as much, but after the beginning
/// only when it is told to.
fn streaming() -> (Remote, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel();
    let ends = Mutex::new((begun, may_go_on));
    let serve = move |mut socket: TcpStream| {
        let (begun, may_go_on) = &*ends.lock().expect("no connection panics");
        read_head(&mut BufReader::with_capacity(1, &mut socket));
        stream::receive(&mut socket, 1, BEGINNING);
        begun.send(()).expect("the test waits");
        stream::receive(&mut socket, 2, LARGE - BEGINNING);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        socket.write_all(head.as_bytes()).expect("the head goes out");
        stream::send(&mut socket, 3, BEGINNING);
        may_go_on.recv_timeout(SOON).expect("the beginning arrives before the end is sent");
        stream::send(&mut socket, 4, LARGE - BEGINNING);
    };
    (Remote::start(serve), has_begun, go_on)
}

#[test]
fn what_goes_to_and_from_a_desktop_is_streamed() {
    let (upstream, has_begun, go_on) = streaming();
    let server = Server::start();
    let nginx = Nginx::start(upstream.port, &server);
    let mut socket = connect(nginx.plain);
    let head = format!("PUT /desktop/alice-x/file HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGE}\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("the head goes out");
    stream::send(&mut socket, 1, BEGINNING);
    has_begun.recv_timeout(SOON).expect("the beginning arrives before the end is sent");
    stream::send(&mut socket, 2, LARGE - BEGINNING);

    assert_eq!(status(&read_head(&mut BufReader::with_capacity(1, &mut socket))), 200);
    stream::receive(&mut socket, 3, BEGINNING);
    go_on.send(()).expect("the upstream waits");
    stream::receive(&mut socket, 4, LARGE - BEGINNING);
}
