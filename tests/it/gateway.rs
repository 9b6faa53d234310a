//! WebSockets through the gateway, to a desktop as strict as KasmVNC.

use std::time::Duration;

use crate::common::desk::{DESK, Desk, wait_closed};
use crate::common::raw_upstream::{RawUpstream, Script};
use crate::common::raw_ws::{Got, RawWs, header};
use crate::common::strict_upstream::StrictUpstream;
use crate::common::{SOON, heavy, wait_until};

/// A server that holds back what nobody reads stays below this.
const MEMORY_LIMIT_KIB: u64 = 48 * 1024;

/// A masked frame with the key zero.
fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    [header(last, opcode, payload.len() as u64), payload.to_vec()].concat()
}

#[test]
fn whatever_the_browser_offers_the_desktop_opens() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let cookies = format!("X-Noise: {}\r\n", "n".repeat(8 * 1024));
    for (offered, answered) in
        [("", None), ("Sec-WebSocket-Protocol: binary\r\n", Some("binary")), (cookies.as_str(), None)]
    {
        let (mut socket, head) = desk.try_open("/websockify", offered).expect("it opens");
        let protocol = head
            .iter()
            .find_map(|line| line.to_lowercase().strip_prefix("sec-websocket-protocol: ").map(str::to_owned));
        assert_eq!(protocol.as_deref(), answered, "{head:?}");
        socket.write(&frame(true, 2, b"hello"));
        assert_eq!(socket.read(), Got::Binary(b"hello".to_vec()));
        let seen = upstream.last_head();
        assert!(
            seen.starts_with("GET /websockify HTTP/1.1\r\n") && seen.contains("\r\nOrigin: https://127.0.0.1:"),
            "{seen}"
        );
        assert!(!seen.contains("dockway") && seen.len() < 1000, "{seen}");
    }
    wait_closed(&upstream);
}

#[test]
fn only_pages_of_our_own_and_tokens_open_it() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let (port, path) = (desk.server.port, format!("{DESK}/websockify"));
    let cookie = format!("Cookie: {}\r\n", desk.browser.cookie.as_deref().expect("signed in"));
    let token = |scopes: &[&str]| format!("Authorization: Bearer {}\r\n", desk.server.user_token("alice", scopes));
    let other = format!("Authorization: Bearer {}\r\n", desk.server.token);
    let table = [
        (String::new(), 401),
        (cookie.clone(), 403),
        (format!("{cookie}Origin: http://evil.example\r\n"), 403),
        (format!("{cookie}Origin: null\r\n"), 403),
        (token(&["desktops:write"]), 101),
        (token(&["desktops:read"]), 403),
        // An administrator's.
        (other, 403),
    ];
    for (headers, expected) in table {
        let status = RawWs::open(port, &path, &headers).map_or_else(|status| status, |_| 101);
        assert_eq!(status, expected, "{headers}");
    }
    assert_eq!(upstream.heads().len(), 1, "the desktop hears of nobody else");
    let nobodys = RawWs::open(port, "/desktop/bob-desk/websockify", &desk.own()).map_or_else(|status| status, |_| 101);
    assert_eq!(nobodys, 404);
}

#[test]
fn frames_come_back_byte_for_byte() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let mut socket = desk.open("/websockify");
    for length in [0, 1, 125, 126, 4096, 65_535] {
        let payload: Vec<u8> = (0..length).map(|n| (n * 31) as u8).collect();
        socket.write(&frame(true, 2, &payload));
        assert!(socket.read() == Got::Binary(payload), "{length} bytes");
    }
    socket.write(&frame(true, 9, b"ping"));
    socket.write(&[frame(false, 2, b"begin"), frame(false, 0, b"middle"), frame(true, 0, b"end")].concat());
    assert_eq!(socket.read(), Got::Binary(b"begin".to_vec()), "no pong, and no other piece");
    socket.write(&frame(true, 1, b"after"));
    assert_eq!(socket.read(), Got::Text("after".into()));
    assert_eq!((upstream.pings(), upstream.dropped()), (1, 2));
    socket.write(&frame(true, 2, &vec![0; 65_536]));
    assert_eq!(socket.read(), Got::End);
    wait_closed(&upstream);
}

#[test]
fn a_long_upload_reaches_the_desktop() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let mut socket = desk.open("/sink");
    let piece = frame(true, 2, &[7; 60_000]);
    for _ in 0..500 {
        assert!(socket.write(&piece));
    }
    wait_until("all of it came", SOON, || upstream.received() == 30_000_000);
}

#[test]
fn a_web_application_negotiates_for_itself() {
    let upstream = RawUpstream::start(Script::EchoesWebSocket);
    let desk = Desk::web(&upstream);
    let offered = "Sec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
                   X-Forwarded-For: evil\r\n";
    let (_socket, head) = desk.try_open("/ws?a=b", offered).expect("it opens");
    let head = head.join("\n").to_lowercase();
    assert!(
        head.contains("sec-websocket-protocol: chat\n") || head.ends_with("sec-websocket-protocol: chat"),
        "{head}"
    );
    assert!(head.contains("sec-websocket-extensions: permessage-deflate"), "{head}");
    let (seen, host) = (upstream.last_head(), format!("127.0.0.1:{}", desk.server.port));
    for line in [format!("Host: {host}"), format!("Origin: http://{host}"), "X-Forwarded-For: 127.0.0.1".into()] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line} in {seen}");
    }
    assert!(seen.starts_with("GET /ws?a=b HTTP/1.1\r\n") && !seen.contains("dockway"), "{seen}");
}

#[test]
fn whoever_goes_first_takes_the_other_along() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let opened = || {
        let socket = desk.open("/websockify");
        wait_until("it is open", SOON, || upstream.websockets() == 1);
        socket
    };
    drop(opened());
    wait_closed(&upstream);
    opened().reset();
    wait_closed(&upstream);
    let mut socket = opened();
    upstream.break_off();
    assert_eq!(socket.read(), Got::End);
    wait_closed(&upstream);
}

#[test]
fn a_desktop_that_opens_nothing_is_a_bad_gateway() {
    let table = [
        Script::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        Script::says("\0\u{1}\u{2}garbage\r\n\r\n"),
        Script::says(""),
        Script::Resets(Vec::new()),
        Script::Holds([&b"HTTP/1.1 101 x\r\n"[..], &[b'x'; 20_000]].concat()),
    ];
    for script in table {
        let upstream = RawUpstream::start(script.clone());
        let desk = Desk::web(&upstream);
        assert_eq!(desk.try_open("/ws", "").err(), Some(502), "{script:?}");
        wait_until("the desktop's socket is closed", SOON, || upstream.open() == 0);
    }
}

#[test]
fn what_nobody_reads_does_not_fill_the_memory() {
    let _turn = heavy();
    let upstream = RawUpstream::start(Script::FloodsWebSocket);
    let mut desk = Desk::web(&upstream);
    let sockets: Vec<_> = (0..20).map(|_| desk.open("/ws")).collect();
    let most = (0..30).map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        desk.server.process().resident_kib()
    });
    let most = most.max().expect("measured");
    assert!(most < MEMORY_LIMIT_KIB + 20 * 1024, "{most} KiB");
    drop(sockets);
    wait_until("the desktop's sockets are closed", SOON, || upstream.open() == 0);
}

#[test]
fn large_amounts_pass_both_ways() {
    let _turn = heavy();
    let upstream = RawUpstream::start(Script::EchoesWebSocket);
    let mut desk = Desk::web(&upstream);
    let mut socket = desk.open("/ws");
    let writer = socket.writer();
    let pieces = 400;
    // Sent back as it is, so it has no mask: a server's does not.
    let payload: Vec<u8> = (0..500_000_u32).map(|n| (n / 3) as u8).collect();
    let piece = [&[0x82, 127][..], &500_000_u64.to_be_bytes(), &payload].concat();
    let writing = std::thread::spawn(move || (0..pieces).for_each(|_| writer.write(&piece).expect("it is taken")));
    for n in 0..pieces {
        assert!(matches!(socket.read(), Got::Binary(got) if got == payload), "piece {n}");
    }
    writing.join().expect("it does not panic");
    let resident = desk.server.process().resident_kib();
    assert!(resident < MEMORY_LIMIT_KIB, "{resident} KiB");
}

#[test]
fn idle_websockets_take_next_to_no_memory() {
    let _turn = heavy();
    let upstream = RawUpstream::start(Script::EchoesWebSocket);
    let mut desk = Desk::web(&upstream);
    let opened = |desk: &Desk, count| -> Vec<RawWs> {
        let each = |_| {
            let mut socket = desk.open("/ws");
            socket.write(&[0x82, 3, b'a', b'b', b'c']);
            assert_eq!(socket.read(), Got::Binary(b"abc".to_vec()));
            socket
        };
        (0..count).map(each).collect()
    };
    let _warm = opened(&desk, 50);
    let before = desk.server.process().resident_kib();
    let _sockets = opened(&desk, 300);
    let each = desk.server.process().resident_kib().saturating_sub(before) / 300;
    assert!(each < 16, "{each} KiB for each");
}
