//! Desktops behind the real nginx: a browser signs in over HTTPS, and uses them as it would without nginx.

use std::io::{BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::browser::cookie_of;
use crate::common::docker::{Desktops, TYPE};
use crate::common::raw_ws::{BINARY, Got, RawWs, header, read_head};
use crate::common::stream::{self, bytes_of};
use crate::common::{Browser, Nginx, Server, connect};

/// More than nginx takes outside desktops, and than it keeps in memory.
const LARGE: usize = 50 * 1024 * 1024;
/// Desktops take frames of up to 65,535 bytes.
const FRAME: usize = 60_000;
const FRAMES: usize = 200;

const WEB_DESKTOP: &str = include_str!("../web_desktop.py");
const WEB_IMAGE: &str = "dockway/test-web:1";

/// Alice's browser, behind nginx.
struct Alice {
    nginx: Nginx,
    browser: Browser,
    /// Of her pages.
    origin: String,
    server: Desktops,
}

impl Alice {
    fn sign_in() -> Self {
        let server = Desktops::from_setup(Server::setup().args(["--trusted-proxies", "127.0.0.1"]));
        let nginx = Nginx::before(&server);
        let password = "a long passphrase";
        let account = json!({ "username": "alice", "password": password });
        assert_eq!(server.api().post("/api/users", &account).0, 201);
        let (browser, origin) = (Browser::new(nginx.plain), format!("https://127.0.0.1:{}", nginx.plain));
        let json = [("origin", origin.as_str()), ("content-type", "application/json")];
        let answer = browser.send("POST", "/api/session", &json, &account.to_string());
        assert_eq!(answer.status, 201, "{}", answer.text);
        let cookie = cookie_of(&answer).expect("a cookie");
        Self { browser: browser.with_cookie(&cookie), nginx, origin, server }
    }

    /// As the dashboard does it.
    fn launch(&self, desktop_type: &str) -> Value {
        let json = [("origin", self.origin.as_str()), ("content-type", "application/json")];
        let body = json!({ "desktop_type": desktop_type }).to_string();
        let answer = self.browser.send("POST", "/api/desktops", &json, &body);
        assert_eq!(answer.status, 202, "{}", answer.text);
        crate::common::docker::until(&self.server.api(), answer.json()["id"].as_str().expect("an id"), "ready");
        answer.json()
    }

    /// The headers of a request or a handshake from her page.
    fn headers(&self) -> String {
        let cookie = self.browser.cookie.as_deref().expect("she is signed in");
        format!("Cookie: {cookie}; long={}\r\nOrigin: {}\r\n", "x".repeat(8 * 1024), self.origin)
    }

    /// Send a body that is as long as said, and read what the desktop says of the request.
    fn upload(&self, address: &str, length: usize) -> Value {
        let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", self.nginx.plain);
        let mut socket = connect(self.nginx.plain);
        let head = format!("PUT {address} HTTP/1.1\r\n{host}{}Content-Length: {length}\r\n\r\n", self.headers());
        socket.write_all(head.as_bytes()).expect("the head goes out");
        stream::send(&mut socket, 5, length);
        let mut reader = BufReader::new(socket);
        let head = read_head(&mut reader);
        let mut body = String::new();
        reader.read_to_string(&mut body).expect("a text");
        assert!(head[0].contains(" 200 "), "{address}: {head:?} {body}");
        let object = body.find('{').zip(body.rfind('}')).map(|(first, last)| &body[first..=last]);
        serde_json::from_str(object.expect("an object")).expect("JSON")
    }
}

/// The type `web`, whose image is made here of the desktop image.
fn add_web_type(server: &Server) {
    let mut command = Command::new("docker");
    command.args(["build", "-q", "-t", WEB_IMAGE, "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut build = command.spawn().expect("docker starts");
    let file = b"FROM dockway/debian-desktop:1\nENTRYPOINT [\"python3\", \"-c\"]\n";
    build.stdin.take().expect("it was piped").write_all(file).expect("docker reads");
    assert!(build.wait().expect("docker ends").success());
    let fields = json!({
        "name": "web", "label": "A web application", "kind": "web", "image": WEB_IMAGE, "port": 8000, "scheme": "http",
        "command": [WEB_DESKTOP], "persistent_home": false,
    });
    let (status, answer) = server.api().post("/api/desktop-types", &fields);
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn a_real_desktop_through_nginx() {
    let alice = Alice::sign_in();
    let desktop = alice.launch(TYPE);
    assert_eq!(desktop["url"], format!("{}/desktop/alice-{TYPE}", alice.origin));

    let navigation = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "text/html")];
    let page = alice.browser.send("GET", &format!("/desktop/alice-{TYPE}/vnc.html"), &navigation, "");
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("noVNC"), "{}", page.text);

    let path = format!("/desktop/alice-{TYPE}/websockify");
    let handshake = format!("{}Sec-WebSocket-Protocol: binary\r\n", alice.headers());
    let (mut screen, _) = RawWs::open(alice.nginx.plain, &path, &handshake).expect("her own page may");
    let Got::Binary(greeting) = screen.read() else { panic!("no binary message") };
    assert!(greeting.starts_with(b"RFB 003."), "{}", greeting.escape_ascii());

    let elsewhere = handshake.replace(&alice.origin, "https://evil.example.net");
    assert_eq!(RawWs::open(alice.nginx.plain, &path, &elsewhere).err(), Some(403));
}

#[test]
fn a_web_application_through_nginx() {
    let alice = Alice::sign_in();
    add_web_type(&alice.server);
    alice.launch("web");

    let sent = "/up%2Fload//a%5Cb/%61%ff+%20?x=%2F&y=a//b";
    let seen = alice.upload(&format!("/desktop/alice-web{sent}"), LARGE);
    assert_eq!((&seen["target"], &seen["length"]), (&json!(sent), &json!(LARGE)));
    assert_eq!(seen["headers"]["x-forwarded-proto"], "https", "{seen}");
    assert_eq!(seen["headers"]["x-forwarded-host"], alice.origin["https://".len()..], "{seen}");
    let cookies = seen["headers"]["cookie"].as_str().expect("its own cookies");
    assert!(cookies.starts_with("long=") && cookies.len() > 8 * 1024, "{cookies}");

    for dots in ["/desktop/alice-web/a/../b", "/desktop/alice-web/a/%2e%2e/b", "/desktop/alice-web/a%2f..%2fb"] {
        let request = format!("GET {dots} HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n", alice.headers());
        let mut socket = connect(alice.nginx.plain);
        socket.write_all(request.as_bytes()).expect("the request goes out");
        assert!(read_head(&mut BufReader::new(socket))[0].contains(" 400 "), "{dots}");
    }

    let path = "/desktop/alice-web/socket";
    let (mut socket, _) = RawWs::open(alice.nginx.plain, path, &alice.headers()).expect("her own page may");
    let (writer, payload) = (socket.writer(), bytes_of(6, FRAME));
    let frame = [header(true, BINARY, FRAME as u64), payload.clone()].concat();
    let sender = std::thread::spawn(move || (0..FRAMES).for_each(|_| writer.write(&frame).expect("it is taken")));
    for nth in 0..FRAMES {
        assert!(socket.read() == Got::Binary(payload.clone()), "frame {nth}");
    }
    sender.join().expect("everything was sent");
}
