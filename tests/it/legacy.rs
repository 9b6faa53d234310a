//! An agent that knows nothing but the three messages of version 1 and shares no code with the program.

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use crate::common::raw_ws::{Got, RawWs};
use crate::common::stream::{receive, send};
use crate::common::{PYTHON, Process, Remote, SOON, Server, ping, read_end, wait_until};

fn start(server: &Server) -> Process {
    let token = server.enrol("old");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/legacy_agent.py");
    let url = format!("ws://127.0.0.1:{}/api/agent/ws", server.port);
    let agent = Process::spawn("legacy agent", Command::new(PYTHON).args([script, &url, "old", &token]));
    wait_until("the agent is online", SOON, || server.api().get("/api/agents/old").1["online"] == true);
    agent
}

#[test]
fn echo() {
    let (server, echo) = (Server::start(), Remote::echo());
    let _agent = start(&server);
    let tunnel = server.create_tunnel("old", echo.port);
    assert_eq!(tunnel.view()["state"], "listening");
    let mut users = [tunnel.connect(), tunnel.connect()];
    for _ in 0..50 {
        for user in &mut users {
            ping(user);
        }
    }
    drop(users);
    tunnel.wait_idle(SOON);
}

#[test]
fn ten_megabytes_down() {
    const LENGTH: usize = 10_000_000;
    let remote = Remote::start(|mut stream| send(&mut stream, 9, LENGTH));
    let server = Server::start();
    let _agent = start(&server);
    let mut user = server.create_tunnel("old", remote.port).connect();
    receive(&mut user, 9, LENGTH);
    assert_eq!(user.read(&mut [0]).expect("an ordinary end"), 0);
}

#[test]
fn ten_megabytes_up() {
    const LENGTH: usize = 10_000_000;
    let (remote, done) = Remote::reporting(|mut stream, report| {
        receive(&mut stream, 8, LENGTH);
        let _ = report.send(());
        let _ = stream.write_all(b"done");
    });
    let server = Server::start();
    let _agent = start(&server);
    let mut user = server.create_tunnel("old", remote.port).connect();
    send(&mut user, 8, LENGTH);
    done.recv_timeout(SOON).expect("the remote has compared every byte");
    assert_eq!(read_end(&mut user).expect("an ordinary end"), b"done");
}

/// An agent may say `hello` with `credit` when the session already waits for it: users are read again.
#[test]
fn credit_that_is_agreed_on_late() {
    const LENGTH: usize = 32_000_000;
    let server = Server::start();
    let token = server.enrol("late");
    let mut session = RawWs::log_in(server.port, "late", &token, false).expect("the token is right");
    wait_until("the agent is online", SOON, || server.api().get("/api/agents/late").1["online"] == true);
    let tunnel = server.create_tunnel("late", 80);
    let mut user = tunnel.connect();
    let sender = std::thread::spawn(move || send(&mut user, 4, LENGTH));
    let mut before = 0;
    wait_until("the server reads no more", SOON, || {
        std::thread::sleep(Duration::from_millis(300));
        let now = tunnel.number("bytes_in");
        now > 0 && std::mem::replace(&mut before, now) == now
    });
    session.send_text(r#"{"type":"hello","version":1,"features":["credit"]}"#);
    let mut taken = 0;
    while taken < LENGTH {
        let Got::Text(text) = session.read() else { panic!("the session ended after {taken} bytes") };
        let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if let Some(data) = message["data"].as_str() {
            taken += data.len() / 4 * 3 - data.bytes().rev().take_while(|byte| *byte == b'=').count();
        }
    }
    sender.join().expect("everything was taken");
}
