//! Agents that come, go, are replaced, and lose their right to be there.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::raw_ws::RawWs;
use crate::common::sockets::{visit, wait_end};
use crate::common::{Agent, Remote, Rig, SOON, Server, both_protocols, ping, read_end, wait_until};

both_protocols!(
    killed_and_back,
    user_is_held_until_the_agent_is_back,
    user_is_closed_after_the_hold,
    second_login_takes_over,
    rotation_cuts_at_once,
    rotation_by_command_cuts,
    stops_gracefully,
);

fn killed_and_back(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    rig.agent.kill();
    wait_end(&mut user);
    tunnel.wait_state("waiting_for_agent", SOON);
    rig.agent.start_again();
    tunnel.wait_state("listening", SOON);
    ping(&mut tunnel.connect());
}

fn user_is_held_until_the_agent_is_back(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    rig.agent.kill();
    tunnel.wait_state("waiting_for_agent", SOON);
    let mut user = tunnel.connect();
    user.write_all(b"early").expect("taken");
    wait_until("the user is held", SOON, || tunnel.connections().iter().any(|c| c["state"] == "waiting"));
    assert_eq!(echo.accepted(), 0);
    rig.agent.start_again();
    user.shutdown(std::net::Shutdown::Write).expect("a FIN");
    assert_eq!(read_end(&mut user).expect("a FIN"), b"early");
}

fn user_is_closed_after_the_hold(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::on(Server::setup().args(["--tunnel-hold", "1"]).start(), protocol);
    let tunnel = rig.tunnel_to(echo.port);
    rig.agent.kill();
    tunnel.wait_state("waiting_for_agent", SOON);
    let start = Instant::now();
    visit(tunnel.port);
    let held = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&held), "held for {held:?}");
    tunnel.wait_idle(SOON);
    assert_eq!(tunnel.view()["state"], "waiting_for_agent");
}

#[test]
fn known_agent_that_never_came() {
    let server = Server::start();
    server.enrol("pc1");
    let tunnel = server.create_tunnel("pc1", 80);
    assert_eq!(tunnel.view()["state"], "waiting_for_agent");
    let start = Instant::now();
    visit(tunnel.port);
    let held = start.elapsed();
    assert!((Duration::from_millis(9_500)..Duration::from_secs(14)).contains(&held), "held for {held:?}");
}

/// Two processes with one token must not chase each other.
fn second_login_takes_over(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut old_user = tunnel.connect();
    ping(&mut old_user);
    let first = session_of(&rig);
    let _second = Agent::launch(&rig.server, "pc1", &rig.agent.token, protocol, &[]);
    wait_until("the second one takes over", SOON, || session_of(&rig) != first && rig.agent.is_online());
    wait_end(&mut old_user);
    let taken_over = session_of(&rig);
    let watched = Instant::now();
    let mut user = tunnel.connect();
    while watched.elapsed() < Duration::from_secs(5) {
        ping(&mut user);
        assert_eq!(session_of(&rig), taken_over, "the first one chases the second");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What tells one session of `pc1` from another.
fn session_of(rig: &Rig) -> (Value, Value) {
    let (_, agent) = rig.server.api().get("/api/agents/pc1");
    (agent["since"].clone(), agent["address"].clone())
}

fn rotation_cuts_at_once(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    let (status, answer) = rig.server.api().post("/api/agents/pc1/token", &json!({}));
    assert!(matches!(status, 200 | 201), "{status} {answer}");
    assert!(!rig.agent.is_online(), "the session is cut when the call answers");
    wait_end(&mut user);
    rig.agent.kill();
    let token = answer["token"].as_str().expect("the new token");
    assert_ne!(token, rig.agent.token);
    let again = Agent::launch(&rig.server, "pc1", token, protocol, &[]);
    again.wait_online();
    ping(&mut tunnel.connect());
}

fn rotation_by_command_cuts(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    let token = rig.server.admin(["agent", "rotate", "pc1"]);
    let rotated = Instant::now();
    wait_end(&mut user);
    rig.agent.wait_offline(SOON);
    assert!(rotated.elapsed() < Duration::from_secs(3), "noticed after {:?}", rotated.elapsed());
    rig.agent.kill();
    Agent::launch(&rig.server, "pc1", &token, protocol, &[]).wait_online();
}

#[test]
fn rotation_closes_with_the_code_for_revoked() {
    let server = Server::start();
    let token = server.enrol("pc1");
    let mut session = RawWs::greeted(server.port, "pc1", &token);
    assert_eq!(server.api().post("/api/agents/pc1/token", &json!({})).0 / 100, 2);
    assert_eq!(session.wait_close(), 4003);
    assert_eq!(RawWs::log_in(server.port, "pc1", &token, true).err(), Some(401));
}

#[test]
fn second_login_closes_the_first_with_the_code_for_replaced() {
    let server = Server::start();
    let token = server.enrol("pc1");
    let mut first = RawWs::greeted(server.port, "pc1", &token);
    let _second = RawWs::greeted(server.port, "pc1", &token);
    assert_eq!(first.wait_close(), 4001);
}

#[test]
fn removal_waits_for_the_tunnels_and_cuts_the_session() {
    let server = Server::start();
    let token = server.enrol("pc1");
    let mut session = RawWs::greeted(server.port, "pc1", &token);
    let tunnel = server.create_tunnel("pc1", 80);
    let (status, answer) = server.api().delete("/api/agents/pc1");
    assert_eq!((status, &answer["code"]), (409, &json!("agent_in_use")), "{answer}");
    tunnel.delete();
    assert_eq!(server.api().delete("/api/agents/pc1").0 / 100, 2);
    assert_eq!(session.wait_close(), 4003);
    assert_eq!(server.api().get("/api/agents/pc1").0, 404);
    assert_eq!(RawWs::log_in(server.port, "pc1", &token, true).err(), Some(401));
}

#[test]
fn removal_by_command_cuts_the_session() {
    let server = Server::start();
    let token = server.enrol("pc1");
    let mut session = RawWs::greeted(server.port, "pc1", &token);
    server.admin(["agent", "remove", "pc1"]);
    let removed = Instant::now();
    assert_eq!(session.wait_close(), 4003);
    assert!(removed.elapsed() < Duration::from_secs(3), "noticed after {:?}", removed.elapsed());
}

fn stops_gracefully(protocol: &str) {
    let trickle = Remote::trickles(20, 1000, Duration::from_millis(100));
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(trickle.port);
    let mut user = tunnel.connect();
    wait_until("the transfer runs", SOON, || tunnel.number("bytes_out") > 0);
    rig.agent.signal(rustix::process::Signal::TERM);
    assert_eq!(read_end(&mut user).expect("the transfer finishes").len(), 20_000);
    assert!(rig.agent.process().wait_exit(SOON).success());
}

#[test]
fn wrong_token_is_named_and_tried_again() {
    let server = Server::start();
    let token = server.enrol("pc1");
    let wrong: String = token.chars().rev().collect();
    let mut agent = Agent::launch(&server, "pc1", &wrong, "binary", &[]);
    wait_until("the log says why", SOON, || agent.process().line_with("401").is_some());
    assert!(agent.process().is_running(), "it keeps trying");
    assert!(!agent.is_online());
    assert!(agent.process().line_with(&wrong).is_none(), "a log shows no secret");
}

#[test]
fn too_many_wrong_tokens() {
    let server = Server::start();
    server.enrol("pc1");
    let attempts: Vec<_> =
        (0..11).map(|_| RawWs::log_in(server.port, "pc1", "wrong", true).err().expect("refused")).collect();
    assert_eq!(attempts[..10], [401; 10]);
    assert_eq!(attempts[10], 429);
}

/// A client's name can bring another header along, since the test writes the request by hand.
#[test]
fn behind_a_trusted_proxy_the_forwarded_address_is_shown() {
    for (trusted, shown) in [(true, "203.0.113.5"), (false, "127.0.0.1:")] {
        let proxies: &[&str] = if trusted { &["--trusted-proxies", "127.0.0.1"] } else { &[] };
        let server = Server::setup().args(proxies).start();
        let token = server.enrol("pc1");
        let _session = RawWs::greeted(server.port, "pc1\r\nX-Forwarded-For: 198.51.100.9, 203.0.113.5:4711", &token);
        let agent = || server.api().get("/api/agents/pc1").1;
        wait_until("the agent is online", SOON, || agent()["online"] == true);
        let address = agent()["address"].as_str().expect("an address").to_owned();
        assert!(address.starts_with(shown) && address.contains(':') != trusted, "{address}");
    }
}

/// An agent whose owner is not active is told so, and its attempts lock nobody else out.
#[test]
fn an_inactive_owners_agent_is_refused_and_no_other() {
    let server = Server::start();
    let owner = server.user("alice", "user", &[]);
    let (status, answer) = owner.post("/api/agents", &json!({ "client_id": "alices" }));
    assert_eq!(status, 201, "{answer}");
    let token = answer["token"].as_str().expect("the token is shown once").to_owned();
    let other = server.enrol("pc1");
    server.admin(["user", "disable", "alice"]);
    wait_until("she is known to be inactive", SOON, || owner.get("/api/agents").0 == 401);
    for _ in 0..20 {
        assert_eq!(RawWs::log_in(server.port, "alices", &token, true).err(), Some(403));
    }
    assert!(RawWs::log_in(server.port, "pc1", &other, true).is_ok());
}
