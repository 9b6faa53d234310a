//! Plain requests through the gateway.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::desk::{DESK, Desk, NAVIGATION};
use crate::common::raw_upstream::{RawUpstream, Script};
use crate::common::strict_upstream::{PICTURE, StrictUpstream};
use crate::common::{Browser, SOON, connect, heavy, wait_until};

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    &answer[end + 4..]
}

#[test]
fn a_strict_desktop_is_asked_in_the_right_way() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let noise = format!("Cookie: {}\r\n", "c=1234567; ".repeat(740));
    let page = text(&desk.raw("GET", &format!("{DESK}/vnc.html?a=b"), &noise, b""));
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("a desktop</title>"), "{page}");
    let lower = page.to_lowercase();
    assert!(
        lower.contains("connect-src 'self'") && lower.contains("cross-origin-embedder-policy: require-corp"),
        "{page}"
    );
    let seen = upstream.last_head();
    assert!(
        seen.starts_with("GET /vnc.html?a=b HTTP/1.1\r\n") && !seen.to_lowercase().contains("\r\ncookie:"),
        "{seen}"
    );
    for (path, status, says) in [("/files/", 200, "a listing"), ("/nothing", 404, "404 Not Found")] {
        let answer = desk.raw("GET", &format!("{DESK}{path}"), "", b"");
        assert!(text(&answer).starts_with(&format!("HTTP/1.1 {status} ")), "{}", text(&answer));
        assert!(text(&answer).contains(says), "a body without length: {}", text(&answer));
    }
    wait_until("no connection is left", SOON, || upstream.connections() == 0);
}

#[test]
fn the_images_own_api_is_closed() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    for path in ["/api/get_screenshot", "/%61pi/get_screenshot", "/api%2fget_screenshot", "//api/get_users", "/API/x"] {
        let answer = desk.raw("GET", &format!("{DESK}{path}"), "", b"");
        assert!(
            !body(&answer).ends_with(&PICTURE) && text(&answer).starts_with("HTTP/1.1 4"),
            "{path}: {}",
            text(&answer)
        );
    }
    let asked = upstream.heads();
    assert!(!asked.iter().any(|head| head.to_lowercase().contains("get_")), "{asked:?}");
}

#[test]
fn a_page_leads_to_the_entry() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let answer = desk.browser.send("GET", DESK, &NAVIGATION, "");
    assert!(matches!(answer.status, 302 | 303 | 307), "{}", answer.status);
    let location = answer.header("location").expect("a Location").to_owned();
    assert!(location.starts_with("/desktop/alice-desk/vnc.html?path=desktop/alice-desk/websockify&"), "{location}");
}

#[test]
fn who_may_not_come_in() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let path = format!("{DESK}/vnc.html");
    let stranger = Browser::new(desk.server.port);
    let answer = stranger.send("GET", &path, &NAVIGATION, "");
    assert!(matches!(answer.status, 302 | 303), "{} {}", answer.status, answer.text);
    assert!(answer.header("location").is_some_and(|url| url.contains("next=") && url.contains("alice-desk")));
    stranger.send("GET", &path, &[], "").assert_problem(401, "unauthenticated");
    stranger.send("POST", &path, &[], "").assert_problem(401, "unauthenticated");
    let admin = Browser::sign_in(&desk.server, "admin", &desk.server.password);
    assert_eq!(admin.send("GET", &path, &[], "").status, 403);
    let bob = desk.server.user("bob", "user", &["desktops:write"]);
    let (others, nobodys) = (bob.send("GET", &path, None), bob.send("GET", "/desktop/nobody-desk/vnc.html", None));
    assert_eq!((others.status, nobodys.status), (404, 404));
    assert_eq!(others.text.replace("alice-desk", "X"), nobodys.text.replace("nobody-desk", "X"));
    assert!(upstream.heads().is_empty());
}

#[test]
fn methods_and_where_they_come_from() {
    let upstream = RawUpstream::start(Script::EchoesRequests);
    let desk = Desk::web(&upstream);
    let path = format!("{DESK}/x");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = desk.browser.send(method, &path, &[("sec-fetch-site", "same-origin")], "");
        assert!(
            answer.status == 200 && answer.text.starts_with(&format!("{method} /x HTTP/1.1\r\n")),
            "{method}: {}",
            answer.text
        );
    }
    let answer = desk.raw("PROPFIND", &path, "", b"");
    assert!(text(body(&answer)).starts_with("PROPFIND /x HTTP/1.1\r\n"), "{}", text(&answer));
    for headers in [&[][..], &[("origin", "http://evil.example")], &[("sec-fetch-site", "same-site")]] {
        let before = upstream.heads().len();
        desk.browser.send("POST", &path, headers, "x").assert_problem(403, "cross_site");
        assert_eq!(upstream.heads().len(), before);
    }
    assert_eq!(desk.status("TRACE", &path, ""), 405);
    assert_eq!(desk.status("CONNECT", &path, ""), 405);
}

#[test]
fn paths_go_on_unchanged_or_not_at_all() {
    let upstream = RawUpstream::start(Script::EchoesRequests);
    let desk = Desk::web(&upstream);
    for path in ["/a//b", "/%7Ea/%2f%5c", "/caf%C3%A9?x=/../y", "/..a/b..", "/a;b=c", "/?", "/%25%32%65"] {
        let answer = desk.raw("GET", &format!("{DESK}{path}"), "", b"");
        assert!(text(body(&answer)).starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}: {}", text(&answer));
    }
    let before = upstream.heads().len();
    for path in
        ["/../x", "/a/..", "/./a", "/%2e%2e/x", "/%2E./x", "/a/%2e", "/..%2fx", "/x%2f..", "/..%5cx", "/a%5c..%5cx"]
    {
        assert_eq!(desk.status("GET", &format!("{DESK}{path}"), ""), 400, "{path}");
    }
    assert_eq!(upstream.heads().len(), before, "the desktop hears of none");
}

#[test]
fn bodies_stream_both_ways() {
    let _turn = heavy();
    let upstream = RawUpstream::start(Script::EchoesRequests);
    let mut desk = Desk::web(&upstream);
    let path = format!("{DESK}/upload");
    let chunked = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
    let answer = desk.raw("POST", &path, "Transfer-Encoding: chunked\r\n", chunked);
    assert!(text(&answer).ends_with("hello, world"), "{}", text(&answer));
    let (port, own, length) = (desk.server.port, desk.own(), 300_000_000_usize);
    let mut socket = connect(port);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{own}Content-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("the head goes out");
    let block = vec![7; 1_000_000];
    for _ in 0..300 {
        socket.write_all(&block).expect("the body goes out");
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("300000000 bytes"), "{answer}");
    let resident = desk.server.process().resident_kib();
    assert!(resident < 64 * 1024, "an upload is not kept: {resident} KiB");
}

#[test]
fn bodies_end_as_the_desktop_ends_them() {
    let chunked =
        Script::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n");
    let to_the_end = Script::says("HTTP/1.1 200 OK\r\n\r\nhello, world");
    let slow = Script::SaysSlowly(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world".to_vec(),
        7,
        Duration::from_millis(20),
    );
    for script in [chunked, to_the_end, slow] {
        let upstream = RawUpstream::start(script.clone());
        let desk = Desk::web(&upstream);
        assert_eq!(desk.browser.send("GET", &format!("{DESK}/x"), &[], "").text, "hello, world", "{script:?}");
    }
    for broken in [
        Script::says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
        Script::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        Script::Resets(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()),
    ] {
        let upstream = RawUpstream::start(broken.clone());
        let desk = Desk::web(&upstream);
        let answer = desk.raw("GET", &format!("{DESK}/x"), "", b"");
        let is_chunked = text(&answer).to_lowercase().contains("transfer-encoding: chunked");
        let (got, shown) = (body(&answer), text(&answer));
        assert!(
            if is_chunked { !got.ends_with(b"0\r\n\r\n") } else { got.len() < 100 && shown.contains("100") },
            "{broken:?}: {shown}"
        );
    }
}

#[test]
fn a_desktop_that_misbehaves_is_a_bad_gateway() {
    for script in [
        Script::says("\0\u{1}garbage\r\n\r\n"),
        Script::says(""),
        Script::Resets(Vec::new()),
        Script::Holds([&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 2_000_000]].concat()),
        Script::says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ] {
        let upstream = RawUpstream::start(script.clone());
        let desk = Desk::web(&upstream);
        let page = desk.browser.send("GET", &format!("{DESK}/x"), &NAVIGATION, "");
        assert_eq!(page.status, 502, "{script:?}: {}", page.text);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{script:?}");
        desk.browser.send("GET", &format!("{DESK}/x"), &[], "").assert_problem(502, "bad_gateway");
    }
}

#[test]
fn addresses_and_cookies_are_put_in_their_place() {
    let upstream = RawUpstream::start(Script::says(
        "HTTP/1.1 302 Found\r\nLocation: /login?x=1\r\nSet-Cookie: sid=1; Path=/; Domain=example.org\r\n\
         Set-Cookie: dockway_session=evil; Path=/\r\nStrict-Transport-Security: max-age=1\r\n\
         Clear-Site-Data: \"*\"\r\nContent-Length: 0\r\n\r\n",
    ));
    let desk = Desk::web(&upstream);
    let answer = desk.browser.send("GET", &format!("{DESK}/x"), &[], "");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/desktop/alice-desk/login?x=1")));
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text")).collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(cookies[0].starts_with("sid=1") && cookies[0].contains("Path=/desktop/alice-desk"), "{cookies:?}");
    assert!(!cookies[0].to_lowercase().contains("domain"), "{cookies:?}");
    assert_eq!((answer.header("strict-transport-security"), answer.header("clear-site-data")), (None, None));
}
