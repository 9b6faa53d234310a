//! Limits at the door: who may connect, how many, and what happens when descriptors run out.

use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::sockets::{is_turned_away, local};
use crate::common::{Remote, Rig, SOON, Server, both_protocols, ping, wait_until};

both_protocols!(address_not_allowed, too_many_connections);

fn address_not_allowed(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let shut = rig.server.create_tunnel_with("pc1", echo.port, json!({ "allow": ["192.0.2.0/24", "2001:db8::/32"] }));
    assert!(is_turned_away(local(shut.port)));
    shut.wait_idle(SOON);
    assert_eq!(echo.accepted(), 0, "nothing may be sent to the agent");
    let open = rig.server.create_tunnel_with("pc1", echo.port, json!({ "allow": ["192.0.2.0/24", "127.0.0.0/8"] }));
    ping(&mut open.connect());
    shut.patch(&json!({ "allow": [] }));
    ping(&mut shut.connect());
}

/// A listener on `::` sees IPv4 users under mapped addresses.
#[test]
fn mapped_address_is_an_ipv4_address() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("this machine has no IPv6");
    }
    let echo = Remote::echo();
    let rig = Rig::start("binary");
    let fields = json!({ "bind": "::", "allow": ["127.0.0.1/32"] });
    let tunnel = rig.server.create_tunnel_with("pc1", echo.port, fields);
    ping(&mut tunnel.connect());
    assert!(is_turned_away((Ipv6Addr::LOCALHOST, tunnel.port).into()));
    assert_eq!(echo.accepted(), 1);
}

fn too_many_connections(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.server.create_tunnel_with("pc1", echo.port, json!({ "max_connections": 2 }));
    let mut users = [tunnel.connect(), tunnel.connect()];
    for user in &mut users {
        ping(user);
    }
    assert!(is_turned_away(local(tunnel.port)));
    assert_eq!(echo.accepted(), 2, "nothing may be sent to the agent");
    let [first, mut second] = users;
    ping(&mut second);
    drop(first);
    wait_until("a place is free", SOON, || tunnel.number("connections") == 1);
    ping(&mut tunnel.connect());
}

#[test]
fn descriptors_run_out_and_come_back() {
    const LIMIT: usize = 100;
    let echo = Remote::echo();
    let wrapper = ["prlimit".to_owned(), format!("--nofile={LIMIT}:{LIMIT}")];
    let mut rig = Rig::on(Server::setup().under(wrapper).start(), "binary");
    let tunnel = rig.tunnel_to(echo.port);
    let mut first = tunnel.connect();
    ping(&mut first);
    let users: Vec<_> = (0..LIMIT + 30).map(|_| tunnel.connect()).collect();
    wait_until("descriptors have run out", SOON, || rig.server.process().descriptors() >= LIMIT - 1);

    let (start, used) = (Instant::now(), rig.server.process().processor_time());
    while start.elapsed() < Duration::from_secs(2) {
        ping(&mut first);
        std::thread::sleep(Duration::from_millis(50));
    }
    let spent = rig.server.process().processor_time() - used;
    assert!(spent < Duration::from_secs(1), "the accept loop spins: {spent:?} in two seconds");

    drop(users);
    wait_until("the API answers again", SOON, || rig.server.api().try_send("GET", "/healthz", None).is_ok());
    wait_until("only the first user is left", SOON, || tunnel.number("connections") == 1);
    ping(&mut first);
    ping(&mut tunnel.connect());
    assert!(rig.agent.is_online());
}
