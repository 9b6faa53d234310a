//! The server stops, by will or by force, and what should be is there again afterwards.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::sockets::{local, wait_end};
use crate::common::{Remote, Rig, SOON, Server, both_protocols, is_refused, ping, read_end, wait_until};

both_protocols!(killed_server_comes_back, graceful_stop_lets_a_transfer_finish, graceful_stop_has_a_limit);

fn killed_server_comes_back(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::on(Server::setup().will_restart().start(), protocol);
    let (first, second) = (rig.tunnel_to(echo.port), rig.tunnel_to(echo.port));
    let paused = rig.tunnel_to(echo.port);
    paused.patch(&json!({ "enabled": false }));
    let mut user = first.connect();
    ping(&mut user);
    rig.server.kill9();
    wait_end(&mut user);
    assert!(is_refused(first.port) && is_refused(second.port));

    rig.server.restart();
    wait_until("the tunnels listen again", SOON, || !is_refused(first.port) && !is_refused(second.port));
    rig.agent.wait_online();
    for tunnel in [&first, &second] {
        tunnel.wait_state("listening", SOON);
        ping(&mut tunnel.connect());
    }
    assert_eq!(paused.view()["state"], "paused");
    assert!(is_refused(paused.port));
}

fn graceful_stop_lets_a_transfer_finish(protocol: &str) {
    let trickle = Remote::trickles(20, 10_000, Duration::from_millis(100));
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(trickle.port);
    let mut user = tunnel.connect();
    let mut first = [0; 1000];
    user.read_exact(&mut first).expect("the transfer runs");
    let received = std::thread::spawn(move || read_end(&mut user));
    rig.server.process().signal(rustix::process::Signal::TERM);
    wait_until("new users are refused", Duration::from_secs(1), || is_refused(tunnel.port));
    let rest = received.join().expect("the reader ends").expect("a FIN, not a reset");
    assert_eq!(first.len() + rest.len(), 200_000);
    let status = rig.server.process().wait_exit(SOON);
    assert_eq!(status.code(), Some(0));
}

fn graceful_stop_has_a_limit(protocol: &str) {
    let endless = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(endless.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    let asked = Instant::now();
    let status = rig.server.terminate(Duration::from_secs(20));
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!((Duration::from_secs(8)..Duration::from_secs(16)).contains(&took), "stopped after {took:?}");
    wait_end(&mut user);
}

#[test]
fn idle_server_stops_at_once() {
    let mut rig = Rig::start("binary");
    let asked = Instant::now();
    assert_eq!(rig.server.terminate(SOON).code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "stopped after {:?}", asked.elapsed());
    assert!(rig.agent.process().is_running(), "the agent waits for it to return");
}

#[test]
fn stored_port_taken_at_start() {
    let echo = Remote::echo();
    let mut rig = Rig::on(Server::setup().will_restart().start(), "binary");
    let (taken, other) = (rig.tunnel_to(echo.port), rig.tunnel_to(echo.port));
    rig.server.kill9();
    let squatter = TcpListener::bind(local(taken.port)).expect("the port is free now");
    rig.server.restart();
    taken.wait_state("down", SOON);
    let view = taken.view();
    assert!(view["reason"].as_str().is_some_and(|reason| reason.contains("in use")), "no reason in {view}");
    rig.agent.wait_online();
    ping(&mut other.connect());
    drop(squatter);
    taken.wait_state("listening", Duration::from_secs(40));
    ping(&mut taken.connect());
}

#[test]
fn totals_survive_a_restart() {
    let echo = Remote::echo();
    let mut rig = Rig::on(Server::setup().will_restart().start(), "binary");
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    user.write_all(&[1; 1000]).expect("taken");
    user.read_exact(&mut [0; 1000]).expect("an echo");
    drop(user);
    tunnel.wait_idle(SOON);
    assert_eq!(rig.server.terminate(SOON).code(), Some(0));
    rig.server.restart();
    let view = tunnel.view();
    let totals = ["bytes_in", "bytes_out", "connections_total"].map(|field| view[field].as_u64());
    assert_eq!(totals, [Some(1000), Some(1000), Some(1)], "{view}");
}
