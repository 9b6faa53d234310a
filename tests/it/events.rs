//! Live events: who is told what over a WebSocket and by server-sent events, and what cuts them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::event_stream::{BOTH_WAYS, EventStream, Way};
use crate::common::raw_ws::{Got, RawWs, TEXT, header};
use crate::common::{Agent, SOON, Server, heavy, wait_for, wait_until};

/// A void credential cuts its streams within this.
const CUT_WITHIN: Duration = Duration::from_secs(2);
/// What the server's memory may grow by while a reader takes nothing.
const ALLOWED_KIB: u64 = 32 * 1024;
/// A reader that takes nothing is cut off after 20 s, and this much later at most.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(30);
const UNSUPPORTED: u16 = 1003;
const PROTOCOL: u16 = 1002;
const GOING_AWAY: u16 = 1001;
const SIGNED_OUT: u16 = 4003;
const PONG: u8 = 10;
const PING: u8 = 9;

#[test]
fn changes_arrive() {
    let server = Server::start();
    let mut agent = Agent::start(&server, "pc1", "binary");
    let mut streams = BOTH_WAYS.map(|way| EventStream::open(&server, &server.token, way));
    let tunnel = server.create_tunnel("pc1", 80);
    tunnel.patch(&json!({ "name": "db" }));
    agent.kill();
    agent.wait_offline(SOON);
    agent.start_again();
    agent.wait_online();
    tunnel.delete();
    for stream in &mut streams {
        let created = stream.wait("tunnel.created", &tunnel.id);
        assert_eq!((&created["tunnel"]["state"], &created["tunnel"]["owner"]), (&json!("listening"), &json!("admin")));
        assert_eq!(created["tunnel"]["local_port"], tunnel.port);
        assert!(created["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{created}");
        assert_eq!(stream.wait("tunnel.changed", &tunnel.id)["tunnel"]["name"], "db");
        stream.wait("agent.offline", "pc1");
        assert_eq!(stream.wait("tunnel.changed", &tunnel.id)["tunnel"]["state"], "waiting_for_agent");
        stream.wait("agent.online", "pc1");
        assert_eq!(stream.wait("tunnel.changed", &tunnel.id)["tunnel"]["state"], "listening");
        assert!(stream.wait("tunnel.deleted", &tunnel.id).get("tunnel").is_none());
    }
}

#[test]
fn each_is_told_of_what_it_may_read() {
    let server = Server::start();
    let bob = server.user("bob", "user", &[]);
    let mut own = BOTH_WAYS.map(|way| EventStream::open(&server, bob.token(), way));
    let mut all = BOTH_WAYS.map(|way| EventStream::open(&server, &server.token, way));
    server.enrol("hidden");
    server.create_tunnel("hidden", 80);
    let (status, shared) = server.api().post("/api/agents", &json!({ "client_id": "shared", "shared": true }));
    assert_eq!(status, 201, "{shared}");
    let body = json!({ "client_id": "shared", "remote_host": "127.0.0.1", "remote_port": 80 });
    let (status, made) = bob.post("/api/proxy/create", &body);
    assert_eq!(status, 201, "{made}");
    let id = made["proxy_id"].as_str().expect("an id");
    for stream in &mut own {
        let told = [stream.next(), stream.next()].map(|event| event.expect("an event"));
        let names = told.each_ref().map(|event| (event["type"].as_str(), event["id"].as_str()));
        assert_eq!(names, [(Some("agent.created"), Some("shared")), (Some("tunnel.created"), Some(id))]);
        assert_eq!(told[1]["tunnel"]["owner"], "bob");
    }
    for stream in &mut all {
        stream.wait("agent.created", "hidden");
        stream.wait("agent.created", "shared");
        stream.wait("tunnel.created", id);
    }
}

#[test]
fn void_credential_cuts_its_streams() {
    let server = Server::start();
    for name in ["ann", "bob"] {
        let person = server.user(name, "user", &[]);
        let mut streams = BOTH_WAYS.map(|way| EventStream::open(&server, person.token(), way));
        let mut others = BOTH_WAYS.map(|way| EventStream::open(&server, &server.token, way));
        server.admin(["token", "remove", &person.only_token_id()]);
        let before = Instant::now();
        let [socket, stream] = &mut streams;
        assert_eq!(socket.wait_close(), SIGNED_OUT);
        assert_eq!(stream.until_end().0.last(), Some(&json!({ "type": "signed_out" })));
        let took = before.elapsed();
        assert!(took < CUT_WITHIN, "cut after {took:?}");
        assert_eq!(EventStream::try_open(&server, person.token(), Way::Sse).err(), Some(401));
        let agent = format!("of-others-{name}");
        server.enrol(&agent);
        for stream in &mut others {
            stream.wait("agent.created", &agent);
        }
    }
}

#[test]
fn one_person_has_twenty_streams() {
    let server = Server::start();
    let bob = server.user("bob", "user", &[]);
    let mut held: Vec<_> = (0..20).map(|n| EventStream::open(&server, bob.token(), BOTH_WAYS[n % 2])).collect();
    for way in BOTH_WAYS {
        assert_eq!(EventStream::try_open(&server, bob.token(), way).err(), Some(409), "{way:?}");
    }
    EventStream::open(&server, &server.token, Way::Sse);
    // The last two, one of each way.
    held.drain(18..).for_each(EventStream::reset);
    for way in BOTH_WAYS {
        held.push(wait_for("the place is free again", SOON, || EventStream::try_open(&server, bob.token(), way).ok()));
    }
}

/// Nothing is kept for a reader that does not read; it is told to start over, or cut off if it never reads. The others
/// notice nothing.
#[test]
fn reader_that_takes_nothing() {
    /// More than the 4 MiB that a socket may keep and the 256 that the bus keeps, and told long before a reader that
    /// takes nothing is cut off.
    const EVENTS: usize = 600;
    let turn = heavy();
    let mut server = Server::start();
    server.enrol("pc1");
    let tunnel = server.create_tunnel("pc1", 80);
    let mut lazy: Vec<_> = BOTH_WAYS.into_iter().map(|way| EventStream::open(&server, &server.token, way)).collect();
    let lost = server.user("lost", "admin", &[]).token().to_owned();
    // All places of one person, so that they are missed when they are given back.
    let _never_read: Vec<_> = (0..20).map(|n| EventStream::open(&server, &lost, BOTH_WAYS[n % 2])).collect();
    let mut good = EventStream::open(&server, &server.token, Way::WebSocket);
    let before = server.process().resident_kib();
    // An event of 20 KiB: the sockets' own buffers are full soon.
    let allow: Vec<String> = (1000..1450).map(|n| format!("2001:db8:1111:2222:3333:4444:5555:{n}/128")).collect();
    tunnel.patch(&json!({ "allow": allow }));
    for n in 0..EVENTS {
        let name = format!("n{n}");
        tunnel.patch(&json!({ "name": name }));
        while good.wait("tunnel.changed", &tunnel.id)["tunnel"]["name"] != name.as_str() {}
    }
    let after = server.process().resident_kib();
    assert!(after <= before + ALLOWED_KIB, "memory grew from {before} to {after} KiB");
    for stream in &mut lazy {
        while stream.next().expect("it goes on")["type"] != "start_over" {}
    }
    tunnel.delete();
    for stream in &mut lazy {
        let next = stream.next().expect("it goes on after what was missed");
        assert_eq!((&next["type"], &next["id"]), (&json!("tunnel.deleted"), &json!(tunnel.id)), "nothing stale");
    }
    drop(turn);
    let mut again = Vec::new();
    wait_until("those that never read are cut off", CUT_OFF_WITHIN, || {
        again.extend(EventStream::try_open(&server, &lost, Way::WebSocket).ok());
        again.len() == 20
    });
}

#[test]
fn garbage_closes_the_websocket() {
    let mut server = Server::start();
    let open = || {
        let login = format!("Authorization: Bearer {}\r\n", server.token);
        let (mut socket, _) = RawWs::open(server.port, "/api/events", &login).expect("the token is right");
        assert!(matches!(socket.read(), Got::Text(_)));
        socket
    };
    let rows: [(&str, Vec<u8>, u16); 9] = [
        ("a text", [header(true, TEXT, 2), b"{}".to_vec()].concat(), UNSUPPORTED),
        ("300 MiB by its header", header(true, 2, 300 << 20), UNSUPPORTED),
        ("a fragment", header(false, TEXT, 0), UNSUPPORTED),
        ("the rest of nothing", header(true, 0, 0), UNSUPPORTED),
        ("a ping that is too long", header(true, PING, 126), UNSUPPORTED),
        ("a ping in pieces", header(false, PING, 0), PROTOCOL),
        ("a frame without a mask", vec![0x89, 0], PROTOCOL),
        ("an unknown kind of control", header(true, 15, 0), PROTOCOL),
        ("a close with half a code", [header(true, 8, 1), vec![3]].concat(), PROTOCOL),
    ];
    for (what, bytes, code) in rows {
        let mut socket = open();
        socket.write(&bytes);
        assert_eq!(socket.wait_close(), code, "{what}");
    }
    let mut socket = open();
    socket.write(&[header(true, 8, 2), 1000_u16.to_be_bytes().to_vec()].concat());
    assert_eq!(socket.wait_close(), 1000, "a close is answered");
    let mut socket = open();
    socket.write(&header(true, PONG, 0).repeat(100));
    server.enrol("pc1");
    assert!(matches!(socket.read(), Got::Text(text) if text.contains("agent.created")), "pongs are nothing");
    assert!(server.process().line_with("panicked").is_none());
}

/// Frames that call for no answer are taken one at a time, however fast they come.
#[test]
fn flood_of_pongs_takes_no_memory() {
    let _turn = heavy();
    let mut server = Server::start();
    let login = format!("Authorization: Bearer {}\r\n", server.token);
    let (mut socket, _) = RawWs::open(server.port, "/api/events", &login).expect("the token is right");
    assert!(matches!(socket.read(), Got::Text(_)));
    let before = server.process().resident_kib();
    let pongs = frames(PONG);
    let mut most = before;
    for _ in 0..1_000 {
        assert!(socket.write(&pongs), "pongs are taken");
        most = most.max(server.process().resident_kib());
    }
    assert!(most <= before + ALLOWED_KIB, "memory grew from {before} to {most} KiB");
    server.enrol("pc1");
    assert!(matches!(socket.read(), Got::Text(text) if text.contains("agent.created")));
}

/// Frames are not taken while their answers are not.
#[test]
fn flood_of_pings_is_held_back() {
    let _turn = heavy();
    let mut server = Server::start();
    let login = format!("Authorization: Bearer {}\r\n", server.token);
    let (socket, _) = RawWs::open(server.port, "/api/events", &login).expect("the token is right");
    let before = server.process().resident_kib();
    let (writer, pings) = (socket.writer(), frames(PING));
    writer.set_limit(Duration::from_secs(3));
    let sent = (0..2_000).take_while(|_| writer.write(&pings).is_ok()).count();
    assert!(sent < 2_000, "the server took 130 MB from somebody who reads no answer");
    let after = server.process().resident_kib();
    assert!(after <= before + ALLOWED_KIB, "memory grew from {before} to {after} KiB");
    assert_eq!(server.api().get("/api/agents").0, 200);
}

/// 65 KB of control frames.
fn frames(opcode: u8) -> Vec<u8> {
    [header(true, opcode, 125), vec![b'x'; 125]].concat().repeat(500)
}

#[test]
fn stop_closes_what_is_open() {
    let mut server = Server::start();
    let token = server.token.clone();
    let mut streams: Vec<_> = (0..10).map(|n| EventStream::open(&server, &token, BOTH_WAYS[n % 2])).collect();
    let start = Instant::now();
    server.process().signal(rustix::process::Signal::TERM);
    for (n, stream) in streams.iter_mut().enumerate() {
        match BOTH_WAYS[n % 2] {
            Way::WebSocket => assert_eq!(stream.wait_close(), GOING_AWAY),
            Way::Sse => assert_eq!(stream.until_end().0, Vec::<Value>::new()),
        }
    }
    drop(streams);
    assert!(server.process().wait_exit(SOON).success());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "stopped after {took:?}");
}

#[test]
fn two_hundred_readers() {
    let _turn = heavy();
    let server = Server::start();
    let admins: Vec<_> = (0..10).map(|n| server.user(&format!("admin{n}"), "admin", &[])).collect();
    let mut readers: Vec<_> =
        (0..200).map(|n| EventStream::open(&server, admins[n % 10].token(), BOTH_WAYS[n / 10 % 2])).collect();
    let start = Instant::now();
    server.enrol("pc1");
    for reader in &mut readers {
        reader.wait("agent.created", "pc1");
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "all are told after {took:?}");
}

#[test]
fn refusals() {
    let server = Server::start();
    for way in BOTH_WAYS {
        for login in ["", "Authorization: Bearer wrong\r\n", "Cookie: dockway_session=wrong\r\n"] {
            assert!(matches!(EventStream::request(server.port, way, login).err(), Some(401 | 403)), "{way:?} {login}");
        }
    }
    let head = server.api().send("HEAD", "/api/events", None);
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
}
