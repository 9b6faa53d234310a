//! Agents that break the protocol, by hand over a raw WebSocket. Each time a well-behaved agent notices nothing.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::raw_ws::{BINARY, DATA, Got, OPENED, RESET, RawWs, TEXT, Writer, header, message};
use crate::common::sockets::wait_end;
use crate::common::{Agent, Remote, SOON, Server, Tunnel, both_protocols, heavy, ping};

const PROTOCOL: u16 = 1002;
const TOO_BIG: u16 = 1009;
/// What the server's memory may grow by while somebody sends what it must not keep.
const ALLOWED_KIB: u64 = 32 * 1024;

/// A server with a well-behaved agent and its user, beside which another agent misbehaves.
struct Street {
    user: TcpStream,
    _good: Tunnel,
    _echo: Remote,
    _agent: Agent,
    server: Server,
    token: String,
}

impl Street {
    fn new() -> Self {
        let server = Server::start();
        let (echo, agent) = (Remote::echo(), Agent::start(&server, "good", "binary"));
        let good = server.create_tunnel("good", echo.port);
        let mut user = good.connect();
        ping(&mut user);
        let token = server.enrol("bad");
        Self { user, _good: good, _echo: echo, _agent: agent, server, token }
    }

    /// A session of the bad agent: with HELLOs in version 2, bare in version 1.
    fn session(&self, protocol: &str) -> RawWs {
        match protocol {
            "binary" => RawWs::greeted(self.server.port, "bad", &self.token),
            _ => RawWs::log_in(self.server.port, "bad", &self.token, false).expect("the token is right"),
        }
    }

    fn assert_good_one_notices_nothing(mut self) {
        for _ in 0..20 {
            ping(&mut self.user);
        }
        assert!(self.server.process().line_with("panicked").is_none());
    }
}

both_protocols!(frame_too_large, fragments_without_end, claimed_length_takes_no_memory);

fn opcode(protocol: &str) -> u8 {
    if protocol == "binary" { BINARY } else { TEXT }
}

fn frame_too_large(protocol: &str) {
    let street = Street::new();
    let mut session = street.session(protocol);
    session.write(&header(true, opcode(protocol), 300 << 20));
    assert_eq!(session.wait_close(), TOO_BIG, "by its header alone");
    street.assert_good_one_notices_nothing();
}

/// The sender goes on with the 300 MiB, whether anybody listens or not.
fn claimed_length_takes_no_memory(protocol: &str) {
    let _turn = heavy();
    let mut street = Street::new();
    let mut session = street.session(protocol);
    let before = street.server.process().resident_kib();
    session.write(&header(true, opcode(protocol), 300 << 20));
    let block = vec![b'x'; 1 << 20];
    let mut most = before;
    for _ in 0..300 {
        if !session.write(&block) {
            break;
        }
        most = most.max(street.server.process().resident_kib());
    }
    assert!(most <= before + ALLOWED_KIB, "memory grew from {before} to {most} KiB");
    street.assert_good_one_notices_nothing();
}

fn fragments_without_end(protocol: &str) {
    let mut street = Street::new();
    let mut session = street.session(protocol);
    let before = street.server.process().resident_kib();
    let writer = session.writer();
    let first = opcode(protocol);
    let sender = std::thread::spawn(move || {
        let piece = vec![b' '; 32 * 1024];
        (0..2_000).take_while(|&n| send_fragment(&writer, if n == 0 { first } else { 0 }, &piece)).count()
    });
    // A close while bytes are still under way may arrive as a reset of the connection.
    let end = std::iter::repeat_with(|| session.read()).find(|got| matches!(got, Got::Close(_) | Got::End));
    assert!(matches!(end, Some(Got::Close(TOO_BIG) | Got::End)), "{end:?}");
    drop(session);
    assert!(sender.join().expect("the sender ends") < 2_000, "the server took 64 MB of one message");
    let after = street.server.process().resident_kib();
    assert!(after <= before + ALLOWED_KIB, "memory grew from {before} to {after} KiB");
    street.assert_good_one_notices_nothing();
}

fn send_fragment(writer: &Writer, opcode: u8, payload: &[u8]) -> bool {
    writer.write(&[&header(false, opcode, payload.len() as u64), payload].concat()).is_ok()
}

/// What a version 2 session sends, and the code that closes it.
#[test]
fn frames_that_close_a_session() {
    let street = Street::new();
    let rows: [(&str, Vec<u8>, u16); 8] = [
        ("unknown kind", message(0x55, 1, b""), PROTOCOL),
        ("data for a channel never opened", message(DATA, 77, b"hello"), PROTOCOL),
        ("opened for a channel never opened", message(OPENED, 77, &[0, 4, 0, 0]), PROTOCOL),
        ("an open from the agent", message(0x01, 1, b"{}"), PROTOCOL),
        ("data on the session's own channel", message(DATA, 0, b"x"), PROTOCOL),
        ("less than a frame's head", [header(true, BINARY, 3), vec![4, 0, 0]].concat(), PROTOCOL),
        ("text in a binary session", [header(true, TEXT, 2), b"{}".to_vec()].concat(), PROTOCOL),
        ("more than 64 KiB of data", message(DATA, 1, &vec![0; 65 * 1024]), TOO_BIG),
    ];
    for (what, bytes, code) in rows {
        let mut session = street.session("binary");
        session.write(&bytes);
        assert_eq!(session.wait_close(), code, "{what}");
    }
    street.assert_good_one_notices_nothing();
}

#[test]
fn messages_that_close_a_json_session() {
    let street = Street::new();
    let data = |data: &str| json!({ "type": "proxy_data", "proxy_id": "p", "user_id": "u", "data": data }).to_string();
    let rows = [
        ("bad JSON", "{\"type\":".to_owned()),
        ("no object", "[]".to_owned()),
        ("no type", "{}".to_owned()),
        ("a field is missing", json!({ "type": "proxy_data", "proxy_id": "p" }).to_string()),
        ("bad base64", data("***")),
    ];
    for (what, text) in rows {
        let mut session = street.session("json");
        session.send_text(&text);
        assert_eq!(session.wait_close(), PROTOCOL, "{what}");
    }
    street.assert_good_one_notices_nothing();
}

/// Other types fall through, so that newer agents work with older servers.
#[test]
fn unknown_messages_are_ignored_in_json() {
    let street = Street::new();
    let tunnel = street.server.create_tunnel("bad", 80);
    let mut session = street.session("json");
    session.send_text(&json!({ "type": "weather", "sun": true }).to_string());
    let _user = tunnel.connect();
    let Got::Text(text) = session.read() else { panic!("no text") };
    let connect: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(connect["type"], "proxy_connect", "{connect}");
    assert_eq!((&connect["proxy_id"], &connect["remote_port"]), (&json!(tunnel.id), &json!(80)), "{connect}");
    street.assert_good_one_notices_nothing();
}

#[test]
fn no_hello_within_ten_seconds() {
    let street = Street::new();
    let mut session = RawWs::log_in(street.server.port, "bad", &street.token, true).expect("the token is right");
    let start = Instant::now();
    assert_eq!(session.wait_close(), PROTOCOL);
    let waited = start.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(14)).contains(&waited), "closed after {waited:?}");
    street.assert_good_one_notices_nothing();
}

/// The channel is reset with code 2; the session and its other channels go on.
#[test]
fn window_overrun_ends_that_channel_alone() {
    let _turn = heavy();
    let street = Street::new();
    let tunnel = street.server.create_tunnel("bad", 80);
    let mut session = street.session("binary");
    let mut other_user = tunnel.connect();
    let (other, _) = session.wait_open();
    session.send_frame(OPENED, other, &(256_u32 << 10).to_be_bytes());

    let mut user = tunnel.connect();
    let (channel, open) = session.wait_open();
    assert!(open["window"].as_u64().is_some_and(|window| window >= 64 << 10), "{open}");
    session.send_frame(OPENED, channel, &(256_u32 << 10).to_be_bytes());
    let (writer, over) = (session.writer(), AtomicBool::new(false));
    let reset = std::thread::scope(|scope| {
        scope.spawn(|| {
            let piece = message(DATA, channel, &vec![0; 64 << 10]);
            // Far more than any window, for a user who reads nothing; whole frames, so that the session stays in step.
            for _ in 0..4_000 {
                if over.load(Ordering::SeqCst) || writer.write(&piece).is_err() {
                    return;
                }
            }
        });
        let reset = session.wait_frame(RESET);
        over.store(true, Ordering::SeqCst);
        reset
    });
    assert_eq!(reset, (channel, vec![0, 2]));
    wait_end(&mut user);

    session.send_frame(DATA, other, b"still here");
    let mut got = [0; 10];
    std::io::Read::read_exact(&mut other_user, &mut got).expect("the other channel goes on");
    assert_eq!(&got, b"still here");
    let _third_user = tunnel.connect();
    session.wait_open();
    street.assert_good_one_notices_nothing();
}

/// Memory stays bounded when an agent of the three messages floods a user who reads nothing.
#[test]
fn flood_without_credit_is_held_back() {
    let _turn = heavy();
    let mut street = Street::new();
    let tunnel = street.server.create_tunnel("bad", 80);
    let mut session = street.session("json");
    let user = tunnel.connect();
    let Got::Text(text) = session.read() else { panic!("no text") };
    let mut flood: Value = serde_json::from_str(&text).expect("JSON");
    flood["type"] = json!("proxy_data");
    flood["data"] = json!("A".repeat(16 << 10));
    let text = flood.to_string();
    let frame = [header(true, TEXT, text.len() as u64), text.into_bytes()].concat();
    let before = street.server.process().resident_kib();
    let writer = session.writer();
    writer.set_limit(Duration::from_secs(3));
    let sent = (0..8_000).take_while(|_| writer.write(&frame).is_ok()).count();
    assert!(sent < 8_000, "the server took 128 MiB for a user who reads nothing");
    let after = street.server.process().resident_kib();
    assert!(after <= before + ALLOWED_KIB, "memory grew from {before} to {after} KiB");
    drop(user);
    tunnel.wait_idle(SOON);
    street.assert_good_one_notices_nothing();
}
